"""Section 4, walkthrough C: a run is cancelled, and resumed from its last checkpoint; both are audited."""

import pytest

from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Step, paid_once, ran

pytestmark = pytest.mark.rehearsal("cancel-resume", runbook="durable-workflow", section="4")


def test_resumed_when_idle(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    control, points = l402_workflow.control, l402_workflow.outside.points
    l402_workflow.worker()
    with points.held(Point.BEGIN, step=Step.DECIDE) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        control.cancel(run)
    points.seen(Point.LEFT, workflowID=run)
    executed = sum(call.get("step") == Step.EXECUTE for call in points.calls)
    status = l402_workflow.database.status_of(run)
    l402_evidence.record("cancelled", {"status": status, "executed": executed})
    control.resume(run)
    l402_workflow.finished(run)
    l402_evidence.verify(
        result_shows("cancelled", status="CANCELLED", executed=0).proves("4.cancel"),
        some_row("artifacts", workflowID=run, stepID="OPS", kind="json_diagnostic").proves("4.audit"),
        some_row("workflows", workflowID=run, status="SUCCESS").proves("4.resume"),
        ran(run, Step.COMPILE).proves("4.resume"),
        ran(run, Step.EXECUTE).proves("4.resume"),
        paid_once(run).proves("4.paid-once"),
    )


def test_resumed_while_the_old_body_still_runs(
    l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector
) -> None:
    points = l402_workflow.outside.points
    l402_workflow.worker()
    with points.held(Point.AFTER_EFFECT) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        l402_workflow.control.cancel(run)
        l402_workflow.control.resume(run)
        l402_workflow.finished(run)
    l402_evidence.verify(
        ran(run, Step.EXECUTE, 2).proves("4.hazard"),
        paid_once(run, calls=2).proves("4.hazard"),
    )


def test_what_cannot_be_done_is_refused(
    l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector
) -> None:
    control = l402_workflow.control
    l402_workflow.worker()
    run = l402_workflow.start()
    l402_workflow.finished(run)
    control.cancel(run)
    control.resume(run)
    control.cancel("unheard-of")
    control.post(f"/api/ops/wf/{run}/cancel", {"reason": "nobody"})
    l402_evidence.verify(
        some_row("control_answers", status=409, code="cannot_cancel").proves("0.lattice"),
        some_row("control_answers", status=409, code="cannot_resume").proves("0.lattice"),
        some_row("control_answers", status=404, code="workflow_not_found").proves("0.lattice"),
        some_row("control_answers", status=400, code="missing_actor").proves("0.lattice"),
    )


def test_killed_before_the_commit(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    points, control = l402_workflow.outside.points, l402_workflow.control
    run = l402_workflow.start()
    cancelling = l402_workflow.in_background(lambda: control.cancel(run))
    with points.held(Point.BEFORE_COMMIT, op="cancel") as hold, cancelling:
        points.reached(hold)
        l402_workflow.kill(l402_workflow.control_process)
    l402_evidence.record("halfway", {"status": l402_workflow.database.status_of(run)})
    l402_workflow.control = l402_workflow.new_control()
    l402_workflow.control.cancel(run)
    l402_workflow.control.resume(run)
    l402_workflow.worker()
    l402_workflow.finished(run)
    l402_evidence.verify(
        result_shows("halfway", status="ENQUEUED").proves("4.audit"),
        some_row("control_answers", operation="cancel", status=202).proves("4.cancel"),
        some_row("artifacts", workflowID=run, stepID="OPS").proves("4.audit"),
        paid_once(run).proves("4.paid-once"),
    )
