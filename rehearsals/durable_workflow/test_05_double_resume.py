"""Section 4: eight resumes at once are one resume."""

from functools import partial

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Step, at_once, one_accepted, paid_once, ran

pytestmark = pytest.mark.rehearsal("double-resume", runbook="durable-workflow", section="4")


def test_eight_at_once(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    points = l402_workflow.outside.points
    controls = [l402_workflow.control, l402_workflow.new_control()]
    l402_workflow.worker("worker-1")
    l402_workflow.worker("worker-2")
    with points.held(Point.BEGIN, step=Step.DECIDE) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        l402_workflow.control.cancel(run)
    points.seen(Point.LEFT, workflowID=run)
    at_once([partial(control.resume, run) for control in controls * 4])
    l402_workflow.finished(run)
    l402_evidence.verify(
        one_accepted("resume", of=8).proves("4.resume-once"),
        ran(run, Step.EXECUTE).proves("4.resume-once"),
        ran(run, Step.RECORD).proves("4.resume-once"),
        paid_once(run).proves("4.paid-once"),
    )


def test_a_running_run_is_not_resumed(
    l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector
) -> None:
    points = l402_workflow.outside.points
    l402_workflow.worker()
    with points.held(Point.BEFORE_EFFECT) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        l402_workflow.control.resume(run)
    l402_workflow.finished(run)
    l402_evidence.verify(
        some_row("control_answers", operation="resume", status=409).proves("4.resume-once"),
        ran(run, Step.EXECUTE).proves("4.resume-once"),
        paid_once(run).proves("4.paid-once"),
    )
