"""Decides whether a purchase that was interrupted, and tried again, was paid for once, and delivered."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.payments import payment_mutants, payments_of
from pytest_l402.evidence.checks.presented import story_of, what_to_do
from pytest_l402.evidence.checks.selecting import (
    Bought,
    Found,
    a_row,
    at,
    is_accepted,
    matching,
    request_id_of,
    request_ids_of,
    rows,
    short,
)
from pytest_l402.evidence.mutants import Mutant, insert_row, remove_rows, set_value
from pytest_l402.evidence.purchases import Payment, presented_hash, purchase_of
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_OTHER_HASH = "f" * 64


@described
def delivered_for_one_payment(*tries: Bought) -> Check:
    """Of several tries to buy one thing, money moved for one in all, and the last was delivered for it."""
    ids = request_ids_of("delivered_for_one_payment", tries)
    last = ids[-1]

    def judge(evidence: Evidence) -> Iterator[Finding]:
        paid = _paid(evidence, ids)
        if sum(payment.times for payment in paid.values()) != 1 or any(
            each.pending for each in paid.values()
        ):
            told = "; ".join(f"{short(each.payment_hash)}: {each.told}" for each in paid.values())
            yield Finding(
                f"one payment that succeeded for {len(ids)} tries to buy one thing, and none that is pending",
                told or "none",
                "; ".join(each.where for each in paid.values()) or at("payments"),
                "before a buyer pays again it asks its wallet, by payment hash, what became of the payment "
                "before, and presents again what it has bought; the rest is to be paid back",
                (Subject("payments"), Subject("node_invoices")),
            )
        delivered = matching(evidence, "exchanges", is_accepted(last))
        asked = rows(evidence, "exchanges", requestId=last)
        if not any(presented_hash(row) in paid for _, row in delivered):
            yield Finding(
                f"the last try, request {last}, delivered for the payment that was made",
                story_of(asked),
                asked.where,
                what_to_do(asked),
                Found("exchanges", asked, by=("credential", "presentedPaymentHash", "paymentHash")).about(),
            )

    def paid_too(evidence: Evidence) -> Row:
        changes = {"paymentHash": _OTHER_HASH, "requestId": last, "settledAtMs": 1, "receivedMsats": 1}
        return a_row(evidence, "node_invoices", **changes)

    def of_these(evidence: Evidence) -> Row | None:
        mine = _paid(evidence, ids)
        found = (row for row in evidence.table("payments") if row.get("paymentHash") in mine)
        paid = next((row for row in found if row.get("status") == "succeeded"), None)
        return None if paid is None else dict(paid)

    mutants: tuple[Mutant, ...] = (
        insert_row("node_invoices", paid_too, "another invoice of the last try was paid as well"),
        insert_row("payments", of_these, "the payment was made once more"),
        set_value("exchanges", "credential", "refused", is_accepted(last), every=True),
        set_value("exchanges", "presentedPaymentHash", _OTHER_HASH, is_accepted(last), every=True),
        remove_rows("exchanges", is_accepted(last)),
    )
    name = f"delivered_for_one_payment({', '.join(ids)})"
    return Check(name, judge, mutants, ("payments", "exchanges"))


@described
def paid_nothing_meanwhile(pending: Bought, again: Bought) -> Check:
    """While the payment of the first purchase is pending, the second one moves no money."""
    one, two = request_id_of(pending), request_id_of(again)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        open_payments = [each for each in purchase_of(evidence, one).payments if each.pending]
        if len(open_payments) != 1:
            yield Finding(
                f"one payment of request {one} that is pending",
                f"{len(open_payments) or 'none'}",
                at("payments"),
                "verify before the payment comes to its end; if it never was pending, inject PaymentPending",
                (Subject("payments", "status"),),
            )
        yield from payments_of(evidence, two)

    def is_pending(row: Row) -> bool:
        return row.get("status") == "pending"

    mutants = (set_value("payments", "status", "failed", is_pending, every=True), *payment_mutants(two))
    return Check(f"paid_nothing_meanwhile({one}, {two})", judge, mutants, ("payments", "records"))


def _paid(evidence: Evidence, ids: list[str]) -> dict[str, Payment]:
    """The payments in which money moved for any of these requests, by payment hash."""
    found = (payment for each in ids for payment in purchase_of(evidence, each).paid)
    return {payment.payment_hash: payment for payment in found}
