"""Decides what the operations functions of a control plane answer over HTTP, in both forms of its API."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_l402.boundary import parse_json
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.network import REQUEST_ID_HEADER, App, Request, Response
from pytest_l402.ops.compile.paywall import PaywallDefinition
from pytest_l402.ops.compile.paywall_json import paywall_json, protobuf_json
from pytest_l402.ops.security.controls import OWNER_KILL_SWITCH_ACTIVE
from pytest_l402.ops.security.roles import CredentialRoleError, RoleState
from pytest_l402.ops.settlement.ingest import BatchBooks, IngestRefused, ingest_settlements
from pytest_l402.stack.control.control_plane import ControlPlane

API = "/api/internal/lightning-ops/control-plane/"
CONVEX = "/api/"
SETTLEMENT_READER = "settlement_read"
"""The user in whose name the worker API is asked by whoever holds the credential of this role."""

_USER_HEADER = "x-oa-user-id"

Arguments = Mapping[str, Any]
Paywalls = Callable[[str], Sequence[PaywallDefinition]]


class FunctionRefused(Exception):  # noqa: N818 - an answer, not an error of ours
    """A function cannot be called so; the `code` is the API's own."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class ControlPlaneApi:
    """A control plane's operations functions; all other paths are those of the worker API behind it.

    The secret is in the body, as the deployed ones want it. Deployments are kept by id, a later write
    replacing the earlier one, events are appended; neither can be read back over the API. `as_protobuf`
    answers in protobuf's JSON: snake_case keys, integers as text, long names of enums. Whoever presents the
    settlement credential to the worker API is its user `settlement_read`. Source: lightning-ops, live APIs.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        paywalls: Paywalls,
        books: BatchBooks,
        worker_api: App,
        *,
        clock: Clock,
        secret: str,
        settlement_credential: str,
        as_protobuf: bool = False,
    ) -> None:
        self._control_plane = control_plane
        self._paywalls = paywalls
        self._books = books
        self._worker_api = worker_api
        self._clock = clock
        self._secret = secret.encode()
        self._settlement_authorization = f"Bearer {settlement_credential}".encode()
        self._as_protobuf = as_protobuf
        self._updated: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._queries: dict[str, Callable[[Arguments, str], dict[str, Any]]] = {
            "lightning/ops:listPaywallControlPlaneState": self._list_paywalls,
            "lightning/security:getControlPlaneSecurityState": self._security_state,
        }
        self._mutations: dict[str, Callable[[Arguments, str], dict[str, Any]]] = {
            "lightning/ops:recordGatewayCompileIntent": self._record_deployment,
            "lightning/ops:recordGatewayDeploymentEvent": self._record_event,
            "lightning/settlements:ingestInvoiceLifecycle": self._ingest_invoice,
            "lightning/settlements:ingestSettlement": self._ingest_settlement,
            "lightning/security:setGlobalPause": self._set_pause,
            "lightning/security:setOwnerKillSwitch": self._set_kill_switch,
            "lightning/security:rotateCredentialRole": self._rotate,
            "lightning/security:activateCredentialRole": self._activate,
            "lightning/security:revokeCredentialRole": self._revoke,
        }

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path.startswith(API):
            return self._api(request, request.path.removeprefix(API))
        if request.path in (f"{CONVEX}query", f"{CONVEX}mutation"):
            return self._convex(request, request.path.removeprefix(CONVEX))
        presented = (request.header("Authorization") or "").encode()
        if request.method == "GET" and hmac.compare_digest(presented, self._settlement_authorization):
            request = replace(request, headers=(*request.headers, (_USER_HEADER, SETTLEMENT_READER)))
        return self._worker_api.handle(request)

    def _api(self, request: Request, kind: str) -> Response:
        try:
            if request.method != "POST":
                raise FunctionRefused(405, "method_not_allowed")
            body = _body(request)
            value = self._call(kind, body.get("functionName"), body.get("args"), request)
        except FunctionRefused as refused:
            return _answer(refused.status, {"error": {"code": refused.code, "message": refused.code}})
        return _answer(200, value)

    def _convex(self, request: Request, kind: str) -> Response:
        try:
            body = _body(request)
            arguments = body.get("args")
            if body.get("format") != "convex_encoded_json" or not isinstance(arguments, list):
                raise FunctionRefused(400, "invalid_input")
            value = self._call(kind, body.get("path"), arguments[0] if arguments else None, request)
        except FunctionRefused as refused:
            code = "forbidden" if refused.status == 401 else refused.code
            return _answer(200, {"status": "error", "errorMessage": code})
        return _answer(200, {"status": "success", "value": value})

    def _call(self, kind: str, name: object, arguments: object, request: Request) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            raise FunctionRefused(422, "invalid_arguments")
        presented = arguments.pop("secret", None)
        if not isinstance(presented, str) or not hmac.compare_digest(presented.encode(), self._secret):
            raise FunctionRefused(401, "invalid_ops_secret")
        functions = self._queries if kind == "query" else self._mutations if kind == "mutation" else {}
        function = functions.get(name) if isinstance(name, str) else None
        if function is None:
            raise FunctionRefused(404, "unsupported_function")
        value = {"ok": True, **function(arguments, request.header(REQUEST_ID_HEADER) or "")}
        return protobuf_json(value) if self._as_protobuf else value

    # Queries

    def _list_paywalls(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        asked = arguments.get("statuses")
        if not isinstance(asked, list):
            raise FunctionRefused(422, "missing_statuses")
        return {
            "paywalls": [paywall_json(item) for item in self._paywalls(request_id) if item.status in asked]
        }

    def _security_state(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        state = self._control_plane.security_state()
        return {
            "global": self._global_pause(),
            "ownerControls": [self._owner_control(owner, True) for owner in state.killed_owners],
            "credentialRoles": [_role(item) for item in self._control_plane.credential_roles.states()],
        }

    # Mutations

    def _record_deployment(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        for key in ("configHash", "status"):
            _text(arguments, key)
        deployment_id = _text(arguments, "deploymentId")
        now_ms = self._clock.tick()
        known = self.deployments.get(deployment_id, {"createdAtMs": now_ms})
        row = {**arguments, "createdAtMs": known["createdAtMs"], "updatedAtMs": now_ms}
        self.deployments[deployment_id] = row
        # As the deployed one answers: without what it was told of metadata and request.
        return {"deployment": {key: row[key] for key in row if key not in ("metadata", "requestId")}}

    def _record_event(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        for key in ("paywallId", "ownerId", "eventType", "level"):
            _text(arguments, key)
        row = {"eventId": f"evt_{len(self.events) + 1}", **arguments, "createdAtMs": self._clock.tick()}
        self.events.append(row)
        return {"event": row}

    def _ingest_invoice(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        done = self._ingest("invoice_lifecycle", arguments, request_id)
        return {"changed": True, "invoice": done["invoiceTransitions"][0]}

    def _ingest_settlement(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        settlement = self._ingest("settlement", arguments, request_id)["settlements"][0]
        return {"existed": settlement["existed"], "settlement": settlement}

    def _ingest(self, kind: str, arguments: Arguments, request_id: str) -> dict[str, Any]:
        try:
            event = {**arguments, "kind": kind}
            return ingest_settlements(self._books, [event], request_id=request_id or kind).to_row()
        except IngestRefused as refused:
            raise FunctionRefused(422, refused.code) from None

    def _set_pause(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        self._control_plane.set_global_pause(_flag(arguments), _reason(arguments))
        self._note("global", arguments)
        return {"global": self._global_pause()}

    def _set_kill_switch(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        owner_id, active = _text(arguments, "ownerId"), _flag(arguments)
        self._control_plane.set_owner_kill_switch(owner_id, active, _reason(arguments))
        self._note(owner_id, arguments)
        return {"ownerControl": self._owner_control(owner_id, active)}

    def _rotate(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        return self._role_changed(self._control_plane.credential_roles.rotate, arguments, "fingerprint")

    def _activate(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        return self._role_changed(self._control_plane.credential_roles.activate, arguments, "fingerprint")

    def _revoke(self, arguments: Arguments, request_id: str) -> dict[str, Any]:
        return self._role_changed(self._control_plane.credential_roles.revoke, arguments)

    def _role_changed(
        self, change: Callable[..., RoleState], arguments: Arguments, *more: str
    ) -> dict[str, Any]:
        given = {key: arguments.get(key) for key in ("note", *more)}
        try:
            return {"role": _role(change(_text(arguments, "role"), **given))}
        except CredentialRoleError as error:
            raise FunctionRefused(422, error.code.value) from None

    def _note(self, subject: str, arguments: Arguments) -> None:
        self._updated[subject] = {
            "updatedBy": arguments.get("updatedBy"),
            "updatedAtMs": self._clock.tick(),
        }

    def _global_pause(self) -> dict[str, Any]:
        state = self._control_plane.security_state()
        row = {"stateId": "global", "globalPause": state.global_pause, "updatedAtMs": 0}
        if state.global_pause:
            row |= {"denyReasonCode": "global_pause_active", "denyReason": state.global_reason}
        return _without_none(row | self._updated.get("global", {}))

    def _owner_control(self, owner_id: str, active: bool) -> dict[str, Any]:
        row: dict[str, Any] = {"ownerId": owner_id, "killSwitch": active, "updatedAtMs": 0}
        if active:
            row["denyReasonCode"] = OWNER_KILL_SWITCH_ACTIVE
        return _without_none(row | self._updated.get(owner_id, {}))


def _role(state: RoleState) -> dict[str, Any]:
    return state.to_row()


def _body(request: Request) -> dict[str, Any]:
    try:
        document = parse_json(request.body.decode("utf-8"), "request body")
    except ValueError:
        raise FunctionRefused(400, "invalid_input") from None
    if not isinstance(document, dict):
        raise FunctionRefused(400, "invalid_input")
    return document


def _text(arguments: Arguments, key: str) -> str:
    value = arguments.get(key)
    if not isinstance(value, str) or not value:
        raise FunctionRefused(422, f"missing_{key}")
    return value


def _flag(arguments: Arguments) -> bool:
    value = arguments.get("active")
    if not isinstance(value, bool):
        raise FunctionRefused(422, "missing_active")
    return value


def _reason(arguments: Arguments) -> str | None:
    value = arguments.get("reason")
    return value if isinstance(value, str) else None


def _without_none(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _answer(status: int, document: dict[str, Any]) -> Response:
    headers = (("Content-Type", "application/json"),)
    return Response(status, headers, json.dumps(document, separators=(",", ":")).encode() + b"\n")
