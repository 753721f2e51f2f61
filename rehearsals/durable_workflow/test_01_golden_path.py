"""Section 2: start an intent, approve its plan, see it done; a start that is repeated changes nothing."""

import pytest

from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Step, paid_once, ran

pytestmark = pytest.mark.rehearsal("golden-path", runbook="durable-workflow", section="2")


def test_start_approve_verify(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    control = l402_workflow.control
    l402_workflow.worker()
    intent = control.create_intent()
    run = control.start(intent).document["workflowID"]
    control.start(intent)
    control.start(intent, "another-partition")
    waiting = l402_workflow.waiting(run)
    l402_evidence.record("at_the_gate", {**waiting, "receipts": len(l402_workflow.outside.wallet.receipts)})
    control.approve(run)
    l402_workflow.finished(run)
    l402_evidence.verify(
        some_row("control_answers", path="/api/runs", status=201).proves("2.start"),
        some_row("runs", workflowID=run, intentID=intent).proves("0.identity"),
        some_row("control_answers", path="/api/runs", status=200).proves("2.replay"),
        some_row("control_answers", status=409, code="drift", drift=["queuePartitionKey"]).proves("2.drift"),
        result_shows("at_the_gate", nextAction="APPROVE_PLAN", receipts=0).proves("2.gate"),
        some_row("workflows", workflowID=run, status="SUCCESS").proves("2.done"),
        paid_once(run).proves("2.done"),
        ran(run, Step.EXECUTE).proves("2.done"),
        some_row("artifacts", workflowID=run, stepID="CompileST", kind="plan_card").proves("2.artifacts"),
    )
