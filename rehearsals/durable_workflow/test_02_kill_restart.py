"""Section 3, walkthrough A: a worker is killed in each window, and the run ends on the same id, paid once."""

import pytest

from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Step, paid_once, ran

pytestmark = pytest.mark.rehearsal("kill-restart", runbook="durable-workflow", section="3")


@pytest.mark.parametrize(
    ("window", "bodies", "calls"),
    [(Point.BEFORE_EFFECT, 2, 1), (Point.AFTER_EFFECT, 2, 2), (Point.AFTER_CHECKPOINT, 1, 1)],
    ids=["before-effect", "after-effect", "after-checkpoint"],
)
def test_killed_in(
    window: Point, bodies: int, calls: int, l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector
) -> None:
    points = l402_workflow.outside.points
    worker = l402_workflow.worker()
    with points.held(window, step=Step.EXECUTE) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        l402_workflow.kill(worker)
    l402_evidence.record("after_the_kill", {"status": l402_workflow.database.status_of(run)})
    l402_workflow.worker()
    l402_workflow.finished(run)
    l402_evidence.verify(
        result_shows("after_the_kill", status="PENDING").proves("3.pending"),
        some_row("process_events", event="killed", exitSignal="SIGKILL").proves("3.killed"),
        some_row("workflows", workflowID=run, status="SUCCESS").proves("3.resumed"),
        ran(run, Step.COMPILE).proves("3.prefix"),
        ran(run, Step.DECIDE).proves("3.prefix"),
        ran(run, Step.EXECUTE, bodies).proves("3.prefix"),
        paid_once(run, calls).proves("3.exactly-once"),
    )


def test_killed_at_the_gate(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    worker = l402_workflow.worker()
    run = l402_workflow.start(approval=True)
    l402_workflow.waiting(run)
    l402_workflow.kill(worker)
    l402_workflow.control.approve(run)
    l402_workflow.worker()
    l402_workflow.finished(run)
    l402_evidence.verify(
        some_row("process_events", event="killed", exitSignal="SIGKILL").proves("3.killed"),
        some_row("notifications", workflowID=run, consumed=True).proves("3.resumed"),
        ran(run, Step.DECIDE).proves("3.prefix"),
        paid_once(run).proves("3.exactly-once"),
    )
