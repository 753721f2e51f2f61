"""A purchase is all that was asked and paid for one thing, under however many request ids."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.evidence import Evidence
from pytest_l402.evidence.purchases import Purchase, payment_of, purchase_of, purchase_paid_by, purchases_of

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


def challenge(request: str, payment_hash: str, task: str | None = None, path: str = "/premium") -> Any:
    asked = {"requestId": request, "taskId": task, "host": "gateway.test", "path": path, "status": 402}
    return {**asked, "challenge": "issued", "paymentHash": payment_hash, "credential": "absent"}


def presented(
    request: str, payment_hash: str, status: int = 200, task: str | None = None, path: str = "/premium"
) -> Any:
    asked = {"requestId": request, "taskId": task, "host": "gateway.test", "path": path, "status": status}
    claimed = {"paymentHash": payment_hash, "presentedPaymentHash": payment_hash}
    standing = "refused" if status in (401, 402) else "accepted"
    return {**asked, **claimed, "challenge": None, "credential": standing}


def paid(payment_hash: str, status: str = "succeeded") -> Any:
    return {"paymentHash": payment_hash, "amountMsats": 21_000, "status": status}


def made(payment_hash: str, request: str | None, settled: bool = True) -> Any:
    at_ms = 7 if settled else None
    return {"paymentHash": payment_hash, "requestId": request, "amountMsats": 21_000, "settledAtMs": at_ms}


def requests(evidence: Evidence) -> list[tuple[str, ...]]:
    return [purchase.requests for purchase in purchases_of(evidence)]


def test_one_request_is_one_purchase_with_all_its_payments() -> None:
    evidence = Evidence(
        {
            "exchanges": [
                challenge("r", ONE, "t"),
                challenge("r", TWO, "t"),
                presented("r", TWO, 503, "t"),
                presented("r", TWO, 200, "t"),
            ],
            "payments": [paid(ONE), paid(TWO), paid(THREE)],
        }
    )
    (purchase,) = purchases_of(evidence)
    assert (purchase.requests, purchase.tasks) == (("r",), ("t",))
    assert [payment.payment_hash for payment in purchase.paid] == [ONE, TWO]
    counts = (purchase.challenges, purchase.presentations, purchase.deliveries)
    assert [[index for index, _ in each] for each in counts] == [[0, 1], [2, 3], [3]]
    assert purchase_paid_by(evidence, TWO) == purchase
    assert purchase_paid_by(evidence, THREE) is None


def test_requests_of_one_task_are_one_purchase() -> None:
    tables = {
        "exchanges": [challenge("r1", ONE, "t"), challenge("r2", TWO, "t"), challenge("r3", THREE, "u")]
    }
    assert requests(Evidence(tables)) == [("r1", "r2"), ("r3",)]


def test_a_task_that_only_the_control_plane_knows_joins_as_well() -> None:
    tables = {
        "exchanges": [challenge("r2", ONE, "t")],
        "tasks": [{"requestId": "r1", "taskId": "t"}],
    }
    assert requests(Evidence(tables)) == [("r2", "r1")]


def test_who_first_presents_what_was_paid_is_the_same_purchase() -> None:
    tables = {"exchanges": [challenge("r1", ONE), presented("r2", ONE), presented("r3", ONE)]}
    assert requests(Evidence(tables)) == [("r1", "r2"), ("r3",)]


def test_a_credential_that_was_presented_before_joins_nothing() -> None:
    tables = {"exchanges": [challenge("r1", ONE), presented("r1", ONE, 503), presented("r2", ONE)]}
    assert requests(Evidence(tables)) == [("r1",), ("r2",)]


def test_who_presents_it_for_something_else_is_another_purchase() -> None:
    tables = {"exchanges": [challenge("r1", ONE), presented("r2", ONE, path="/other")]}
    assert requests(Evidence(tables)) == [("r1",), ("r2",)]


def test_a_refused_credential_that_is_answered_with_a_challenge_is_no_presentation_of_the_new_one() -> None:
    refused = {**presented("r2", ONE, 402), "challenge": "issued", "paymentHash": TWO}
    again = {**refused, "requestId": "r3", "presentedPaymentHash": None, "paymentHash": THREE}
    tables = {"exchanges": [challenge("r1", ONE), presented("r1", ONE), refused, again]}
    found = purchases_of(Evidence({**tables, "payments": [paid(TWO)]}))
    assert [(each.requests, len(each.paid)) for each in found] == [(("r1",), 0), (("r2",), 1), (("r3",), 0)]


@pytest.mark.parametrize("table", ["node_invoices", "invoices"])
def test_a_payment_is_of_the_request_that_its_invoice_was_made_for(table: str) -> None:
    evidence = Evidence({table: [made(ONE, "r", False)], "payments": [paid(ONE)]})
    assert [payment.payment_hash for payment in purchase_of(evidence, "r").paid] == [ONE]


def test_a_payment_that_only_the_node_knows_counts() -> None:
    (payment,) = purchase_of(Evidence({"node_invoices": [made(ONE, "r")]}), "r").paid
    assert (payment.times, payment.amount_msats, payment.told) == (
        1,
        21_000,
        "1 succeeded by the node's book",
    )


@pytest.mark.parametrize(
    ("tries", "settled", "times", "pending"),
    [
        (["failed"], False, 0, False),
        (["failed", "succeeded"], True, 1, False),
        (["pending"], False, 1, True),
        (["pending", "duplicate"], False, 1, True),
        (["pending", "failed"], False, 0, False),
        (["pending", "duplicate", "succeeded"], True, 1, False),
        (["pending"], True, 1, False),
        (["succeeded", "succeeded"], True, 2, False),
        (["succeeded", "pending"], True, 2, True),
        ([], True, 1, False),
        (["failed"], True, 1, False),
    ],
)
def test_how_often_money_moved(tries: list[str], settled: bool, times: int, pending: bool) -> None:
    tables = {
        "payments": [paid(ONE, status) for status in tries],
        "node_invoices": [made(ONE, "r", settled)],
    }
    payment = payment_of(Evidence(tables), ONE)
    assert (payment.times, payment.pending) == (times, pending)


def test_nobody_knows_a_request() -> None:
    assert purchase_of(Evidence({}), "r") == Purchase(("r",), (), purchase_of(Evidence({}), "r").asked, ())


def test_rows_that_are_not_as_they_ought_to_be_fell_nothing() -> None:
    odd = {"requestId": 7, "taskId": None, "paymentHash": None, "status": None, "challenge": "issued"}
    tables = {name: [odd, {}] for name in ("exchanges", "tasks", "node_invoices", "invoices", "payments")}
    assert purchases_of(Evidence(tables)) == ()
