"""Section 5, walkthrough E: a sleep ends when it was to end, whatever happened to the worker meanwhile."""

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, ran, woke_in_time

pytestmark = pytest.mark.rehearsal("durable-sleep", runbook="durable-workflow", section="5")


@pytest.mark.parametrize("late", [False, True], ids=["restarted-before-its-end", "restarted-after-its-end"])
def test_killed_while_it_sleeps(
    late: bool, l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector
) -> None:
    worker, clock = l402_workflow.worker(), l402_workflow.clock
    l402_workflow.control.post("/api/ops/sleep?wf=sleep_1&sleep=2000", {})
    deadline_ms = l402_workflow.asleep_until("sleep_1")
    l402_workflow.kill(worker)
    if late:
        clock.advance(max(0, deadline_ms + 100 - clock.now_ms()))
    l402_workflow.worker()
    booted_ms = clock.now_ms()
    l402_workflow.finished("sleep_1")
    latest_ms = max(deadline_ms, booted_ms) + 1_600
    l402_evidence.record(
        "sleeps", {"workflowID": "sleep_1", "deadlineMs": deadline_ms, "latestMs": latest_ms}
    )
    l402_evidence.verify(
        woke_in_time("sleep_1").proves("5.woke"),
        ran("sleep_1", "sleep-before-sleep").proves("5.once"),
        ran("sleep_1", "sleep-after-sleep").proves("5.once"),
        some_row("process_events", event="killed", exitSignal="SIGKILL").proves("5.killed"),
    )
