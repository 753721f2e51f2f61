"""Section 6: a dead worker's runs keep the slots of their partition; operators see whose, and free them."""

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, paid_once

pytestmark = pytest.mark.rehearsal("starved-partition", runbook="durable-workflow", section="6")


def test_seen_named_freed(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    points, database = l402_workflow.outside.points, l402_workflow.database
    dead = l402_workflow.worker("worker-1", concurrency=1)
    with points.held(Point.BEFORE_EFFECT) as hold:
        first = l402_workflow.start(partition="p1")
        points.reached(hold)
        l402_workflow.kill(dead)
    l402_workflow.worker("worker-2", concurrency=1)
    second, other = l402_workflow.start(partition="p1"), l402_workflow.start(partition="p2")
    l402_workflow.finished(other)
    slots = database.until("a held slot", lambda now: now.tables()["held_slots"])
    l402_evidence.record("starved", *slots, {"workflowID": second, "status": database.status_of(second)})
    l402_workflow.worker("worker-1", concurrency=1)
    for run in (first, second):
        l402_workflow.finished(run)
    l402_evidence.verify(
        some_row("starved", workflowID=first, executorID="worker-1", queuePartitionKey="p1").proves(
            "6.held-slots"
        ),
        some_row("starved", workflowID=second, status="ENQUEUED").proves("6.held-slots"),
        some_row("workflows", workflowID=other, status="SUCCESS").proves("6.held-slots"),
        paid_once(first).proves("6.freed"),
        paid_once(second).proves("6.freed"),
    )
