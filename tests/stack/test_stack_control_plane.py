"""Who may buy what, how far a purchase got, and which record says so."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.contract import TRANSITIONS, TaskStatus
from pytest_l402.harness.harness import Harness
from pytest_l402.stack import (
    ControlPlane,
    InvalidTransition,
    Paywall,
    UnknownTask,
)

PAYWALL = Paywall("pw_premium", "owner_premium", "route_premium", "Premium", "/premium", 21_000)
ENDPOINT = "https://shop.test/premium"
PATHS = {
    TaskStatus.APPROVED: (),
    TaskStatus.RUNNING: (TaskStatus.RUNNING,),
    TaskStatus.PAID: (TaskStatus.RUNNING, TaskStatus.PAID),
    TaskStatus.CACHED: (TaskStatus.RUNNING, TaskStatus.CACHED),
    TaskStatus.COMPLETED: (TaskStatus.COMPLETED,),
    TaskStatus.BLOCKED: (TaskStatus.BLOCKED,),
    TaskStatus.FAILED: (TaskStatus.FAILED,),
    TaskStatus.QUEUED: (TaskStatus.FAILED, TaskStatus.QUEUED),
}


class Office:
    def __init__(self) -> None:
        harness = Harness(1)
        self.clock, self.journal = harness.clock, harness.journal
        self.control = ControlPlane(harness)
        self.control.create_paywall(PAYWALL)

    def task(self, status: TaskStatus = TaskStatus.APPROVED, session: str | None = None) -> str:
        task = self.control.create_task("req_1", "user_1", ENDPOINT, 100_000, "shop.test")
        for step in PATHS[status]:
            self.control.transition(task.task_id, step, "req_1", "desktop", desktop_session_id=session)
        assert self.control.task(task.task_id).status is status
        return task.task_id

    def records(self, **wanted: Any) -> list[dict[str, Any]]:
        rows = self.journal.rows("records")
        return [row for row in rows if wanted.items() <= row.items()]


@pytest.fixture
def office() -> Office:
    return Office()


def test_the_gate_allows_and_says_so(office: Office) -> None:
    decision = office.control.gate("req_1", "owner_premium", "pw_premium", "task_1")

    assert (decision.allowed, decision.code, decision.reason) == (True, None, None)
    (record,) = office.records()
    assert record["endpoint"] == "/api/lightning/security/gate"
    assert (record["plane"], record["executor"], record["executionPath"]) == (
        "control",
        "system",
        "hosted-node",
    )
    assert (record["requestId"], record["userId"], record["paywallId"], record["taskId"]) == (
        "req_1",
        "owner_premium",
        "pw_premium",
        "task_1",
    )
    assert record["denyReason"] is None
    assert "oa_req=req_1 " in office.journal.rows("logs")[0]["line"]


def test_the_global_pause_comes_before_the_kill_switch(office: Office) -> None:
    office.control.set_owner_kill_switch("owner_premium", True)
    assert office.control.gate("r", "owner_premium", None).code == "owner_kill_switch_active"
    assert office.control.gate("r", "owner_other", None).allowed
    assert office.control.gate("r", None, None).allowed

    office.control.set_global_pause(True, "maintenance")
    decision = office.control.gate("r", "owner_premium", None)
    assert (decision.code, decision.reason) == ("global_pause_active", "maintenance")
    assert not office.control.gate("r", "owner_other", None).allowed

    office.control.set_global_pause(False, "ignored")
    office.control.set_owner_kill_switch("owner_premium", False)
    assert office.control.gate("r", "owner_premium", None).allowed
    assert [record["denyReason"] for record in office.records()] == [
        "owner_kill_switch_active",
        None,
        None,
        "global_pause_active",
        "global_pause_active",
        None,
    ]
    assert [(row["kind"], row["ownerId"], row["active"]) for row in office.journal.rows("controls")] == [
        ("owner_kill_switch", "owner_premium", True),
        ("global_pause", None, True),
        ("global_pause", None, False),
        ("owner_kill_switch", "owner_premium", False),
    ]


def test_reasons_default_and_are_cleared(office: Office) -> None:
    office.control.set_global_pause(True)
    office.control.set_owner_kill_switch("owner_1", True)
    state = office.control.security_state()
    assert (state.global_pause, state.global_reason) == (True, "Global paywall pause is active")
    assert state.killed_owners == ("owner_1",)
    assert office.control.global_pause()

    office.control.set_global_pause(False)
    assert office.control.gate("r", "owner_1", None).reason == "Owner kill switch is active"
    assert office.control.security_state().global_reason is None


def test_a_task_is_approved_and_joins_its_paywall(office: Office) -> None:
    task = office.control.create_task("req_1", "user_1", ENDPOINT, 100_000, "shop.test")

    assert (task.status, task.last_error_code, task.is_blocked) == (TaskStatus.APPROVED, None, False)
    assert office.records(paywallId="pw_premium", taskId=task.task_id, denyReason=None)
    (row,) = office.journal.rows("transitions")
    assert (row["fromStatus"], row["toStatus"], row["actor"], row["requestId"]) == (
        None,
        "approved",
        "system",
        "req_1",
    )
    assert office.control.tasks(owner_id="user_1") == (task,)
    assert office.control.tasks(status=TaskStatus.BLOCKED) == ()


def test_a_paused_platform_creates_the_task_blocked(office: Office) -> None:
    office.control.set_global_pause(True)
    task = office.control.create_task("req_1", "user_1", ENDPOINT, 100_000, "shop.test")

    assert task.is_blocked
    assert (task.last_error_code, task.last_error_reason) == (
        "global_pause_active",
        "Global paywall pause is active",
    )
    assert len(office.records(denyReason="global_pause_active", requestId="req_1", taskId=task.task_id)) == 1


@pytest.mark.parametrize(
    ("allowed", "blocked", "host", "code"),
    [
        ((), (), "shop.test", None),
        (("shop.test",), (), "SHOP.test", None),
        (("shop.test",), (), "shop.test:8443", "host_not_allowlisted"),
        (("other.test",), (), "shop.test", "host_not_allowlisted"),
        (("shop.test",), ("Shop.Test",), "shop.test", "host_blocked"),
        ((), ("shop.test",), "shop.test.", "host_blocked"),
        ((), ("shop.test.:8443",), "shop.test:8443", "host_blocked"),
        (("shop.test",), (), "shop.test.", None),
        ((), (" shop.test",), "shop.test", "host_blocked"),
        ((), ("\tSHOP.Test.\n",), "shop.test", "host_blocked"),
        ((), ("\N{NO-BREAK SPACE}shop.test",), "shop.test", "host_blocked"),
        ((" shop.test ",), (), "shop.test", None),
        ((" ",), (), "shop.test", "host_not_allowlisted"),
    ],
)
def test_the_hosts_of_the_paywall_decide(
    allowed: tuple[str, ...], blocked: tuple[str, ...], host: str, code: str | None
) -> None:
    office = Office()
    office.control.create_paywall(
        Paywall(
            "pw_closed",
            "owner_closed",
            "route_closed",
            "Closed",
            "/closed/*",
            1,
            allowed_hosts=frozenset(allowed),
            blocked_hosts=frozenset(blocked),
        )
    )
    task = office.control.create_task("req_1", "user_1", f"https://{host}/closed/a", 5, host)
    assert task.last_error_code == code
    denials = office.records(denyReason=code, plane="control", paywallId="pw_closed") if code else []
    assert len(denials) == (1 if code else 0)
    assert task.is_blocked == (code is not None)


def test_a_paywall_is_created_once_and_not_redefined(office: Office) -> None:
    assert not office.control.create_paywall(PAYWALL)
    assert office.control.paywalls() == (PAYWALL,)
    assert office.control.paywall("pw_premium") == PAYWALL
    assert office.control.paywall("pw_none") is None
    other = Paywall("pw_premium", "owner_premium", "route_premium", "Premium", "/premium", 1)
    with pytest.raises(ValueError, match="pw_premium exists"):
        office.control.create_paywall(other)


@pytest.mark.parametrize(("price", "path"), [(0, "/a"), (-1, "/a"), (1, "a")])
def test_a_paywall_without_price_or_path_is_refused(price: int, path: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        Paywall("pw", "o", "r", "n", path, price)


def test_paths_are_covered_exactly_or_below(office: Office) -> None:
    below = Paywall("pw", "o", "r", "n", "/a/*", 1)
    assert below.covers("https://h/a/b?x=/premium")
    assert not below.covers("https://h/a")
    assert PAYWALL.covers("/premium")
    assert PAYWALL.covers("https://h/%70remium")
    assert not PAYWALL.covers("https://h/premium%3Fpage")
    assert not PAYWALL.covers("https://h/premium/x")


@pytest.mark.parametrize("start", PATHS)
@pytest.mark.parametrize("to", TaskStatus)
def test_the_board_follows_the_graph(start: TaskStatus, to: TaskStatus) -> None:
    office = Office()
    task_id = office.task(start)
    before = len(office.journal.rows("transitions"))
    legal = to in TRANSITIONS[start] or to is start
    if legal:
        assert office.control.transition(task_id, to, "req_2", "system").status is to
    else:
        with pytest.raises(InvalidTransition):
            office.control.transition(task_id, to, "req_2", "system")
        assert office.control.task(task_id).status is start
    added = len(office.journal.rows("transitions")) - before
    assert added == (1 if legal and to is not start else 0)


def test_an_unknown_task_is_named(office: Office) -> None:
    with pytest.raises(UnknownTask, match="task nope: not found"):
        office.control.transition("nope", TaskStatus.RUNNING, "r", "desktop")


def test_blocking_leaves_a_denial_under_the_purchase_s_own_request(office: Office) -> None:
    task_id = office.task(TaskStatus.RUNNING, session="desktop-1")
    office.control.transition(
        task_id, TaskStatus.BLOCKED, "req_other", "desktop", "amount_over_cap", "too expensive"
    )

    (denial,) = office.records(denyReason="amount_over_cap")
    assert (denial["requestId"], denial["taskId"], denial["plane"], denial["executor"]) == (
        "req_1",
        task_id,
        "control",
        "system",
    )
    assert (denial["executionPath"], denial["desktopSessionId"]) == ("local-node", "desktop-1")
    assert (denial["endpoint"], denial["capAppliedMsats"], denial["paywallId"]) == (
        ENDPOINT,
        100_000,
        "pw_premium",
    )
    office.control.transition(task_id, TaskStatus.BLOCKED, "req_other", "desktop", "amount_over_cap")
    assert len(office.records(denyReason="amount_over_cap")) == 1


def test_a_failure_of_the_desktop_is_no_denial_and_requeueing_clears_the_error(office: Office) -> None:
    task_id = office.task(TaskStatus.RUNNING)
    before = len(office.records())
    failed = office.control.transition(task_id, TaskStatus.FAILED, "r", "desktop", "gateway_unreachable", "x")
    assert (failed.last_error_code, failed.last_error_reason) == ("gateway_unreachable", "x")
    assert len(office.records()) == before
    assert office.control.transition(task_id, TaskStatus.QUEUED, "r", "system").last_error_code is None


def sweep(office: Office) -> list[tuple[TaskStatus, str | None]]:
    return [(task.status, task.last_error_code) for task in office.control.sweep()]


def test_nobody_ever_came(office: Office) -> None:
    task_id = office.task()
    assert sweep(office) == [(TaskStatus.BLOCKED, "desktop_executor_offline")]
    (denial,) = office.records(denyReason="desktop_executor_offline")
    assert (denial["taskId"], denial["executionPath"], denial["desktopSessionId"]) == (
        task_id,
        "hosted-node",
        None,
    )
    assert sweep(office) == []


def test_a_silent_session_is_offline_after_ten_seconds(office: Office) -> None:
    office.control.heartbeat("desktop-1", "idle", "user_1")
    beat = office.journal.rows("presence")[0]["atMs"]
    office.task()
    office.clock.advance(beat + 4_000 - office.clock.now_ms())
    assert sweep(office) == []

    for _ in range(2):
        office.clock.advance(3_000)
        office.control.heartbeat("desktop-1", "idle", "user_1")
    assert sweep(office) == [(TaskStatus.BLOCKED, "desktop_executor_timeout")]

    office.task()
    beat = office.journal.rows("presence")[-1]["atMs"]
    office.clock.advance(beat + 10_000 - office.clock.now_ms())
    assert [code for _, code in sweep(office)] == ["desktop_executor_timeout"]
    office.task()
    office.clock.advance(1)
    assert sweep(office) == [(TaskStatus.BLOCKED, "desktop_executor_offline")]
    (denial,) = office.records(denyReason="desktop_executor_offline")
    assert (denial["desktopSessionId"], denial["executionPath"]) == ("desktop-1", "local-node")


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (TaskStatus.QUEUED, TaskStatus.BLOCKED),
        (TaskStatus.APPROVED, TaskStatus.BLOCKED),
        (TaskStatus.RUNNING, TaskStatus.BLOCKED),
        (TaskStatus.PAID, TaskStatus.FAILED),
        (TaskStatus.CACHED, TaskStatus.FAILED),
    ],
)
def test_a_task_that_was_paid_fails_instead_of_being_blocked(status: TaskStatus, end: TaskStatus) -> None:
    office = Office()
    office.control.heartbeat("desktop-1", "running_task", "user_1")
    office.task(status, session="desktop-1")
    office.clock.advance(11_000)
    assert sweep(office) == [(end, "desktop_executor_offline")]
    assert len(office.records(denyReason="desktop_executor_offline", desktopSessionId="desktop-1")) == 1


def test_a_task_times_out_after_four_and_a_half_seconds(office: Office) -> None:
    task = office.control.task(office.task())
    office.control.heartbeat("desktop-1", "idle", "user_1")
    office.clock.advance(task.created_at_ms + 4_499 - office.clock.now_ms())
    assert sweep(office) == []
    office.clock.advance(1)
    assert sweep(office) == [(TaskStatus.BLOCKED, "desktop_executor_timeout")]


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.BLOCKED, TaskStatus.FAILED])
def test_a_finished_task_is_left_alone(status: TaskStatus) -> None:
    office = Office()
    office.task(status)
    office.clock.advance(60_000)
    assert sweep(office) == []


def test_the_session_that_took_the_task_counts_not_a_livelier_one(office: Office) -> None:
    office.control.heartbeat("desktop-old", "running_task", "user_1")
    office.task(TaskStatus.RUNNING, session="desktop-old")
    office.clock.advance(11_000)
    office.control.heartbeat("desktop-new", "idle", "user_1")
    assert sweep(office) == [(TaskStatus.BLOCKED, "desktop_executor_offline")]
