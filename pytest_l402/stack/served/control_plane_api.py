"""What the operations functions of a control plane answer over HTTP, in both forms of its API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.json_app import Call, Document, Fields, JsonApp, Refused, Route, is_secret, presents
from pytest_l402.harness.network import App, Request, Response
from pytest_l402.ops.compile.paywall import PaywallDefinition
from pytest_l402.ops.compile.paywall_json import paywall_json, protobuf_json
from pytest_l402.ops.security.controls import OWNER_KILL_SWITCH_ACTIVE
from pytest_l402.ops.security.roles import CredentialRoleError
from pytest_l402.ops.settlement.ingest import BatchBooks, IngestRefused, ingest_settlements
from pytest_l402.stack.control.control_plane import ControlPlane
from pytest_l402.stack.control.worker_api import USER_HEADER

API = "/api/internal/lightning-ops/control-plane/"
CONVEX = "/api/"
SETTLEMENT_READER = "settlement_read"
"""The user in whose name the worker API is asked by whoever holds the credential of this role."""

Function = Callable[[Fields, str], Document]
Paywalls = Callable[[str], Sequence[PaywallDefinition]]


@dataclass(eq=False, repr=False)
class ControlPlaneApi:
    """A control plane's operations functions; all other paths are those of the worker API behind it.

    The secret is in the body, as the deployed ones want it. Deployments are kept by id, a later write
    replacing the earlier one, events are appended; neither can be read back over the API. `as_protobuf`
    answers in protobuf's JSON: snake_case keys, integers as text, long names of enums. Whoever presents the
    settlement credential to the worker API is its user `settlement_read`. Source: lightning-ops, live APIs.
    """

    harness: Harness
    control_plane: ControlPlane
    paywalls: Paywalls
    books: BatchBooks
    worker_api: App
    secret: str
    settlement_credential: str
    as_protobuf: bool = False
    deployments: dict[str, Document] = field(default_factory=dict, init=False)
    events: list[Document] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._updated: dict[str, Document] = {}
        self._functions: dict[str, dict[str, Function]] = {
            "query": {
                "lightning/ops:listPaywallControlPlaneState": self._list_paywalls,
                "lightning/security:getControlPlaneSecurityState": self._security_state,
            },
            "mutation": {
                "lightning/ops:recordGatewayCompileIntent": self._record_deployment,
                "lightning/ops:recordGatewayDeploymentEvent": self._record_event,
                "lightning/settlements:ingestInvoiceLifecycle": self._ingest_invoice,
                "lightning/settlements:ingestSettlement": self._ingest_settlement,
                "lightning/security:setGlobalPause": self._set_pause,
                "lightning/security:setOwnerKillSwitch": self._set_kill_switch,
                "lightning/security:rotateCredentialRole": partial(self._role_changed, "rotate"),
                "lightning/security:activateCredentialRole": partial(self._role_changed, "activate"),
                "lightning/security:revokeCredentialRole": partial(self._role_changed, "revoke"),
            },
        }
        self._api = JsonApp(
            (Route("POST", f"{API}{{kind}}", self._called),), refused=_with_message, malformed="invalid_input"
        )
        self._convex = JsonApp(
            tuple(
                Route(None, f"{CONVEX}{kind}", partial(self._called_by_path, kind))
                for kind in self._functions
            ),
            succeeded=lambda value: {"status": "success", "value": value},
            refused=_as_convex,
            malformed="invalid_input",
        )

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path.startswith(API):
            return self._api.handle(request)
        if request.path.removeprefix(CONVEX) in self._functions:
            return self._convex.handle(request)
        if request.method == "GET" and presents(request, self.settlement_credential):
            request = replace(request, headers=(*request.headers, (USER_HEADER, SETTLEMENT_READER)))
        return self.worker_api.handle(request)

    def _called(self, call: Call, kind: str) -> Document:
        return self._call(kind, call.body.get("functionName"), call.body.get("args"), call.request_id)

    def _called_by_path(self, kind: str, call: Call) -> Document:
        arguments = call.body.get("args")
        if call.body.get("format") != "convex_encoded_json" or not isinstance(arguments, list):
            raise call.malformed
        return self._call(kind, call.body.get("path"), arguments[0] if arguments else None, call.request_id)

    def _call(self, kind: str, name: object, arguments: object, request_id: str) -> Document:
        if not isinstance(arguments, dict):
            raise Refused(422, "invalid_arguments")
        if not is_secret(arguments.pop("secret", None), self.secret):
            raise Refused(401, "invalid_ops_secret")
        function = self._functions.get(kind, {}).get(name) if isinstance(name, str) else None
        if function is None:
            raise Refused(404, "unsupported_function")
        value = {"ok": True, **function(Fields(arguments), request_id)}
        return protobuf_json(value) if self.as_protobuf else value

    # Queries

    def _list_paywalls(self, given: Fields, request_id: str) -> Document:
        asked = given.values.get("statuses")
        if not isinstance(asked, list):
            raise Refused(422, "missing_statuses")
        return {
            "paywalls": [paywall_json(item) for item in self.paywalls(request_id) if item.status in asked]
        }

    def _security_state(self, given: Fields, request_id: str) -> Document:
        state = self.control_plane.security_state()
        return {
            "global": self._global_pause(),
            "ownerControls": [self._owner_control(owner, True) for owner in state.killed_owners],
            "credentialRoles": [item.to_row() for item in self.control_plane.credential_roles.states()],
        }

    # Mutations

    def _record_deployment(self, given: Fields, request_id: str) -> Document:
        for key in ("configHash", "status"):
            given.text(key)
        deployment_id = given.text("deploymentId")
        now_ms = self.harness.clock.tick()
        known = self.deployments.get(deployment_id, {"createdAtMs": now_ms})
        row = {**given.values, "createdAtMs": known["createdAtMs"], "updatedAtMs": now_ms}
        self.deployments[deployment_id] = row
        # As the deployed one answers: without what it was told of metadata and request.
        return {"deployment": {key: row[key] for key in row if key not in ("metadata", "requestId")}}

    def _record_event(self, given: Fields, request_id: str) -> Document:
        for key in ("paywallId", "ownerId", "eventType", "level"):
            given.text(key)
        row = {
            "eventId": f"evt_{len(self.events) + 1}",
            **given.values,
            "createdAtMs": self.harness.clock.tick(),
        }
        self.events.append(row)
        return {"event": row}

    def _ingest_invoice(self, given: Fields, request_id: str) -> Document:
        done = self._ingest("invoice_lifecycle", given, request_id)
        return {"changed": True, "invoice": done["invoiceTransitions"][0]}

    def _ingest_settlement(self, given: Fields, request_id: str) -> Document:
        settlement = self._ingest("settlement", given, request_id)["settlements"][0]
        return {"existed": settlement["existed"], "settlement": settlement}

    def _ingest(self, kind: str, given: Fields, request_id: str) -> Document:
        try:
            event = {**given.values, "kind": kind}
            return ingest_settlements(self.books, [event], request_id=request_id or kind).to_row()
        except IngestRefused as refused:
            raise Refused(422, refused.code) from None

    def _set_pause(self, given: Fields, request_id: str) -> Document:
        self.control_plane.set_global_pause(given.flag("active"), _reason(given))
        self._note("global", given)
        return {"global": self._global_pause()}

    def _set_kill_switch(self, given: Fields, request_id: str) -> Document:
        owner_id, active = given.text("ownerId"), given.flag("active")
        self.control_plane.set_owner_kill_switch(owner_id, active, _reason(given))
        self._note(owner_id, given)
        return {"ownerControl": self._owner_control(owner_id, active)}

    def _role_changed(self, operation: str, given: Fields, request_id: str) -> Document:
        change = getattr(self.control_plane.credential_roles, operation)
        keys = ("note",) if operation == "revoke" else ("note", "fingerprint")
        values = {key: given.values.get(key) for key in keys}
        try:
            return {"role": change(given.text("role"), **values).to_row()}
        except CredentialRoleError as error:
            raise Refused(422, error.code.value) from None

    def _note(self, subject: str, given: Fields) -> None:
        self._updated[subject] = {
            "updatedBy": given.values.get("updatedBy"),
            "updatedAtMs": self.harness.clock.tick(),
        }

    def _global_pause(self) -> Document:
        state = self.control_plane.security_state()
        row = {"stateId": "global", "globalPause": state.global_pause, "updatedAtMs": 0}
        if state.global_pause:
            row |= {"denyReasonCode": "global_pause_active", "denyReason": state.global_reason}
        return _without_none(row | self._updated.get("global", {}))

    def _owner_control(self, owner_id: str, active: bool) -> Document:
        row: Document = {"ownerId": owner_id, "killSwitch": active, "updatedAtMs": 0}
        if active:
            reason = self.control_plane.security_state().owner_reasons.get(owner_id)
            row |= {"denyReasonCode": OWNER_KILL_SWITCH_ACTIVE, "denyReason": reason}
        return _without_none(row | self._updated.get(owner_id, {}))


def _reason(given: Fields) -> str | None:
    value = given.values.get("reason")
    return value if isinstance(value, str) else None


def _without_none(row: Document) -> Document:
    return {key: value for key, value in row.items() if value is not None}


def _with_message(refused: Refused) -> tuple[int, Document]:
    return refused.status, {"error": {"code": refused.code, "message": refused.code}}


def _as_convex(refused: Refused) -> tuple[int, Document]:
    code = "forbidden" if refused.status == 401 else refused.code
    return 200, {"status": "error", "errorMessage": code}
