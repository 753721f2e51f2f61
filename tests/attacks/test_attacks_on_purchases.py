"""Ways to pay more than once, or to lie about money: each is told by a standing check of the stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_l402.evidence import (
    Evidence,
    money_agrees,
    paid_as_challenged,
    paid_exactly_once,
    purchases_cost_one_payment,
    run_check,
)
from pytest_l402.protocol.quote import Quote, read_quote
from pytest_l402.stack import (
    Answer,
    PaymentFailure,
    PaymentPending,
    PreimageMissing,
    Purchase,
    Stack,
    UpstreamFailure,
    Wallet,
)
from pytest_l402.stack.buyer.wallet import PaymentStatus


class Hand:
    """What a client does with its own hands: ask, pay, present."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.wallet = stack.wallet

    def ask(self, path: str = "/premium", method: str = "GET", **more: Any) -> Quote:
        answer = self.stack.client.request(method, path, **more)
        return read_quote(answer.headers.get_list("www-authenticate"))

    def pay(self, quote: Quote) -> str:
        return quote.authorization(self.wallet.pay_invoice(quote.invoice).preimage)

    def present(self, authorization: str, path: str = "/premium", method: str = "GET", **more: Any) -> Answer:
        headers = {"Authorization": authorization, **more.pop("headers", {})}
        answer = self.stack.client.request(method, path, headers=headers, **more)
        return Answer(answer.headers["x-oa-request-id"])

    def buy(self, path: str = "/premium") -> Answer:
        return self.present(self.pay(self.ask(path)), path)


Way = Callable[[Hand], Answer]


class Client:
    """A client of one way."""

    def __init__(self, stack: Stack, way: Way) -> None:
        self.hand = Hand(stack)
        self.way = way

    def buy(self, path: str) -> Answer:
        return self.way(self.hand)


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(11) as stack, stack.connected():
        yield stack


def found(stack: Stack, check: Any = None, *faulty: str) -> list[str]:
    """What the check sees wrong; on evidence on which it holds, it must also kill its mutants."""
    tables = {**stack.tables(), "expected_faults": [{"requestId": each} for each in faulty]}
    result = run_check(check or purchases_cost_one_payment(), Evidence(tables))
    assert result.violations or result.passed, [each for each in result.mutants if not each.killed]
    return [violation.seen for violation in result.violations]


def buy(stack: Stack, way: Way) -> Purchase:
    return stack.attributed(Client(stack, way)).buy("/premium")


def _thrice(hand: Hand) -> Answer:
    for _ in range(2):
        hand.pay(hand.ask())
    return hand.buy()


def _two_of_one_answer(hand: Hand) -> Answer:
    """It is asked twice before it pays, and pays both."""
    first, second = hand.ask(), hand.ask()
    hand.pay(first)
    return hand.present(hand.pay(second))


def _other_request(hand: Hand) -> Answer:
    """A second payment under another request id, for the same task."""
    hand.pay(hand.ask(headers={"x-oa-request-id": "one"}))
    authorization = hand.pay(hand.ask(headers={"x-oa-request-id": "two"}))
    return hand.present(authorization, headers={"x-oa-request-id": "three"})


def _second_wallet(hand: Hand) -> Answer:
    hand.pay(hand.ask())
    hand.wallet = Wallet(hand.stack.harness, hand.stack.node)
    return hand.buy()


def _behind_the_wallet(hand: Hand) -> Answer:
    """A payment of which only the node's book knows."""
    hand.stack.node.settle(hand.ask().payment_hash)
    return hand.buy()


def _after_5xx(hand: Hand) -> Answer:
    with hand.stack.faults.inject(UpstreamFailure()):
        hand.buy()
    return hand.buy()


def _never_presented(hand: Hand) -> Answer:
    hand.pay(hand.ask())
    return Answer()


