"""Section 4, walkthrough D: a run that failed is forked after the fix; what was done is kept, paid once."""

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Step, kept_by_fork, paid_once, ran

pytestmark = pytest.mark.rehearsal("fork-after-fix", runbook="durable-workflow", section="4")


def test_failed_at_execute(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    control, points = l402_workflow.control, l402_workflow.outside.points
    l402_workflow.worker()
    with points.failing(Point.BEFORE_EFFECT, times=3):
        run = l402_workflow.start()
        l402_workflow.finished(run)
    forked = control.fork(run, 2).document["forkedWorkflowID"]
    l402_workflow.finished(forked)
    control.fork(run, 99)
    control.fork(run, 0)
    l402_evidence.verify(
        some_row("workflows", workflowID=run, status="ERROR").proves("4.fork-source"),
        some_row("failures", workflowID=run).proves("4.fork-source"),
        some_row("workflows", workflowID=forked, status="SUCCESS", forkedFrom=run).proves("4.fork"),
        kept_by_fork(run, forked, Step.COMPILE, Step.APPLY_PATCH).proves("4.fork-cached"),
        ran(forked, Step.DECIDE).proves("4.fork"),
        ran(forked, Step.EXECUTE).proves("4.fork"),
        some_row("control_answers", status=409, code="step_beyond_last").proves("4.fork-bounds"),
        some_row("control_answers", status=400, code="invalid_stepN").proves("4.fork-bounds"),
        paid_once(forked).proves("4.paid-once"),
    )


def test_forked_after_it_has_paid(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    l402_workflow.worker()
    run = l402_workflow.start()
    l402_workflow.finished(run)
    forked = l402_workflow.control.fork(run, 2).document["forkedWorkflowID"]
    l402_workflow.finished(forked)
    l402_evidence.verify(
        ran(forked, Step.EXECUTE).proves("4.fork"),
        paid_once(forked, calls=2).proves("4.fork-pays-not"),
    )
