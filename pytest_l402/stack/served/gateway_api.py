"""Decides what the operations API of a gateway answers: what runs, deploy, roll back."""

from __future__ import annotations

import hmac
import json
import re
from typing import Any

from pytest_l402.boundary import parse_json
from pytest_l402.harness.network import REQUEST_ID_HEADER, App, Request, Response
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOps, GatewayOpsError

PREFIX = "/ops/"
_CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")
_STATUS = re.compile(r"status_([45][0-9]{2})")


class GatewayOpsApi:
    """A gateway together with its operations, below `/ops/`; all other paths are the gateway's own.

    Operations ask for the token as `Authorization: Bearer`. Errors are `{"error": {"code": …}}`. Source:
    lightning-ops, gateway operations.
    """

    def __init__(self, ops: GatewayOps, gateway: App, *, token: str) -> None:
        self._ops = ops
        self._gateway = gateway
        self._authorization = f"Bearer {token}".encode()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if not request.path.startswith(PREFIX):
            return self._gateway.handle(request)
        presented = (request.header("Authorization") or "").encode()
        if not hmac.compare_digest(presented, self._authorization):
            return _answer(401, {"error": {"code": "unauthorized"}})
        try:
            return _answer(200, {"deployment": self._deployment(request)})
        except _Refused as refused:
            return _answer(refused.status, {"error": {"code": refused.code}})
        except GatewayOpsError as error:
            status = _STATUS.fullmatch(error.reason)
            return _answer(int(status[1]) if status else 422, {"error": {"code": _code_of(error.reason)}})

    def _deployment(self, request: Request) -> dict[str, Any] | None:
        operation = f"{request.method} {request.path}"
        if operation == "GET /ops/deployment":
            return _row(self._ops.active(request_id=request.header(REQUEST_ID_HEADER) or ""))
        if operation not in ("POST /ops/deploy", "POST /ops/rollback"):
            raise _Refused(404, "not_found")
        body = _Body(request)
        request_id, deployment_id = body.text("requestId"), body.text("deploymentId")
        digest = body.text("imageDigest", optional=True) or None
        if operation == "POST /ops/deploy":
            return _row(
                self._ops.apply(
                    request_id=request_id,
                    deployment_id=deployment_id,
                    config_hash=body.text("configHash"),
                    aperture_yaml=body.text("apertureYaml"),
                    image_digest=digest,
                )
            )
        target = ActiveDeployment(
            deployment_id=deployment_id, config_hash=body.text("targetConfigHash"), image_digest=digest
        )
        return _row(self._ops.rollback(request_id=request_id, deployment_id=deployment_id, target=target))


class _Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class _Body:
    def __init__(self, request: Request) -> None:
        try:
            document = parse_json(request.body.decode("utf-8"), "request body")
        except ValueError:
            raise _Refused(400, "invalid_json") from None
        if not isinstance(document, dict):
            raise _Refused(400, "invalid_json")
        self._document = document

    def text(self, key: str, *, optional: bool = False) -> str:
        value = self._document.get(key)
        if value is None and optional:
            return ""
        if not isinstance(value, str) or not value:
            raise _Refused(422, f"missing_{key}")
        return value


def _code_of(reason: str) -> str:
    """Return the code of a reason, which may name what was sent: that is not the API's to repeat."""
    for start, code in (("status_", "unavailable"), ("unknown_config_", "unknown_config")):
        if reason.startswith(start):
            return code
    return reason if _CODE.fullmatch(reason) else "invalid_config"


def _row(deployment: ActiveDeployment | None) -> dict[str, Any] | None:
    if deployment is None:
        return None
    return {key: value for key, value in deployment.to_row().items() if value is not None}


def _answer(status: int, document: dict[str, Any]) -> Response:
    headers = (("Content-Type", "application/json"),)
    return Response(status, headers, json.dumps(document, separators=(",", ":")).encode() + b"\n")
