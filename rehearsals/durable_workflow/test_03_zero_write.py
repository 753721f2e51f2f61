"""Section 3, walkthrough B: what policy or schema refuses writes nothing; with a key it is accepted."""

from typing import Any

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, paid_once, zero_writes

pytestmark = pytest.mark.rehearsal("zero-write", runbook="durable-workflow", section="3")


START: dict[str, Any] = {"queuePartitionKey": "ui-default", "approval": False}
REFUSED: dict[str, dict[str, Any]] = {
    "queue_partition_key_required": {"queuePartitionKey": " "},
    "unknown_field": {"queueName": "other"},
    "over_budget": {"budgetMsats": 1},
    "invalid_recipeName": {"recipeName": "unheard-of"},
    "invalid_queuePartitionKey": {"queuePartitionKey": None},
}


def test_refused_starts(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    control = l402_workflow.control
    l402_workflow.worker()
    intent = control.create_intent()
    l402_workflow.count_rows("before")
    control.post("/api/runs", {"intentId": intent})
    for change in REFUSED.values():
        control.post("/api/runs", {"intentId": intent, **START, **change})
    control.post("/api/runs", b'{"intentId": ')
    control.post("/api/runs", {"intentId": "it_unknown"})
    l402_workflow.count_rows("after")
    run = control.post("/api/runs", {"intentId": intent, **START}).document["workflowID"]
    l402_workflow.finished(run)
    l402_evidence.verify(
        *(some_row("control_answers", status=400, code=code).proves("3.refused") for code in REFUSED),
        some_row("control_answers", status=400, code="invalid_json").proves("3.refused"),
        some_row("control_answers", status=404, code="intent_not_found").proves("0.lattice"),
        zero_writes().proves("3.zero-write"),
        some_row("control_answers", path="/api/runs", status=201).proves("3.control"),
        paid_once(run).proves("3.control"),
    )
