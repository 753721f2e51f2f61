"""What the operations API of a gateway answers: what runs, deploy, roll back."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_l402.harness.json_app import (
    Answer,
    Call,
    Document,
    JsonApp,
    Refused,
    Route,
    presents,
    told_by_code,
)
from pytest_l402.harness.network import App, Request, Response
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
        self._token = token
        self._app = JsonApp(
            (
                Route("GET", f"{PREFIX}deployment", _told_of(self._active)),
                Route("POST", f"{PREFIX}deploy", _told_of(self._deploy)),
                Route("POST", f"{PREFIX}rollback", _told_of(self._rollback)),
            ),
            guard=self._authorized,
            refused=_refused,
        )

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        return (self._app if request.path.startswith(PREFIX) else self._gateway).handle(request)

    def _authorized(self, request: Request) -> None:
        if not presents(request, self._token):
            raise Refused(401, "unauthorized")

    def _active(self, call: Call) -> ActiveDeployment | None:
        return self._ops.active(request_id=call.request_id)

    def _deploy(self, call: Call) -> ActiveDeployment | None:
        body = call.fields
        return self._ops.apply(
            request_id=body.text("requestId"),
            deployment_id=body.text("deploymentId"),
            image_digest=body.optional_text("imageDigest"),
            config_hash=body.text("configHash"),
            aperture_yaml=body.text("apertureYaml"),
        )

    def _rollback(self, call: Call) -> ActiveDeployment | None:
        body = call.fields
        request_id, deployment_id = body.text("requestId"), body.text("deploymentId")
        digest, config_hash = body.optional_text("imageDigest"), body.text("targetConfigHash")
        target = ActiveDeployment(deployment_id=deployment_id, config_hash=config_hash, image_digest=digest)
        return self._ops.rollback(request_id=request_id, deployment_id=deployment_id, target=target)


def _told_of(operation: Callable[[Call], ActiveDeployment | None]) -> Answer:
    def answer(call: Call) -> Document:
        try:
            deployment = operation(call)
        except GatewayOpsError as error:
            raise _refusal(error) from None
        if deployment is None:
            return {"deployment": None}
        return {"deployment": {key: value for key, value in deployment.to_row().items() if value is not None}}

    return answer


def _refused(refused: Refused) -> tuple[int, Document]:
    """Answer an operation that there is not, and one that is asked for by another method, alike."""
    return told_by_code(Refused(404, "not_found") if refused.status == 405 else refused)


def _refusal(error: GatewayOpsError) -> Refused:
    """Return the code of a reason, which may name what was sent: that is not the API's to repeat."""
    status = _STATUS.fullmatch(error.reason)
    code = error.reason if _CODE.fullmatch(error.reason) else "invalid_config"
    for start, known in (("status_", "unavailable"), ("unknown_config_", "unknown_config")):
        if error.reason.startswith(start):
            code = known
    return Refused(int(status[1]) if status else 422, code)
