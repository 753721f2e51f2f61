"""What the control plane answers over HTTP: the worker API that buyers and sellers use."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.contract import TaskStatus
from pytest_l402.contract.camel_document import camel_row
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.json_app import Call, Document, Fields, JsonApp, Refused, Route
from pytest_l402.harness.network import Request, Response, is_usable_id
from pytest_l402.stack.books.store import SettlementStore
from pytest_l402.stack.control.control_plane import ControlPlane
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.control.task_board import InvalidTransition, Task, UnknownTask

API = "/api/lightning"
USER_HEADER = "x-oa-user-id"
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 500


class ControlApi:
    """The worker API as an app. `x-oa-user-id` stands for the user's session; without it all is 401.

    Answers are `{"ok": true, …}` or `{"ok": false, "error": <code>}`, and echo `x-oa-request-id`.
    """

    def __init__(self, harness: Harness, control_plane: ControlPlane, settlements: SettlementStore) -> None:
        self._control_plane = control_plane
        self._settlements = settlements
        self._app = JsonApp(
            (
                Route("POST", f"{API}/l402/tasks", self._create_task),
                Route("GET", f"{API}/l402/tasks", self._list_tasks),
                Route("GET", f"{API}/l402/tasks/{{id}}", self._show_task),
                Route("POST", f"{API}/l402/tasks/{{id}}/transition", self._move_task),
                Route("POST", f"{API}/l402/executor/presence", self._presence),
                Route("GET", f"{API}/paywalls", self._list_paywalls),
                Route("GET", f"{API}/paywalls/{{id}}", self._show_paywall),
                Route("GET", f"{API}/paywalls/{{id}}/settlements", self._paywall_settlements),
                Route("GET", f"{API}/settlements", self._list_settlements),
                Route("GET", f"{API}/security/state", self._security_state),
            ),
            guard=_known_user,
            succeeded=lambda document: {"ok": True, **document},
            refused=lambda refused: (refused.status, {"ok": False, "error": refused.code}),
            malformed="invalid_input",
            id_of=lambda request: harness.id_of(request, "ctl", "control request id"),
        )

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        return self._app.handle(request)

    def _create_task(self, call: Call) -> Document:
        body = _fields(call)
        try:
            # Read as buyers read it, so that a host is one host however it is spelled.
            endpoint = str(httpx.URL(_text(body, "endpoint")))
            host = urlsplit(endpoint).netloc.rpartition("@")[2]
        except (httpx.InvalidURL, ValueError):
            raise _invalid() from None
        if not host:
            raise _invalid()
        cap = body.integer("maxSpendMsats", 0, MAX_SAFE_INTEGER)
        task = self._control_plane.create_task(call.request_id, _user(call), endpoint, cap, host)
        return {"task": task.to_row()}

    def _list_tasks(self, call: Call) -> Document:
        query = parse_qs(call.request.query)
        status_text = query.get("status", [None])[-1]
        try:
            status = None if status_text is None else TaskStatus(status_text)
            limit = int(query.get("limit", [str(_DEFAULT_LIMIT)])[-1])
        except ValueError:
            raise _invalid() from None
        if not 1 <= limit <= _MAX_LIMIT:
            raise _invalid()
        tasks = self._control_plane.tasks(owner_id=_user(call), status=status)
        return {"tasks": [task.to_row() for task in tasks[-limit:]]}

    def _show_task(self, call: Call, task_id: str) -> Document:
        return {"task": self._own_task(call, task_id).to_row()}

    def _move_task(self, call: Call, task_id: str) -> Document:
        body = _fields(call)
        self._own_task(call, task_id)
        try:
            to = TaskStatus(_text(body, "toStatus"))
        except ValueError:
            raise _invalid() from None
        code, reason, session = (
            _optional_text(body, key) for key in ("reasonCode", "reason", "desktopSessionId")
        )
        try:
            task = self._control_plane.transition(
                task_id, to, call.request_id, "desktop", code, reason, desktop_session_id=session
            )
        except InvalidTransition:
            raise Refused(409, "invalid_transition") from None
        return {"task": task.to_row()}

    def _presence(self, call: Call) -> Document:
        body = _fields(call)
        session, status = _text(body, "desktopSessionId"), _optional_text(body, "status")
        self._control_plane.heartbeat(session, status or "idle", _user(call))
        return {"desktopSessionId": session}

    def _list_paywalls(self, call: Call) -> Document:
        return {"paywalls": [_paywall_row(paywall) for paywall in self._control_plane.paywalls()]}

    def _show_paywall(self, call: Call, paywall_id: str) -> Document:
        return {"paywall": _paywall_row(self._paywall(paywall_id))}

    def _paywall_settlements(self, call: Call, paywall_id: str) -> Document:
        self._paywall(paywall_id)
        rows = self._settlements.rows("settlements")
        return {"settlements": [row for row in rows if row["paywallId"] == paywall_id]}

    def _list_settlements(self, call: Call) -> Document:
        return {"settlements": list(self._settlements.rows("settlements"))}

    def _security_state(self, call: Call) -> Document:
        state = self._control_plane.security_state()
        return {
            "global": {"globalPause": state.global_pause, "denyReason": state.global_reason},
            "ownerControls": [{"ownerId": owner, "killSwitch": True} for owner in state.killed_owners],
        }

    def _own_task(self, call: Call, task_id: str) -> Task:
        try:
            task = self._control_plane.task(task_id)
        except UnknownTask:
            raise Refused(404, "task_not_found") from None
        if task.owner_id != _user(call):
            raise Refused(403, "forbidden")
        return task

    def _paywall(self, paywall_id: str) -> Paywall:
        paywall = self._control_plane.paywall(paywall_id)
        if paywall is None:
            raise Refused(404, "paywall_not_found")
        return paywall


def _known_user(request: Request) -> None:
    if not is_usable_id(request.header(USER_HEADER)):
        raise Refused(401, "unauthorized")


def _user(call: Call) -> str:
    user = call.request.header(USER_HEADER)
    assert user is not None
    return user


def _paywall_row(paywall: Paywall) -> dict[str, Any]:
    row = camel_row(paywall)
    return {key: row[key] for key in ("paywallId", "ownerId", "routeId", "name", "path", "priceMsats")}


def _fields(call: Call) -> Fields:
    return Fields(call.body, lambda key: _invalid())


def _text(body: Fields, key: str) -> str:
    text = body.text(key)
    if not text.isprintable():
        raise _invalid()
    return text


def _optional_text(body: Fields, key: str) -> str | None:
    return None if body.values.get(key) is None else _text(body, key)


def _invalid() -> Refused:
    return Refused(400, "invalid_input")
