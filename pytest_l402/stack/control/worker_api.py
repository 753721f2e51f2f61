"""Decides what the control plane answers over HTTP: the worker API that buyers and sellers use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from pytest_l402.boundary import parse_json
from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.contract import TaskStatus
from pytest_l402.harness.network import REQUEST_ID_HEADER, Request, Response, is_usable_id
from pytest_l402.harness.randomness import Randomness
from pytest_l402.stack.books.store import SettlementStore
from pytest_l402.stack.control.control_plane import ControlPlane
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.control.task_board import InvalidTransition, Task, UnknownTask

USER_HEADER = "x-oa-user-id"
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 500


class _Answer(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class ControlApi:
    """The worker API as an app. `x-oa-user-id` stands for the user's session; without it all is 401.

    Answers are `{"ok": true, …}` or `{"ok": false, "error": <code>}`, and echo `x-oa-request-id`.
    """

    def __init__(
        self, control_plane: ControlPlane, settlements: SettlementStore, randomness: Randomness
    ) -> None:
        self._control_plane = control_plane
        self._settlements = settlements
        self._randomness = randomness
        self._routes: tuple[tuple[str, re.Pattern[str], Callable[..., dict[str, Any]]], ...] = (
            ("POST", re.compile(r"/api/lightning/l402/tasks"), self._create_task),
            ("GET", re.compile(r"/api/lightning/l402/tasks"), self._list_tasks),
            ("GET", re.compile(r"/api/lightning/l402/tasks/([^/]+)"), self._show_task),
            ("POST", re.compile(r"/api/lightning/l402/tasks/([^/]+)/transition"), self._move_task),
            ("POST", re.compile(r"/api/lightning/l402/executor/presence"), self._presence),
            ("GET", re.compile(r"/api/lightning/paywalls"), self._list_paywalls),
            ("GET", re.compile(r"/api/lightning/paywalls/([^/]+)"), self._show_paywall),
            ("GET", re.compile(r"/api/lightning/paywalls/([^/]+)/settlements"), self._paywall_settlements),
            ("GET", re.compile(r"/api/lightning/settlements"), self._list_settlements),
            ("GET", re.compile(r"/api/lightning/security/state"), self._security_state),
        )

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        request_id = request.header(REQUEST_ID_HEADER)
        if not is_usable_id(request_id):
            request_id = f"ctl-{self._randomness.uuid('control request id')}"
        try:
            status, document = 200, {"ok": True, **self._route(request, request_id)}
        except _Answer as answer:
            status, document = answer.status, {"ok": False, "error": answer.error}
        headers = (("Content-Type", "application/json"), (REQUEST_ID_HEADER, request_id))
        return Response(status, headers, json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def _route(self, request: Request, request_id: str) -> dict[str, Any]:
        if not is_usable_id(request.header(USER_HEADER)):
            raise _Answer(401, "unauthorized")
        known_path = False
        for method, pattern, answer in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            known_path = True
            if request.method == method:
                return answer(request, request_id, *(unquote(part) for part in match.groups()))
        raise _Answer(405, "method_not_allowed") if known_path else _Answer(404, "not_found")

    def _create_task(self, request: Request, request_id: str) -> dict[str, Any]:
        body = _body(request)
        try:
            # Read as buyers read it, so that a host is one host however it is spelled.
            endpoint = str(httpx.URL(_text(body, "endpoint")))
            host = urlsplit(endpoint).netloc.rpartition("@")[2]
        except (httpx.InvalidURL, ValueError):
            raise _Answer(400, "invalid_input") from None
        if not host:
            raise _Answer(400, "invalid_input")
        cap = body.get("maxSpendMsats")
        if isinstance(cap, bool) or not isinstance(cap, int) or not 0 <= cap <= MAX_SAFE_INTEGER:
            raise _Answer(400, "invalid_input")
        return {
            "task": self._control_plane.create_task(request_id, _user(request), endpoint, cap, host).to_row()
        }

    def _list_tasks(self, request: Request, _: str) -> dict[str, Any]:
        query = parse_qs(request.query)
        status_text = query.get("status", [None])[-1]
        try:
            status = None if status_text is None else TaskStatus(status_text)
            limit = int(query.get("limit", [str(_DEFAULT_LIMIT)])[-1])
        except ValueError:
            raise _Answer(400, "invalid_input") from None
        if not 1 <= limit <= _MAX_LIMIT:
            raise _Answer(400, "invalid_input")
        tasks = self._control_plane.tasks(owner_id=_user(request), status=status)
        return {"tasks": [task.to_row() for task in tasks[-limit:]]}

    def _show_task(self, request: Request, _: str, task_id: str) -> dict[str, Any]:
        return {"task": self._own_task(request, task_id).to_row()}

    def _move_task(self, request: Request, request_id: str, task_id: str) -> dict[str, Any]:
        body = _body(request)
        self._own_task(request, task_id)
        try:
            to = TaskStatus(_text(body, "toStatus"))
        except ValueError:
            raise _Answer(400, "invalid_input") from None
        try:
            task = self._control_plane.transition(
                task_id,
                to,
                request_id,
                "desktop",
                _optional_text(body, "reasonCode"),
                _optional_text(body, "reason"),
                desktop_session_id=_optional_text(body, "desktopSessionId"),
            )
        except InvalidTransition:
            raise _Answer(409, "invalid_transition") from None
        return {"task": task.to_row()}

    def _presence(self, request: Request, _: str) -> dict[str, Any]:
        body = _body(request)
        session = _text(body, "desktopSessionId")
        self._control_plane.heartbeat(session, _optional_text(body, "status") or "idle", _user(request))
        return {"desktopSessionId": session}

    def _list_paywalls(self, request: Request, _: str) -> dict[str, Any]:
        return {"paywalls": [_paywall_row(paywall) for paywall in self._control_plane.paywalls()]}

    def _show_paywall(self, request: Request, _: str, paywall_id: str) -> dict[str, Any]:
        paywall = self._control_plane.paywall(paywall_id)
        if paywall is None:
            raise _Answer(404, "paywall_not_found")
        return {"paywall": _paywall_row(paywall)}

    def _paywall_settlements(self, request: Request, _: str, paywall_id: str) -> dict[str, Any]:
        if self._control_plane.paywall(paywall_id) is None:
            raise _Answer(404, "paywall_not_found")
        rows = self._settlements.rows("settlements")
        return {"settlements": [row for row in rows if row["paywallId"] == paywall_id]}

    def _list_settlements(self, request: Request, _: str) -> dict[str, Any]:
        return {"settlements": list(self._settlements.rows("settlements"))}

    def _security_state(self, request: Request, _: str) -> dict[str, Any]:
        state = self._control_plane.security_state()
        return {
            "global": {"globalPause": state.global_pause, "denyReason": state.global_reason},
            "ownerControls": [{"ownerId": owner, "killSwitch": True} for owner in state.killed_owners],
        }

    def _own_task(self, request: Request, task_id: str) -> Task:
        try:
            task = self._control_plane.task(task_id)
        except UnknownTask:
            raise _Answer(404, "task_not_found") from None
        if task.owner_id != _user(request):
            raise _Answer(403, "forbidden")
        return task


def _user(request: Request) -> str:
    user = request.header(USER_HEADER)
    assert user is not None
    return user


def _paywall_row(paywall: Paywall) -> dict[str, Any]:
    return {
        "paywallId": paywall.paywall_id,
        "ownerId": paywall.owner_id,
        "routeId": paywall.route_id,
        "name": paywall.name,
        "path": paywall.path,
        "priceMsats": paywall.price_msats,
    }


def _body(request: Request) -> dict[str, Any]:
    try:
        document = parse_json(request.body.decode("utf-8"), "request body")
    except ValueError:
        raise _Answer(400, "invalid_input") from None
    if not isinstance(document, dict):
        raise _Answer(400, "invalid_input")
    return document


def _text(body: dict[str, Any], key: str) -> str:
    value = _optional_text(body, key)
    if value is None:
        raise _Answer(400, "invalid_input")
    return value


def _optional_text(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _Answer(400, "invalid_input")
    return value
