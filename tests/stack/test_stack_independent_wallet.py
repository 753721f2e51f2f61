"""A wallet of somebody's own money is judged as ours is, by what it was asked and what it said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_l402.contract.payment import PaymentError
from pytest_l402.evidence import (
    Evidence,
    money_agrees,
    paid_exactly_once,
    payments_agree,
    planes_agree,
    purchases_cost_one_payment,
    run_check,
)
from pytest_l402.protocol import Preimage, decode_invoice
from pytest_l402.stack import PaymentFailed, PaymentPendingError, PreimageNotReturned, Stack, UpstreamFailure

ALL = (money_agrees, payments_agree, planes_agree, purchases_cost_one_payment)


@dataclass(frozen=True)
class Paid:
    amount_msats: int
    preimage: Preimage = field(repr=False)


class OwnMoney:
    """Pays the seller's node itself, and tells the platform nothing; may lie of it, or break on the way."""

    def __init__(self, stack: Stack, raises: Exception | None = None, *, moves: bool = True) -> None:
        self._node, self._raises, self._moves = stack.node, raises, moves

    def pay_invoice(self, bolt11: str, *, max_msats: int | None = None, host: str | None = None) -> Paid:
        invoice = decode_invoice(bolt11)
        preimage = Preimage(bytes(32))
        if self._moves:
            preimage = self._node.settle(invoice.payment_hash)
        if self._raises is not None:
            raise self._raises
        return Paid(invoice.amount_msats or 0, preimage)


def said(stack: Stack, *checks) -> list[str]:
    evidence = Evidence(stack.tables())
    return [each.seen for check in checks for each in run_check(check, evidence, teeth=False).violations]


def test_it_is_judged_by_what_it_was_asked_and_said() -> None:
    with Stack(402) as stack, stack.connected():
        stack.replace(wallet=OwnMoney(stack))
        bought = stack.executor.buy("/premium")
        assert bought.status == "paid"
        (row,) = stack.tables()["payments"]
        assert (row["wallet"], row["status"], row["proofReference"]) == (
            "OwnMoney",
            "succeeded",
            bought.proof_reference,
        )
        assert said(stack, paid_exactly_once(bought), *(check() for check in ALL)) == []


@pytest.mark.parametrize(
    ("raises", "moves", "status", "code"),
    [
        (PaymentFailed("no route"), False, "failed", "payment_failed"),
        (PaymentPendingError("on its way"), False, "pending", "payment_pending"),
        (PreimageNotReturned("no proof"), True, "succeeded", "payment_missing_preimage"),
        (PaymentError("something"), False, "failed", "payment_error"),
        (OSError("the wallet's host is gone"), False, "failed", "payment_outcome_unknown"),
        (OSError("the wallet's host is gone"), True, "succeeded", "payment_outcome_unknown"),
        (KeyError("preimage"), True, "succeeded", "payment_outcome_unknown"),
    ],
)
def test_whatever_it_raises_ends_in_a_purchase_and_a_row(
    raises: Exception, moves: bool, status: str, code: str
) -> None:
    with Stack(402) as stack, stack.connected():
        stack.replace(wallet=OwnMoney(stack, raises, moves=moves))
        bought = stack.executor.buy("/premium")
        assert (bought.error_code, bought.quoted_msats) == (code, 21_000)
        assert [row["status"] for row in stack.tables()["payments"]] == [status]
        assert said(stack, money_agrees()) == []


@pytest.mark.parametrize(
    "answer", [None, "ab" * 32, Paid(21_000, "ab" * 32), Paid("21000", Preimage(bytes(32)))]
)
def test_an_answer_that_is_no_payment_leaves_the_outcome_open(answer: object) -> None:
    class Odd(OwnMoney):
        def pay_invoice(self, bolt11: str, **named: Any) -> Any:
            super().pay_invoice(bolt11, **named)
            return answer

    with Stack(402) as stack, stack.connected():
        stack.replace(wallet=Odd(stack))
        bought = stack.executor.buy("/premium")
        assert bought.error_code == "payment_outcome_unknown"
        assert "ab" * 32 not in repr((bought, stack.tables()))
        assert stack.executor.buy("/premium").error_code == "payment_outcome_unknown"
        assert len(stack.tables()["payments"]) == 1


def test_a_wallet_that_is_awaited_is_heard_when_it_has_answered() -> None:
    class Awaited(OwnMoney):
        async def pay_invoice(self, bolt11: str, **named: Any) -> Paid:
            await asyncio.sleep(0)
            return super().pay_invoice(bolt11, **named)

    with Stack(402) as stack, stack.connected():
        wallet: Any = stack.replace(wallet=Awaited(stack)).wallet
        bolt11 = stack.node.create_invoice(21_000).bolt11
        promised = wallet.pay_invoice(bolt11)
        assert "payments" not in stack.tables()
        assert asyncio.run(promised).amount_msats == 21_000
        assert [row["status"] for row in stack.tables()["payments"]] == ["succeeded"]


def test_money_that_it_says_it_paid_and_that_never_arrived_is_found() -> None:
    with Stack(402) as stack, stack.connected():
        stack.replace(wallet=OwnMoney(stack, moves=False))
        stack.executor.buy("/premium")
        assert "nothing arrived" in said(stack, money_agrees())


def test_money_that_it_says_it_did_not_pay_and_that_arrived_is_found() -> None:
    with Stack(402) as stack, stack.connected():
        stack.replace(wallet=OwnMoney(stack, PaymentFailed("no route")))
        stack.executor.buy("/premium")
        assert "failed, in payments" in said(stack, money_agrees())


def test_a_wrapper_of_ours_tells_of_itself() -> None:
    class Wrapped:
        def __init__(self, stack: Stack) -> None:
            self.pay_invoice = stack.wallet.pay_invoice

    with Stack(402) as stack, stack.connected():
        stack.replace(wallet=Wrapped(stack))
        stack.executor.buy("/premium")
        assert [row["wallet"] for row in stack.tables()["payments"]] == ["wallet"]
        assert said(stack, *(check() for check in ALL)) == []


def test_a_gateway_that_fails_after_the_payment_is_told_with_what_was_paid() -> None:
    with Stack(402) as stack, stack.connected():
        with stack.faults.inject(UpstreamFailure(503)):
            bought = stack.executor.buy("/premium")
        records = stack.tables()["records"]
    assert bought.error_code == "gateway_status_503"
    told = [
        (row["quotedCostMsats"], row["paidAmountMsats"], row["paymentProofRef"])
        for row in records
        if row["executor"] == "desktop" and row["denyReason"] == "gateway_status_503"
    ]
    assert told == [(21_000, 21_000, bought.local_proof_reference)]