def _cached_and_paid(hand: Hand) -> Answer:
    quote = hand.ask()
    hand.pay(quote)
    return hand.present(hand.kept)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("way", "seen"),
    [
        (_thrice, "3 payments, 63000 msats"),
        (_two_of_one_answer, "2 payments, 42000 msats"),
        (_other_request, "2 payments, 42000 msats"),
        (_second_wallet, "2 payments, 42000 msats"),
        (_behind_the_wallet, "by the node's book"),
        (_after_5xx, "2 payments, 42000 msats"),
        (_never_presented, "its credential was never presented"),
        (lambda hand: hand.present(hand.pay(hand.ask())[:-4] + "0000"), "a credential refused"),
    ],
)
def test_one_purchase_that_costs_more_or_brings_nothing(stack: Stack, way: Way, seen: str) -> None:
    bought = buy(stack, way)
    assert any(seen in each for each in found(stack)), found(stack)
    once = found(stack, paid_exactly_once(bought))
    assert (seen == "its credential was never presented") is (once == [])
    assert not any("nothing was paid" in each for each in once)


@pytest.mark.parametrize("times", [1, 12])
def test_paid_and_refused_is_not_told_as_nothing_paid(stack: Stack, times: int) -> None:
    def way(hand: Hand) -> Answer:
        for _ in range(times - 1):
            hand.present(hand.pay(hand.ask())[:-4] + "0000")
        return hand.present(hand.pay(hand.ask())[:-4] + "0000")

    bought = buy(stack, way)
    assert bought.status == "refused"
    assert len(bought.payment_hashes) == times
    told = found(stack, paid_exactly_once(bought))
    assert f"{times} payment" in told[0]
    denied = [row for row in stack.tables()["records"] if row["denyReason"] == "gateway_credential_refused"]
    assert len(denied) == times


def test_a_declared_fault_excuses_what_it_brought_and_not_a_second_payment(stack: Stack) -> None:
    bought = buy(stack, _never_presented)
    assert found(stack, None, bought.request_id) == []
    again = buy(stack, _after_5xx)
    assert found(stack, None, bought.request_id, again.request_id) != []


def test_a_credential_that_is_good_and_a_payment_beside_it(stack: Stack) -> None:
    client = Client(stack, lambda hand: hand.buy())
    executor = stack.attributed(client)
    executor.buy("/premium")
    kept = client.hand.pay(client.hand.ask())
    client.hand.present(kept)
    client.hand.kept = kept  # type: ignore[attr-defined]
    client.way = _cached_and_paid
    assert found(stack) == []
    executor.buy("/premium")
    assert any("1 payment, 21000 msats" in each for each in found(stack))


@pytest.mark.parametrize("fault", [PaymentPending(), PreimageMissing(), UpstreamFailure()], ids=str)
def test_a_second_purchase_that_pays_beside_an_unused_payment(stack: Stack, fault: Any) -> None:
    with stack.faults.inject(fault):
        first = buy(stack, lambda hand: hand.buy())
    buy(stack, lambda hand: hand.buy())
    told = found(stack, None, first.request_id)
    assert len(told) == 1
    assert "1 payment, 21000 msats" in told[0]


def test_a_payment_that_comes_late_is_one_payment(stack: Stack) -> None:
    hand = Hand(stack)
    quote = hand.ask()
    with stack.faults.inject(PaymentPending()), pytest.raises(Exception, match="on its way"):
        hand.pay(quote)
    assert stack.wallet.resolve_pending(quote.payment_hash) is not None
    hand.present(quote.authorization(stack.wallet.payment(quote.payment_hash).preimage))
    assert found(stack) == found(stack, money_agrees()) == []


def test_what_is_honest_holds(stack: Stack) -> None:
    executor = stack.executor
    first = executor.buy("/premium")
    executor.buy("/premium")
    stack.gateway.revoke(first.payment_hash)
    executor.buy("/premium")
    with stack.faults.inject(PaymentFailure()):
        executor.buy("/premium", new_credential=True)
    executor.buy("/premium", new_credential=True)
    two = {"x-oa-request-id": "two-things"}
    hand = Hand(stack)
    for path in ("/premium", "/premium-expiring"):
        hand.present(hand.pay(hand.ask(path, headers=two)), path, headers=two)
    other = Hand(stack)
    other.wallet = Wallet(stack.harness, stack.node, fee_msats=3)
    other.buy()
    for check in (None, money_agrees(), paid_as_challenged()):
        assert found(stack, check) == []


