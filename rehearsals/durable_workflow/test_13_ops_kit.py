"""Section 6: queue depth, what failed in 24 hours, and the same operation on many runs."""

import pytest

from pytest_l402.evidence import some_row, steady_state_restored
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point

pytestmark = pytest.mark.rehearsal("ops-kit", runbook="durable-workflow", section="6")


def test_depth_inbox_and_batches(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    control, points = l402_workflow.control, l402_workflow.outside.points
    runs = [l402_workflow.start(partition=f"p{number}") for number in range(3)]
    l402_evidence.record("depth", *l402_workflow.database.tables()["queue_depth"])
    with points.failing(Point.BEFORE_EFFECT, times=3, workflowID=runs[0]):
        l402_workflow.worker()
        for run in runs:
            l402_workflow.finished(run)
    listed = control.get("/api/ops/wf?status=ERROR").document["workflows"]
    l402_evidence.record("listed", {"failed": [row["workflow_uuid"] for row in listed]})
    forks = control.batch(lambda run: control.fork(run, 2), [runs[0], runs[0]])
    for answer in forks:
        l402_workflow.finished(answer.document["forkedWorkflowID"])
    l402_evidence.verify(
        some_row("depth", queueName="buys", status="ENQUEUED", depth=3).proves("6.queue-depth"),
        some_row("failures", workflowID=runs[0], status="ERROR").proves("6.inbox"),
        some_row("listed", failed=[runs[0]]).proves("6.list-failed"),
        some_row("workflows", forkedFrom=runs[0], status="SUCCESS").proves("6.batch"),
        steady_state_restored().proves("6.drained"),
    )
