"""The worker API: the same decisions as the control plane, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pytest_l402.stack import Paywall, Stack

TASKS = "/api/lightning/l402/tasks"
ENDPOINT = "https://gateway.l402.test/premium"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(1) as stack, stack.online():
        yield stack


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"x-oa-user-id": "user_1"}
    with httpx.Client(base_url="https://control.l402.test", headers=headers, verify=False) as client:
        yield client


def created(api: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = api.post(TASKS, json={"endpoint": ENDPOINT, "maxSpendMsats": 50_000, **changes})
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()["task"]
    return task


def test_a_task_is_created_listed_shown_and_moved(stack: Stack, api: httpx.Client) -> None:
    task = created(api)
    assert (task["status"], task["ownerId"], task["maxSpendMsats"]) == ("approved", "user_1", 50_000)
    path = f"{TASKS}/{task['taskId']}"

    moved = api.post(f"{path}/transition", json={"toStatus": "running", "desktopSessionId": "desktop-1"})

    assert moved.json()["task"]["status"] == "running"
    assert api.get(path).json()["task"]["status"] == "running"
    assert [row["taskId"] for row in api.get(TASKS).json()["tasks"]] == [task["taskId"]]
    assert api.get(TASKS, params={"status": "approved"}).json()["tasks"] == []
    assert stack.control_plane.task(task["taskId"]).desktop_session_id == "desktop-1"


def test_the_newest_tasks_are_listed_up_to_the_limit(api: httpx.Client) -> None:
    ids = [created(api)["taskId"] for _ in range(3)]
    listed = api.get(TASKS, params={"limit": "2"}).json()["tasks"]
    assert [row["taskId"] for row in listed] == ids[1:]


def test_a_denied_task_comes_back_blocked(stack: Stack, api: httpx.Client) -> None:
    stack.control_plane.set_global_pause(True)
    task = created(api)
    assert (task["status"], task["lastErrorCode"]) == ("blocked", "global_pause_active")


def test_the_request_id_is_echoed_or_made(stack: Stack, api: httpx.Client) -> None:
    given = api.get(TASKS, headers={"x-oa-request-id": "mine-1"})
    made = [api.get(TASKS).headers["x-oa-request-id"] for _ in range(2)]
    assert given.headers["x-oa-request-id"] == "mine-1"
    assert all(one.startswith("ctl-") for one in made)
    assert made[0] != made[1]
    task = api.post(
        TASKS, json={"endpoint": ENDPOINT, "maxSpendMsats": 1}, headers={"x-oa-request-id": "mine-2"}
    ).json()["task"]
    assert task["requestId"] == "mine-2"


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://[::1/premium",
        "https://gateway.l402.test:x/",
        "https://h/a\noa_req=other",
        "https:///a",
        "/a",
    ],
)
def test_an_endpoint_that_is_no_url_is_bad_input(stack: Stack, api: httpx.Client, endpoint: str) -> None:
    answer = api.post(TASKS, json={"endpoint": endpoint, "maxSpendMsats": 1})
    assert (answer.status_code, answer.json()) == (400, {"ok": False, "error": "invalid_input"})
    assert "tasks" not in stack.tables()


@pytest.mark.parametrize(
    "spelling",
    [
        "https://closed.test:443",
        "http://closed.test:80",
        "https://CLOSED.test.",
        "https://closed\u3002test",
        "https://u@closed.test",
    ],
)
def test_a_blocked_host_is_blocked_however_it_is_spelled(
    stack: Stack, api: httpx.Client, spelling: str
) -> None:
    hosts = frozenset({"closed.test"})
    stack.control_plane.create_paywall(
        Paywall("pw_closed", "owner", "route", "Closed", "/closed", 1, blocked_hosts=hosts)
    )
    assert created(api, endpoint=f"{spelling}/closed")["lastErrorCode"] == "host_blocked"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"endpoint": 1, "maxSpendMsats": 1}',
        b'{"endpoint": "", "maxSpendMsats": 1}',
        b'{"endpoint": "/premium", "maxSpendMsats": 1}',
        b'{"endpoint": "https://h/\\u001b[0m", "maxSpendMsats": 1}',
        b'{"endpoint": "https://h/p"}',
        b'{"endpoint": "https://h/p", "maxSpendMsats": true}',
        b'{"endpoint": "https://h/p", "maxSpendMsats": -1}',
        b'{"endpoint": "https://h/p", "maxSpendMsats": 1.5}',
        b'{"endpoint": "https://h/p", "maxSpendMsats": 9007199254740992}',
        b'{"endpoint": "https://h/p", "maxSpendMsats": 1, "maxSpendMsats": 2}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_task_is_refused(stack: Stack, api: httpx.Client, body: bytes) -> None:
    answer = api.post(TASKS, content=body)
    assert (answer.status_code, answer.json()) == (400, {"ok": False, "error": "invalid_input"})
    assert stack.control_plane.tasks() == ()


@pytest.mark.parametrize("query", ["status=lost", "limit=0", "limit=x", "limit=501"])
def test_a_query_that_makes_no_sense_is_refused(api: httpx.Client, query: str) -> None:
    assert api.get(f"{TASKS}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"toStatus": "paid"}, 409, "invalid_transition"),
        ({"toStatus": "lost"}, 400, "invalid_input"),
        ({"toStatus": "running", "reason": 5}, 400, "invalid_input"),
        ({}, 400, "invalid_input"),
    ],
)
def test_an_illegal_move_is_refused(
    stack: Stack, api: httpx.Client, body: dict[str, Any], status: int, error: str
) -> None:
    task = created(api)
    answer = api.post(f"{TASKS}/{task['taskId']}/transition", json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert stack.control_plane.task(task["taskId"]).status.value == "approved"


def test_a_task_of_somebody_else_is_forbidden(api: httpx.Client) -> None:
    task = created(api)
    other = {"x-oa-user-id": "user_2"}
    path = f"{TASKS}/{task['taskId']}"
    assert api.get(path, headers=other).status_code == 403
    assert api.post(f"{path}/transition", json={"toStatus": "running"}, headers=other).status_code == 403
    assert api.get(TASKS, headers=other).json()["tasks"] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", f"{TASKS}/nope", 404, "task_not_found"),
        ("GET", "/api/lightning/paywalls/nope", 404, "paywall_not_found"),
        ("GET", "/api/lightning/paywalls/nope/settlements", 404, "paywall_not_found"),
        ("GET", "/api/lightning", 404, "not_found"),
        ("DELETE", TASKS, 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_named(
    api: httpx.Client, method: str, path: str, status: int, error: str
) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"ok": False, "error": error})


def test_without_a_user_everything_is_unauthorized(stack: Stack) -> None:
    with httpx.Client(base_url="https://control.l402.test", verify=False) as client:
        for path in (TASKS, "/api/lightning/security/state", "/nowhere"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


def test_presence_keeps_a_session_alive(stack: Stack, api: httpx.Client) -> None:
    created(api)
    body = {"desktopSessionId": "desktop-9", "status": "idle"}
    assert api.post("/api/lightning/l402/executor/presence", json=body).json() == {
        "ok": True,
        "desktopSessionId": "desktop-9",
    }
    assert stack.control_plane.sweep() == ()
    assert api.post("/api/lightning/l402/executor/presence", json={}).status_code == 400


def test_paywalls_and_their_settlements_can_be_read(stack: Stack, api: httpx.Client) -> None:
    bought = stack.executor.buy("/premium")
    paywalls = api.get("/api/lightning/paywalls").json()["paywalls"]
    assert [row["paywallId"] for row in paywalls] == [
        "pw_premium",
        "pw_premium_expensive",
        "pw_premium_expiring",
    ]
    one = api.get("/api/lightning/paywalls/pw_premium").json()["paywall"]
    assert (one["priceMsats"], one["path"]) == (21_000, "/premium")
    mine = api.get("/api/lightning/paywalls/pw_premium/settlements").json()["settlements"]
    assert [row["requestId"] for row in mine] == [bought.request_id]
    assert api.get("/api/lightning/settlements").json()["settlements"] == mine
    assert api.get("/api/lightning/paywalls/pw_premium_expiring/settlements").json()["settlements"] == []


def test_the_security_state_shows_pause_and_switches(stack: Stack, api: httpx.Client) -> None:
    stack.control_plane.set_global_pause(True, "incident")
    stack.control_plane.set_owner_kill_switch("owner_1", True)
    assert api.get("/api/lightning/security/state").json() == {
        "ok": True,
        "global": {"globalPause": True, "denyReason": "incident"},
        "ownerControls": [{"ownerId": "owner_1", "killSwitch": True}],
    }


def test_answers_are_one_line_of_json(api: httpx.Client) -> None:
    answer = api.get(TASKS)
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text) == {"ok": True, "tasks": []}
    assert answer.text.endswith("}\n")
