"""Section 6, final sign-off: a step without output says so, and no order of kills makes anybody pay twice."""

import pytest

from pytest_l402.evidence import result_shows, some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, none_paid_twice, soak

ROUNDS = 20


@pytest.mark.rehearsal("zero-output", runbook="durable-workflow", section="6")
def test_a_step_without_output(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    l402_workflow.worker()
    run = l402_workflow.start()
    l402_workflow.finished(run)
    l402_evidence.verify(
        some_row("artifacts", workflowID=run, stepID="ApplyPatchST", kind="none", idx=999).proves("6.none"),
    )


@pytest.mark.rehearsal("chaos-soak", runbook="durable-workflow", section="6")
def test_soak(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    summary = soak(l402_workflow, ROUNDS, l402_evidence.seed)
    l402_evidence.record("soak", summary)
    l402_evidence.verify(
        result_shows("soak", rounds=ROUNDS, kills=ROUNDS, receipts=ROUNDS).proves("6.soak"),
        none_paid_twice(ROUNDS).proves("6.soak"),
    )
