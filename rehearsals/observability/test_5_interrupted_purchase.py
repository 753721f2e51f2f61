"""Section 5: whatever interrupts a purchase, the buyer finds out what became of it before it pays again."""

import pytest

from pytest_l402.evidence import (
    delivered_for_one_payment,
    paid_nothing_meanwhile,
    some_row,
    steady_state_restored,
)
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import AnswerLost, CredentialRefused, PaymentLate, PaymentPending, Stack, StackClock
from pytest_l402.stack.faults import LostAt
from pytest_l402.stack.roles import PlaysExecutor
from pytest_l402.stack.sold import Sold

pytestmark = pytest.mark.rehearsal("interrupted-purchase", runbook="observability", section="5")

LONG_ENOUGH_MS = 60_000


@pytest.mark.parametrize(
    "at",
    ["request", "challenge", "payment", "paid_request", "before_settlement", "after_settlement", "delivery"],
)
def test_reply_lost(
    at: LostAt,
    l402_stack: Stack,
    l402_executor: PlaysExecutor,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    with l402_stack.faults.inject(AnswerLost(at)):
        first = l402_executor.buy(l402_sold.premium.resource)
    second = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(delivered_for_one_payment(first, second).proves("5.reply-lost"))


def test_pending_then_again(
    l402_stack: Stack,
    l402_executor: PlaysExecutor,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    long_enough_ms = l402_sold.premium.while_good_ms(LONG_ENOUGH_MS)
    with l402_stack.faults.inject(PaymentPending()):
        first = l402_executor.buy(l402_sold.premium.resource)
    l402_clock.advance(long_enough_ms)
    second = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(paid_nothing_meanwhile(first, second).proves("5.pending"))
    for payment_hash in l402_stack.wallet.pending():
        l402_stack.wallet.resolve_pending(payment_hash)
    third = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        delivered_for_one_payment(first, second, third).proves("5.pending"),
        steady_state_restored().proves("5.pending"),
    )


def test_late_settlement(
    l402_stack: Stack,
    l402_executor: PlaysExecutor,
    l402_clock: StackClock,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    long_enough_ms = l402_sold.premium.while_good_ms(LONG_ENOUGH_MS)
    with l402_stack.faults.inject(PaymentLate(long_enough_ms)):
        first = l402_executor.buy(l402_sold.premium.resource)
    l402_clock.advance(long_enough_ms)
    second = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(delivered_for_one_payment(first, second).proves("5.late"))


@pytest.mark.parametrize("status", [401, 402])
def test_fresh_credential_refused(
    status: int,
    l402_stack: Stack,
    l402_executor: PlaysExecutor,
    l402_sold: Sold,
    l402_evidence: EvidenceCollector,
) -> None:
    with l402_stack.faults.inject(CredentialRefused(status)):
        first = l402_executor.buy(l402_sold.premium.resource)
        second = l402_executor.buy(l402_sold.premium.resource)
    third = l402_executor.buy(l402_sold.premium.resource)
    l402_evidence.verify(
        some_row("exchanges", status=status, credential="refused", refusal="root_key_unknown").proves(
            "5.refused"
        ),
        delivered_for_one_payment(first, second, third).proves("5.refused"),
    )
