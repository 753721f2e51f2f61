"""Section 4: policy denies before any payment, and the denial is on record where the on-call looks for it."""

import pytest

from pytest_l402.evidence import (
    denial_recorded,
    denied_before_payment,
    nothing_reached,
    paid_exactly_once,
    paid_nothing,
    result_shows,
    some_record,
    some_row,
    triaged_as,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import BuyerPolicy, ControlPlane, Executor, Paywall, Stack
from pytest_l402.stack.roles import BuyResult, PlaysExecutor
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("policy-block", runbook="observability", section="4")


def test_over_cap(l402_executor: PlaysExecutor, l402_sold: Sold, l402_evidence: EvidenceCollector) -> None:
    _verify_denied(l402_evidence, l402_executor.buy(l402_sold.expensive.resource), "amount_over_cap")


def test_the_cap_itself_may_be_spent(
    l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    premium = l402_sold.premium
    denied = l402_executor.buy(premium.resource, max_spend_msats=premium.price_msats - 1)
    paid = l402_executor.buy(premium.resource, max_spend_msats=premium.price_msats)
    l402_evidence.verify(paid_exactly_once(paid).proves("4.deny-reason"), triaged_as(paid, "healthy"))
    _verify_denied(l402_evidence, denied, "amount_over_cap")


def test_blocked_host(l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector) -> None:
    premium = l402_sold.premium
    l402_executor.policy = BuyerPolicy(blocked_hosts=frozenset({premium.host}))
    _verify_denied(l402_evidence, l402_executor.buy(premium.resource), "host_blocked")
    _verify_told(l402_evidence, f"Host {premium.host} is blocked")


def test_host_not_on_the_list(
    l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    l402_executor.policy = BuyerPolicy(allowed_hosts=frozenset({"another.l402.test"}))
    _verify_denied(l402_evidence, l402_executor.buy(l402_sold.premium.resource), "host_not_allowlisted")
    _verify_told(l402_evidence, f"Host {l402_sold.premium.host} is not on the allowlist")


def test_hosts_of_the_paywall(
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    listed = (
        Paywall(
            *("pw_host_blocked", "owner_listed", "route_blocked", "host_blocked", "/host_blocked", 5_000),
            blocked_hosts=frozenset({f"{l402_sold.host.upper()}. "}),
        ),
        Paywall(
            *("pw_host_not_allowlisted", "owner_listed", "route_other", "host_not_allowlisted"),
            *("/host_not_allowlisted", 5_000),
            allowed_hosts=frozenset({"another.l402.test"}),
        ),
    )
    for paywall in listed:
        code = paywall.name
        l402_control_plane.create_paywall(paywall)
        denied = l402_executor.buy(paywall.path)
        l402_evidence.record("told_the_buyer", {"status": denied.status.value, "code": denied.error_code})
        _verify_denied(l402_evidence, denied, code)
        l402_evidence.verify(
            some_record(requestId=denied.request_id, paywallId=paywall.paywall_id, denyReason=code).proves(
                "4.control-plane"
            ),
            some_row("told_the_buyer", status="blocked", code=code).proves("4.deny-reason"),
        )


def test_what_is_free_costs_nothing(
    l402_stack: Stack, l402_executor: Executor, l402_sold: Sold, l402_evidence: EvidenceCollector
) -> None:
    free = l402_executor.buy(l402_sold.free.resource)
    answer = l402_stack.client.get(l402_sold.free.resource)
    l402_evidence.record("free_answer", {"contentType": answer.headers.get("content-type")})
    l402_evidence.verify(
        result_shows("free_answer", contentType="application/json").proves("4.before-payment"),
        some_row("exchanges", requestId=free.request_id, status=200, challenge=None).proves(
            "4.before-payment"
        ),
        paid_nothing(free).proves("4.before-payment"),
    )


def test_owner_kill_switch(
    l402_stack: Stack,
    l402_executor: Executor,
    l402_control_plane: ControlPlane,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    premium, direct = l402_sold.premium, l402_stack.forger()
    another = l402_sold.other_than(premium)
    if another.price_msats > l402_sold.cap_msats:
        # No cap is to be what denies it: nothing else may.
        l402_executor.policy = BuyerPolicy(default_cap_msats=another.price_msats)
    paid_for = direct.buy(premium.resource)
    l402_control_plane.set_owner_kill_switch(premium.owner_id, active=True)
    denied: list[BuyResult] = [
        l402_executor.buy(premium.resource),
        direct.ask(premium.resource),
        direct.present_again(paid_for),
    ]
    of_another_owner = l402_executor.buy(another.resource)
    l402_control_plane.set_owner_kill_switch(premium.owner_id, active=False)
    for request in denied:
        _verify_denied(l402_evidence, request, "owner_kill_switch_active")
    l402_evidence.verify(paid_exactly_once(of_another_owner).proves("4.before-payment"))


def test_global_pause(
    l402_stack: Stack,
    l402_executor: PlaysExecutor,
    l402_control_plane: ControlPlane,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    premium, direct = l402_sold.premium, l402_stack.forger()
    paid_for = direct.buy(premium.resource)
    l402_control_plane.set_global_pause(True)
    denied: list[BuyResult] = [
        l402_executor.buy(premium.resource),
        direct.present_again(paid_for),
        *(direct.ask(offer.resource) for offer in l402_sold.paid),
    ]
    l402_control_plane.set_global_pause(False)
    for request in denied:
        _verify_denied(l402_evidence, request, "global_pause_active")


def _verify_told(evidence: EvidenceCollector, reason: str) -> None:
    """The buyer's own artifact says in words why it did not buy."""
    blocked = {"flows.blockedErrorCode": "DomainNotAllowedError", "flows.blockedReason": reason}
    evidence.verify(some_row("local_artifact", **blocked).proves("4.deny-reason"))


def _verify_denied(evidence: EvidenceCollector, purchase: BuyResult, code: str) -> None:
    evidence.verify(
        some_record(denyReason=code).proves("4.deny-reason"),
        denial_recorded(purchase, code, plane="control", executor="system").proves("4.control-plane"),
        denied_before_payment(purchase, code).proves("4.before-payment"),
        nothing_reached("payments", "settlements", request_id=purchase).proves("4.before-payment"),
        triaged_as(purchase, "policy", field="denyReason").proves("tree.policy"),
    )
