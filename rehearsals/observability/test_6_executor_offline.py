"""Section 6: from records and the local artifact alone, the on-call tells that the executor was not there."""

import pytest

from pytest_l402.evidence import (
    artifact_lacks,
    artifact_shows,
    money_agrees,
    no_record,
    paid_exactly_once,
    paid_nothing,
    recovered,
    some_record,
    some_row,
    steady_state_restored,
    success_despite,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import (
    ControlPlane,
    Executor,
    ExecutorStops,
    HeartbeatStopped,
    NodeDegraded,
    PaymentFailure,
    Stack,
    StackClock,
    Task,
    WalletLocked,
)
from pytest_l402.stack.faults import StopPoint
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("executor-offline", runbook="observability", section="6")

A_HEARTBEAT_MAY_BE_OLD_MS = 10_000
LONGER_THAN_A_HEARTBEAT_MAY_BE_OLD_MS = 10_001
A_TASK_MAY_TAKE_MS = 4_499


def test_stopped_before_the_request(
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    earlier = l402_executor.buy(l402_sold.premium.resource)
    l402_executor.stop()
    offline = l402_executor.buy(l402_sold.premium.resource)
    l402_clock.advance(LONGER_THAN_A_HEARTBEAT_MAY_BE_OLD_MS)
    l402_control_plane.sweep()
    l402_evidence.verify(
        artifact_shows(earlier, task_status="completed"),
        artifact_lacks(offline).proves("6.local-artifact"),
        paid_nothing(offline),
        triaged_as(offline, "executor", field="denyReason").proves("6.domain"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


@pytest.mark.parametrize(
    ("stops_at", "task_status"),
    [
        pytest.param("before_payment", "running", id="before-payment"),
        pytest.param("during_payment", "running", id="during-payment"),
        pytest.param("after_payment", "paid", id="after-payment"),
    ],
)
def test_killed(
    stops_at: StopPoint,
    task_status: str,
    l402_stack: Stack,
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    with l402_stack.faults.inject(ExecutorStops(at=stops_at)):
        killed = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(killed)
    l402_evidence.verify(
        artifact_shows(killed, flow="interrupted", task_status=task_status).proves("6.local-artifact"),
        triaged_as(killed, "executor", field="taskStatus").proves("6.domain"),
    )
    l402_clock.advance(LONGER_THAN_A_HEARTBEAT_MAY_BE_OLD_MS)
    l402_control_plane.sweep()
    # What was paid for cannot be denied any more.
    ended = "failed" if task_status == "paid" else "blocked"
    l402_evidence.verify(
        triaged_as(killed, "executor", field="denyReason").proves("6.domain"),
        some_row("tasks", requestId=killed.request_id, status=ended).proves("6.domain"),
    )
    if stops_at == "before_payment":
        l402_evidence.verify(paid_nothing(killed))
    else:
        l402_evidence.verify(paid_exactly_once(killed))
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_heartbeat_stale(
    l402_stack: Stack,
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    l402_executor.heartbeat()
    heard_ms = l402_clock.now_ms()
    l402_clock.advance(A_HEARTBEAT_MAY_BE_OLD_MS - 100)
    stale = _task_for(l402_executor, l402_control_plane, l402_sold, "web-stale")
    _advance_to(l402_clock, heard_ms + A_HEARTBEAT_MAY_BE_OLD_MS)
    l402_control_plane.sweep()
    l402_evidence.verify(
        no_record(requestId=stale.request_id, denyReason="desktop_executor_offline").proves("6.domain"),
        # It waits to be taken up: nothing failed, and one plane alone cannot say that nothing will.
        triaged_as(stale, "not-enough-to-say").proves("6.domain"),
    )
    with l402_stack.faults.inject(HeartbeatStopped()):
        l402_executor.heartbeat()
        # Whose session it is counts: another user's, heard of just now, takes up no task of this one.
        l402_control_plane.heartbeat("desktop-of-another-user", "idle", "user_another")
        _advance_to(l402_clock, heard_ms + LONGER_THAN_A_HEARTBEAT_MAY_BE_OLD_MS)
        l402_control_plane.sweep()
    offline = {"denyReason": "desktop_executor_offline", "desktopSessionId": l402_executor.desktop_session_id}
    l402_evidence.verify(
        triaged_as(stale, "executor", field="denyReason").proves("6.domain"),
        some_record(requestId=stale.request_id, **offline).proves("6.domain"),
        paid_nothing(stale),
    )
    l402_executor.heartbeat()
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_task_not_taken_up(
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    # The session of yesterday was never closed; what counts is the one that was heard of last.
    l402_control_plane.heartbeat("desktop-of-yesterday", "idle", l402_executor.user_id)
    l402_clock.advance(LONGER_THAN_A_HEARTBEAT_MAY_BE_OLD_MS)
    l402_executor.heartbeat()
    task = _task_for(l402_executor, l402_control_plane, l402_sold, "web-not-taken-up")
    _advance_to(l402_clock, task.created_at_ms + A_TASK_MAY_TAKE_MS - 1)
    l402_executor.heartbeat()
    l402_control_plane.sweep()
    l402_evidence.verify(
        no_record(requestId=task.request_id, denyReason="desktop_executor_timeout").proves("6.domain")
    )
    l402_clock.advance(1)
    l402_control_plane.sweep()
    l402_evidence.verify(
        triaged_as(task, "executor", field="denyReason").proves("6.domain"),
        some_record(
            requestId=task.request_id,
            denyReason="desktop_executor_timeout",
            desktopSessionId=l402_executor.desktop_session_id,
        ).proves("6.domain"),
        some_row("tasks", requestId=task.request_id, status="blocked").proves("6.domain"),
        paid_nothing(task),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_given_up_meanwhile(
    l402_stack: Stack,
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    def given_up(challenge: object) -> None:
        l402_clock.advance(LONGER_THAN_A_HEARTBEAT_MAY_BE_OLD_MS)
        l402_control_plane.sweep()

    l402_stack.client.event_hooks = {"request": [], "response": [given_up]}
    late = l402_executor.buy(l402_sold.premium.resource)
    l402_stack.client.event_hooks = {"request": [], "response": []}
    l402_evidence.verify(
        triaged_as(late, "executor", field="denyReason").proves("6.domain"),
        paid_nothing(late).proves("6.money"),
        money_agrees().proves("6.money"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_wallet_locked(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(WalletLocked()):
        locked = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        artifact_shows(locked, task_status="failed").proves("6.local-artifact"),
        triaged_as(locked, "local-node", field="walletState").proves("6.domain"),
        some_row("presence", status="failed_task").proves("6.domain"),
        some_row("tasks", status="failed", lastErrorCode="wallet_locked").proves("6.domain"),
        paid_nothing(locked),
        money_agrees().proves("6.money"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_node_degraded(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(NodeDegraded()), l402_stack.faults.inject(PaymentFailure()):
        failed = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        artifact_shows(failed, task_status="failed").proves("6.local-artifact"),
        triaged_as(failed, "local-node", field="nodeSyncStatus").proves("tree.local-node"),
        paid_nothing(failed),
        money_agrees().proves("6.money"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_success_on_a_degraded_node(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(NodeDegraded()):
        purchase = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        some_row("presence", status="completed_task").proves("6.degraded-success"),
        success_despite(purchase, nodeSyncStatus="degraded").proves("6.degraded-success"),
        triaged_as(purchase, "healthy").proves("6.degraded-success"),
        paid_exactly_once(purchase),
    )


def _task_for(executor: Executor, control_plane: ControlPlane, sold: Sold, request_id: str) -> Task:
    """Queue a purchase as the web application does, and leave it to whoever takes it up."""
    premium = sold.premium
    endpoint = f"https://{premium.host}{premium.path}"
    return control_plane.create_task(request_id, executor.user_id, endpoint, sold.cap_msats, premium.host)


def _advance_to(clock: StackClock, at_ms: int) -> None:
    clock.advance(at_ms - clock.now_ms())


def _verify_recovered(executor: Executor, sold: Sold, evidence: EvidenceCollector) -> None:
    executor.start()
    evidence.verify(
        recovered(executor.buy(sold.premium.resource)).proves("6.recovered"),
        steady_state_restored().proves("6.recovered"),
    )
