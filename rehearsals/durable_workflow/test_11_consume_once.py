"""Section 2: starts and replies that come at once are one start and one reply."""

from functools import partial

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Step, at_once, one_accepted, paid_once, ran

pytestmark = pytest.mark.rehearsal("consume-once", runbook="durable-workflow", section="2")


def test_eight_starts_and_eight_replies(
    l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector
) -> None:
    controls = [l402_workflow.control, l402_workflow.new_control()]
    l402_workflow.worker("worker-1")
    l402_workflow.worker("worker-2")
    run = l402_workflow.control.create_intent()
    at_once([partial(control.start, run) for control in controls * 4])
    l402_workflow.waiting(run)
    at_once([partial(control.approve, run) for control in controls * 4])
    l402_workflow.control.approve(run, approved_by="mallory")
    l402_workflow.finished(run)
    l402_evidence.verify(
        one_accepted("runs", of=8, accepted=201, refused=200).proves("2.start-once"),
        ran(run, Step.COMPILE).proves("2.start-once"),
        some_row("control_answers", status=202, operation="approve-plan").proves("2.reply-once"),
        some_row("control_answers", status=409, code="reply_differs").proves("2.reply-once"),
        some_row("notifications", workflowID=run, consumed=True).proves("2.reply-once"),
        ran(run, Step.EXECUTE).proves("2.reply-once"),
        paid_once(run).proves("2.reply-once"),
    )
