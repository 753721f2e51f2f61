"""Section 0: a worker of another version leaves a run alone; the drill says so, and a fork moves it."""

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Step, paid_once, ran

pytestmark = pytest.mark.rehearsal("version-parity", runbook="durable-workflow", section="0")


def test_a_worker_of_v2(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    control, points, database = l402_workflow.control, l402_workflow.outside.points, l402_workflow.database
    old = l402_workflow.worker(version="v1")
    with points.held(Point.AFTER_EFFECT) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        l402_workflow.kill(old)
    l402_workflow.worker(version="v2")
    stranded = database.until("a stranded run", lambda now: now.tables()["stranded"])
    l402_evidence.record("left_alone", *stranded)
    forked = control.fork(run, 2, appVersion="v2").document["forkedWorkflowID"]
    l402_workflow.finished(forked)
    control.cancel(run)
    l402_evidence.verify(
        some_row("left_alone", workflowID=run, status="PENDING", applicationVersion="v1").proves("0.parity"),
        ran(run, Step.EXECUTE).proves("0.parity"),
        some_row("workflows", workflowID=forked, status="SUCCESS", applicationVersion="v2").proves("0.moved"),
        paid_once(forked, calls=2).proves("0.moved"),
    )
