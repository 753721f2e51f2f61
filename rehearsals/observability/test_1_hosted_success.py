"""Section 1: a paid request works from end to end, and its records join from the response header on."""

from collections.abc import Callable

import pytest

from pytest_l402.evidence import (
    artifacts_written,
    delivered_as_paid,
    local_artifact_join,
    money_agrees,
    one_challenge_an_invoice,
    one_story,
    paid_and_denied_present,
    paid_as_challenged,
    paid_exactly_once,
    parity_keys_present,
    payments_agree,
    planes_agree,
    probes_ok,
    proof_join,
    purchases_cost_one_payment,
    records_complete,
    records_in_time,
    records_tell_what_is_known,
    response_header_joins,
    result_shows,
    rows_in_order,
    some_row,
    steady_state_restored,
    summary_ok,
    task_settlement_join,
    triaged_as,
    ui_join,
    values_listed,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import Forger, FullFlowRun, Stack, Wallet
from pytest_l402.stack.roles import PlaysExecutor
from pytest_l402.stack.sold import Offer, Sold

pytestmark = pytest.mark.rehearsal("hosted-success", runbook="observability", section="1")


def test_full_flow(l402_full_flow: Callable[[], FullFlowRun], l402_evidence: EvidenceCollector) -> None:
    flow = l402_full_flow()
    l402_evidence.verify(
        summary_ok().proves("1.ok"),
        probes_ok().proves("1.probes"),
        paid_and_denied_present().proves("1.paid-and-denied"),
        records_complete().proves("1.keys"),
        parity_keys_present().proves("1.parity"),
        artifacts_written().proves("1.artifacts"),
        one_story().proves("1.one-story"),
        paid_exactly_once(flow.paid),
        payments_agree().proves("1.one-story"),
        triaged_as(flow.denied, "policy"),
        steady_state_restored().proves("1.undone"),
    )


def test_correlation_workflow(
    l402_stack: Stack, l402_executor: PlaysExecutor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    premium = l402_sold.premium
    known = {"paywallId": premium.paywall_id, "ownerId": premium.owner_id}
    purchase = l402_executor.buy(premium.resource)
    # With everything that a gateway could lose on the way to the seller.
    posted = l402_stack.forger().buy(
        f"{premium.resource}?edition=evening", method="POST", body=b'{"city": "Oslo"}'
    )
    _buy_for_a_fee(l402_stack, premium)
    answer = l402_stack.client.get(premium.resource, headers={"x-oa-task-id": "no id"})
    unnamed = answer.headers.get("x-oa-request-id", "of-no-request-id")
    l402_evidence.record("looked_at", _a_look_at(l402_stack))
    l402_evidence.verify(
        response_header_joins(purchase).proves("correlate.response-header"),
        response_header_joins(unnamed).proves("correlate.response-header"),
        some_row("exchanges", requestId=unnamed, taskId=None, status=402).proves("correlate.response-header"),
        result_shows("looked_at", changed=[], ill=[], probes=_probes(l402_sold)).proves("1.undone"),
        paid_exactly_once(posted),
        task_settlement_join(purchase).proves("correlate.task-and-settlement"),
        proof_join(purchase).proves("correlate.proof"),
        ui_join(purchase).proves("correlate.ui"),
        records_complete().proves("contract.keys"),
        values_listed().proves("contract.values"),
        records_in_time().proves("contract.known"),
        rows_in_order().proves("contract.known"),
        records_tell_what_is_known({premium.path: known}).proves("contract.known"),
        planes_agree().proves("contract.planes-agree"),
        delivered_as_paid(premium.path).proves("1.delivered-as-paid"),
        one_challenge_an_invoice().proves("1.one-challenge"),
        money_agrees().proves("contract.money"),
        purchases_cost_one_payment().proves("contract.one-payment"),
        paid_as_challenged().proves("contract.one-payment"),
        triaged_as(purchase, "healthy"),
    )


def _buy_for_a_fee(stack: Stack, offer: Offer) -> None:
    wallet = Wallet(stack.harness, stack.node, fee_msats=7, balance_msats=2 * offer.price_msats)
    payer = Forger(stack.harness.derive("who pays a fee"), client=stack.client, wallet=wallet)
    payer.buy(offer.resource)


def _a_look_at(stack: Stack) -> dict[str, list[str]]:
    """What a look at the steady state asks, what is told to be ill, and in which tables it leaves a row."""
    before = stack.tables()
    found = stack.steady_state("after")
    return {
        "probes": [row["probe"] for row in found],
        "ill": [row["detail"] for row in found if row["detail"] != "ok"],
        "changed": [name for name, rows in stack.tables().items() if rows != before.get(name)],
    }


def _probes(sold: Sold) -> list[str]:
    reachable = ["gateway_health", "gateway_challenge", *(["seller_api"] if sold.free_resources else ())]
    controls = ("global_pause", "owner_kill_switches", "credential_roles")
    return [*reachable, "faults", "hosts", *controls, "tasks", "payments", "settlements", "executor"]


def test_correlation_with_the_local_artifact(
    l402_executor: PlaysExecutor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    purchase = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(local_artifact_join(purchase).proves("correlate.local-artifact"))
