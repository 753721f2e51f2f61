"""A client that takes every invoice for expired is told of the clock, in each finding that it may cause."""

from __future__ import annotations

import time

import httpx
import pytest

from pytest_l402.evidence import (
    Check,
    Evidence,
    Finding,
    Subject,
    cached_request,
    delivered_for_one_payment,
    every_fault_fired,
    idempotent_replay,
    paid_exactly_once,
    record_checks,
    run_check,
    some_record,
    triaged_as,
)
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.telling import tell_results
from pytest_l402.protocol import decode_invoice
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack import Answer, PaymentFailure, Stack, StackClock
from pytest_l402.triage.rules import Domain

CLOCK = "run with --l402-clock=now"


class Careful:
    """Holds the invoice's expiry against the clock of the machine, and says what it is told to say of it."""

    def __init__(self, stack: Stack, says: str | None = None, *, tries: bool = False) -> None:
        self._stack, self._says, self._tries = stack, says, tries

    def buy(self, path: str) -> Answer:
        quote = read_quote(self._stack.client.get(path).headers.get_list("www-authenticate"))
        if self._tries:
            self._stack.wallet.pay_invoice(quote.invoice)
        if decode_invoice(quote.invoice).expires_at_s >= time.time():
            raise AssertionError("it ought to be good")
        if self._says is None:
            raise httpx.RequestError("the invoice has expired")
        return Answer(error_code=self._says)


def judged(client: Careful, stack: Stack) -> dict[str, CheckResult]:
    with stack.faults.inject(PaymentFailure()):
        first, second = (stack.attributed(client).buy("/premium") for _ in range(2))
    evidence = Evidence(stack.tables())
    checks = (
        paid_exactly_once(first),
        cached_request(first, second),
        delivered_for_one_payment(first, second),
        idempotent_replay(first),
        some_record(cacheHit=True),
        triaged_as(first, Domain.HEALTHY),
        every_fault_fired(),
    )
    return {check.name.partition("(")[0]: run_check(check, evidence) for check in checks}


def remedies(results: dict[str, CheckResult]) -> set[str]:
    return {violation.remedy for result in results.values() for violation in result.violations}


@pytest.mark.parametrize("says", [None, "payment_error", "challenge_unreadable"])
def test_each_finding_of_a_client_that_never_pays_tells_it_of_the_clock(says: str | None) -> None:
    with Stack(402) as stack, stack.connected():
        results = judged(Careful(stack, says), stack)
        assert all(result.violations for result in results.values()), results
        (remedy,) = remedies(results)
        assert CLOCK in remedy
        told = tell_results(results.values(), title="rehearsal")
        assert "7 checks do not hold, for one cause" in told
        assert told.count("--l402-clock=now") == 1


def test_a_client_that_says_why_it_does_not_pay_is_not_told_of_the_clock() -> None:
    with Stack(402) as stack, stack.connected():
        assert not any(CLOCK in each for each in remedies(judged(Careful(stack, "amount_over_cap"), stack)))


def test_a_client_whose_wallet_was_asked_is_not_told_of_the_clock() -> None:
    with Stack(402) as stack, stack.connected():
        assert not any(CLOCK in each for each in remedies(judged(Careful(stack, tries=True), stack)))


def test_a_stack_whose_clock_is_right_is_no_cause() -> None:
    with Stack(402, clock=StackClock(int(time.time() * 1000))) as stack, stack.connected():
        assert not any(CLOCK in each for each in remedies(judged(Careful(stack), stack)))


def test_what_somebody_else_did_wrong_keeps_its_own_remedy() -> None:
    """A price, a record that is not whole: no clock of a client does that."""
    price = Finding("21000 msats", "1", "exchanges.jsonl line 1", "mend the price", (_row("exchanges"),))
    with Stack(402) as stack, stack.connected():
        stack.attributed(Careful(stack)).buy("/premium")
        tables = {name: [dict(row) for row in rows] for name, rows in stack.tables().items()}
    evidence = Evidence(tables)
    assert _said(Check("sold", lambda _: [price], (), ("exchanges",)), evidence) == ["mend the price"]
    tables["records"][0]["observedAtMs"] = "yesterday"
    remedies_of_records = [each for check in record_checks() for each in _said(check, Evidence(tables))]
    assert remedies_of_records
    assert not any(CLOCK in each for each in remedies_of_records)


def _row(table: str) -> Subject:
    return Subject(table, "quotedMsats", rows=(0,))


def _said(check: Check, evidence: Evidence) -> list[str]:
    return [each.remedy for each in run_check(check, evidence, teeth=False).violations]
