"""Section 5: from a request id and the records, nothing else, the on-call names the domain that failed."""

import pytest

from pytest_l402.evidence import (
    found_in_logs,
    paid_exactly_once,
    paid_nothing,
    proof_absent,
    proof_differs,
    recovered,
    some_record,
    steady_state_restored,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import (
    Executor,
    GatewayDown,
    ProjectionStale,
    SettlementDelayed,
    SettlementLost,
    SettlementProofMismatch,
    SettlementStore,
    Stack,
    UpstreamFailure,
)
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("settlement-failure", runbook="observability", section="5")


def test_settlement_lost(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(SettlementLost()):
        failing = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(failing)
    l402_evidence.verify(
        found_in_logs(failing).proves("5.request-id"),
        proof_absent(failing).proves("5.proof"),
        triaged_as(failing, "settlement", field="paymentProofRef", step_contains="replay").proves("5.domain"),
        paid_exactly_once(failing).proves("5.paid-once"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_settlement_delayed(
    l402_stack: Stack,
    l402_executor: Executor,
    l402_settlement_store: SettlementStore,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    with l402_stack.faults.inject(SettlementDelayed()):
        failing = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(failing)
    l402_evidence.verify(
        found_in_logs(failing).proves("5.request-id"),
        proof_absent(failing).proves("5.proof"),
        triaged_as(failing, "settlement", field="paymentProofRef").proves("5.domain"),
    )
    l402_settlement_store.release_delayed()
    l402_evidence.verify(triaged_as(failing, "healthy").proves("5.recovered"), paid_exactly_once(failing))
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_proof_mismatch_across_planes(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(SettlementProofMismatch()):
        failing = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(failing)
    l402_evidence.verify(
        found_in_logs(failing).proves("5.request-id"),
        proof_differs(failing, "gateway", "settlement").proves("5.proof"),
        triaged_as(failing, "settlement", field="paymentProofRef", rule="settlement_mismatch").proves(
            "5.domain"
        ),
    )


def test_paid_but_upstream_failed(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    l402_stack.forger().buy(l402_sold.premium.resource)
    with l402_stack.faults.inject(UpstreamFailure(status=503)):
        failing = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(failing)
    l402_evidence.verify(
        found_in_logs(failing).proves("5.request-id"),
        triaged_as(failing, "gateway", field="denyReason").proves("5.domain"),
        paid_exactly_once(failing).proves("5.paid-once"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_gateway_down(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(GatewayDown()):
        failing = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(failing)
    l402_evidence.verify(
        triaged_as(failing, "gateway", field="denyReason", step_contains="probes").proves("tree.gateway"),
        some_record(requestId=failing.request_id, denyReason="gateway_unreachable").proves("tree.gateway"),
        paid_nothing(failing).proves("tree.gateway"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def test_projection_stale(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    with l402_stack.faults.inject(ProjectionStale()):
        failing = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.expect_fault(failing)
    l402_evidence.verify(
        found_in_logs(failing).proves("5.request-id"),
        proof_absent(failing, plane="ui").proves("5.proof"),
        triaged_as(failing, "projection", field="paymentProofRef").proves("tree.projection"),
        paid_exactly_once(failing).proves("5.paid-once"),
    )
    _verify_recovered(l402_executor, l402_sold, l402_evidence)


def _verify_recovered(executor: Executor, sold: Sold, evidence: EvidenceCollector) -> None:
    evidence.verify(
        recovered(executor.buy(sold.premium.resource)).proves("5.recovered"),
        steady_state_restored().proves("5.recovered"),
    )