@pytest.mark.parametrize(
    ("asked", "sent", "seen"),
    [
        ({"method": "POST", "content": b"a wish"}, {"method": "POST"}, "another body"),
        ({"method": "POST", "content": b"a wish"}, {"content": b"a wish"}, "another method"),
        ({"params": {"page": "2"}}, {}, "another query"),
        ({"method": "POST", "content": b"a"}, {"method": "POST", "content": b"b"}, "another body"),
    ],
)
def test_a_call_that_is_changed_once_it_was_paid(
    stack: Stack, asked: dict[str, Any], sent: dict[str, Any], seen: str
) -> None:
    buy(stack, lambda hand: hand.present(hand.pay(hand.ask(**asked)), **sent))
    assert any(seen in each for each in found(stack, paid_as_challenged()))


@pytest.mark.parametrize("sent", [{"method": "POST", "content": b"a wish"}, {"params": {"page": "2"}}])
def test_a_call_that_is_paid_for_as_it_was_asked(stack: Stack, sent: dict[str, Any]) -> None:
    buy(stack, lambda hand: hand.present(hand.pay(hand.ask(**sent)), **sent))
    assert found(stack, paid_as_challenged()) == []


class NeverDebited(Wallet):
    def _take(self, attempt: Any, status: PaymentStatus) -> None:
        super()._take(attempt, status)
        self._balance_msats += attempt.amount_msats


class HiddenFee(Wallet):
    def _take(self, attempt: Any, status: PaymentStatus) -> None:
        super()._take(attempt, status)
        self._balance_msats -= 1


class FeeNotDebited(Wallet):
    def _note(self, attempt: Any, status: PaymentStatus, proof_reference: str | None = None) -> None:
        attempt.fee_msats = 5
        super()._note(attempt, status, proof_reference)


class FailedDebited(Wallet):
    def _note(self, attempt: Any, status: PaymentStatus, proof_reference: str | None = None) -> None:
        super()._note(attempt, status, proof_reference)
        if status is PaymentStatus.FAILED:
            self._balance_msats -= attempt.amount_msats


class FailedSettled(Wallet):
    def _note(self, attempt: Any, status: PaymentStatus, proof_reference: str | None = None) -> None:
        super()._note(attempt, status, proof_reference)
        if status is PaymentStatus.FAILED:
            self._node.settle(attempt.payment_hash)


class Overpays(Wallet):
    def _send(self, attempt: Any) -> Any:
        attempt.amount_msats += 1_000
        paid = super()._send(attempt)
        attempt.amount_msats -= 1_000
        self._balance_msats += 1_000
        return paid


class Silent(Wallet):
    def _note(self, attempt: Any, status: PaymentStatus, proof_reference: str | None = None) -> None:
        return None


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (NeverDebited, "0 msats, from 100000000 to 100000000"),
        (HiddenFee, "-21001 msats"),
        (FeeNotDebited, "-21000 msats"),
        (FailedDebited, "-42000 msats"),
        (FailedSettled, "failed, in payments"),
        (Overpays, "21000, 22000 msats"),
        (Silent, "nothing of it, in payments"),
    ],
)
def test_a_wallet_that_lies_about_money(stack: Stack, kind: type[Wallet], seen: str) -> None:
    stack.replace(wallet=kind(stack.harness, stack.node))
    stack.executor.buy("/premium")
    with stack.faults.inject(PaymentFailure()):
        stack.executor.buy("/premium-expiring")
    told = found(stack, money_agrees())
    assert any(seen in each for each in told), told


@pytest.mark.parametrize(
    ("break_it", "seen"),
    [
        (lambda stack: stack.node.__dict__.update(_received_msats=0), "0 msats, from 0 to 0"),
        (lambda stack: _unsettle(stack), "nothing arrived"),
    ],
)
def test_a_node_whose_book_lacks_a_payment(stack: Stack, break_it: Any, seen: str) -> None:
    stack.executor.buy("/premium")
    break_it(stack)
    assert any(seen in each for each in found(stack, money_agrees()))


def _unsettle(stack: Stack) -> None:
    for held in stack.node.__dict__["_held"].values():
        held.settled_at_ms = None


def test_a_client_of_httpx_that_names_nothing_is_followed_by_what_it_first_presents(stack: Stack) -> None:
    """Without the operator's attribution each call has a request id of its own, and no task."""
    hand = Hand(stack)
    lost = hand.ask()
    hand.pay(lost)
    hand.buy()
    assert found(stack) == [
        "1 payment, 21000 msats (" + lost.payment_hash[:16] + "… 1 succeeded); its "
        "credential was never presented"
    ]
