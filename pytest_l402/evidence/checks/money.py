"""Decides whether purses, wallets, the seller's node, settlements and records tell of the same money."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import (
    Found,
    a_row,
    at,
    capped,
    derived,
    is_of_platform,
    listed,
    proof_key,
    rows,
    short,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, set_value
from pytest_l402.evidence.purchases import Payment, every_payment, presented_hash
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_STOP: Final = "stop payouts for the paywall until it is known which of the books is wrong"
_FORGED: Final = "f" * 64
_NODE: Final = "node"


@described
def money_agrees() -> Check:
    """Each purse has lost what its payments cost, and the seller's node has got it, msat for msat, once.

    What a wallet calls succeeded has arrived at the node, and nothing else has; nothing is settled, accepted
    or told as paid that did not arrive. A fee is what a payment costs beside its amount.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence))

    paid = {"paymentHash": _FORGED, "amountMsats": 7, "feeMsats": 0, "status": "succeeded"}
    open_one = {"paymentHash": _FORGED, "amountMsats": 7, "receivedMsats": None, "settledAtMs": None}
    arrived = {**open_one, "receivedMsats": 7, "settledAtMs": 1}
    failed, more = {**paid, "status": "failed"}, {**arrived, "receivedMsats": 8}
    settled = {"paymentHash": _FORGED, "amountMsats": 7}
    accepted = {"presentedPaymentHash": _FORGED, "paymentHash": _FORGED, "credential": "accepted"}
    not_debited = set_value(
        "balances", "nowMsats", lambda row: row["nowMsats"] + 1, lambda row: row.get("account") != _NODE
    ).named("balances: a purse has more left than its payments say")
    fee = set_value("payments", "feeMsats", lambda row: row["feeMsats"] + 1, {"status": "succeeded"})

    def not_debited_fee(evidence: Evidence) -> Mutant:
        return fee if rows(evidence, "payments", status="succeeded") else not_debited

    mutants = (
        not_debited,
        set_value(
            "balances", "nowMsats", lambda row: row["nowMsats"] + 1, lambda row: row.get("account") == _NODE
        ).named("balances: the node has more than arrived"),
        derived("payments: a fee was not debited", not_debited_fee),
        _rows_more("a payment that never arrived", payments=paid),
        _rows_more("a payment that failed has arrived", node_invoices=arrived, payments=failed),
        _rows_more("nobody has paid what arrived", node_invoices=arrived),
        _rows_more("more arrived than was paid", node_invoices=more, payments=paid),
        _rows_more("an unpaid invoice is settled in the store", node_invoices=open_one, settlements=settled),
        _rows_more("an unpaid credential is accepted", node_invoices=open_one, exchanges=accepted),
        _told_of_nothing(),
    )
    return Check("money_agrees()", judge, mutants, ("balances",))


def _findings(evidence: Evidence) -> Iterator[Finding]:
    payments = every_payment(evidence)
    if rows(evidence, "balances", account=_NODE):
        for payment in payments.values():
            yield from _at_the_node(payment)
        yield from _without_payment(evidence, payments)
    yield from _told_without_payment(evidence, payments)
    yield from _purses(evidence, payments)


def _at_the_node(payment: Payment) -> Iterator[Finding]:
    said = payment.tries.only(lambda row: row.get("status") == "succeeded", "status")
    where = "; ".join(found.where for found in (payment.tries, payment.received) if found)
    about = (*payment.tries.about("status"), Subject("node_invoices", "settledAtMs"))
    short_hash = short(payment.payment_hash)
    if len(said) > 1:
        yield Finding(f"payment {short_hash}, once", f"{len(said)} times", where, _STOP, said.about("status"))
    if said and not payment.received:
        yield Finding(
            f"payment {short_hash}, which the wallet calls succeeded, in the book of the seller's node",
            "nothing arrived",
            where,
            "ask the wallet's node for the payment by its hash: what it calls succeeded was not sent, or "
            "went elsewhere",
            about,
        )
    if payment.received and not said and not payment.pending and not _is_pending(payment):
        states = listed(row.get("status") for _, row in payment.tries) if payment.tries else "nothing of it"
        yield Finding(
            f"a wallet that knows of payment {short_hash}, which has arrived at the seller's node",
            f"{states}, in payments",
            where or at("payments"),
            "money moved that the wallet does not admit: compare its balance before and after, and let "
            "nobody pay that invoice again",
            about,
        )
    amounts = {row.get("amountMsats") for _, row in (*said, *payment.received)}
    amounts |= {row.get("receivedMsats", row.get("amountMsats")) for _, row in payment.received}
    if len(amounts) > 1:
        yield Finding(
            f"one amount for payment {short_hash}: asked, paid and received",
            f"{listed(amounts)} msats",
            where,
            _STOP,
            (*payment.tries.about("amountMsats"), *payment.received.about("amountMsats", "receivedMsats")),
        )


def _is_pending(payment: Payment) -> bool:
    """Whether a wallet still waits to hear of what has arrived by now: it has let go of the money."""
    return bool(payment.tries) and payment.tries[-1][1].get("status") == "pending"


def _without_payment(evidence: Evidence, payments: dict[str, Payment]) -> Iterator[Finding]:
    """What is settled or delivered of the node's invoices, and did not arrive there."""
    asked = {row.get("paymentHash"): row.get("amountMsats") for row in evidence.table("node_invoices")}
    claims = [
        ("settlements", "paymentHash", "settled", evidence.table("settlements")),
        ("invoices", "status", "settled", [*_settled(evidence)]),
        ("exchanges", "presentedPaymentHash", "accepted", evidence.table("exchanges")),
    ]
    for table, key, word, claimed in claims:
        for index, row in enumerate(claimed):
            payment_hash = _claimed(table, row)
            if payment_hash not in asked:
                continue
            payment = payments.get(payment_hash)
            if payment is None or not payment.received:
                yield Finding(
                    f"payment {short(payment_hash)}, {word} for request {shown(row.get('requestId'))}, to "
                    "have arrived at the seller's node",
                    "nothing arrived",
                    at(table, index),
                    _STOP,
                    (Subject(table, key, rows=(index,)), Subject("node_invoices", "settledAtMs")),
                )
            elif table != "exchanges" and row.get("amountMsats") != asked[payment_hash]:
                yield Finding(
                    f"{shown(asked[payment_hash])} msats of payment {short(payment_hash)}, as the node asked",
                    f"{shown(row.get('amountMsats'))} msats",
                    at(table, index),
                    _STOP,
                    (Subject(table, "amountMsats", rows=(index,)), Subject("node_invoices", "amountMsats")),
                )


def _settled(evidence: Evidence) -> Iterator[Row]:
    # Of each invoice a row, so that the place of each is its line.
    yield from (row if row.get("status") == "settled" else {} for row in evidence.table("invoices"))


def _claimed(table: str, row: Row) -> Any:
    if table != "exchanges":
        return row.get("paymentHash")
    return presented_hash(row) if row.get("credential") == "accepted" else None


def _told_without_payment(evidence: Evidence, payments: dict[str, Payment]) -> Iterator[Finding]:
    """Records that name a payment which no wallet made and the store did not get, of what the gateway saw."""
    faulty = {row.get("requestId") for row in evidence.table("expected_faults")}
    seen = {row.get("requestId") for row in evidence.table("exchanges")} - faulty
    made = {row.get("proofReference") for payment in payments.values() for _, row in payment.tries}
    made |= {
        row.get("paymentProofRef")
        for row in evidence.table("settlements")
        if row.get("paymentHash") in payments
    }
    known = set(map(proof_key, made))
    for index, row in enumerate(evidence.table("records")):
        key = proof_key(row.get("paymentProofRef"))
        if key is not None and key not in known and row.get("requestId") in seen and is_of_platform(row):
            yield Finding(
                f"a payment of some wallet for what a record of request {shown(row.get('requestId'))} calls "
                "paid",
                f"none with proof {shown(row.get('paymentProofRef'))}",
                at("records", index),
                _STOP,
                (Subject("records", "paymentProofRef", rows=(index,)), Subject("payments", "proofReference")),
            )


def _purses(evidence: Evidence, payments: dict[str, Payment]) -> Iterator[Finding]:
    purses = Found("balances", enumerate(evidence.table("balances")))
    arrived = sum(_msats(row, "receivedMsats") for each in payments.values() for _, row in each.received)
    for index, row in purses:
        account, moved = row.get("account"), _msats(row, "nowMsats") - _msats(row, "beforeMsats")
        due = arrived if account == _NODE else -sum(_cost(each, account) for each in payments.values())
        if moved != due:
            of = "what arrived at it" if account == _NODE else "its payments, and their fees"
            yield Finding(
                f"{shown(account)} to have changed by {due} msats: {of}",
                f"{moved} msats, from {shown(row.get('beforeMsats'))} to {shown(row.get('nowMsats'))}",
                f"{at('balances', index)}; table payments",
                "compare each payment with what left the purse: a payment that is not debited, a debit "
                "without a payment, or a fee that nobody wrote down",
                (Subject("balances", "nowMsats", rows=(index,)), Subject("payments", "feeMsats")),
            )


def _cost(payment: Payment, account: Any) -> int:
    """What a payment costs this wallet, in msats: each time that it succeeded, and while it is pending."""
    mine = [row for _, row in payment.tries if row.get("wallet") == account]
    paid = [row for row in mine if row.get("status") == "succeeded"]
    decided = [row for row in mine if row.get("status") in ("succeeded", "failed", "pending")]
    if decided and decided[-1].get("status") == "pending":
        paid.append(decided[-1])
    return sum(_msats(row, "amountMsats") + _msats(row, "feeMsats") for row in paid)


def _msats(row: Row, key: str) -> int:
    value = row.get(key)
    return value if isinstance(value, int) else 0


def _rows_more(what: str, **more: Row) -> Mutant:
    """One row more in each of these tables."""

    def apply(evidence: Evidence) -> Evidence:
        for table, fields in more.items():
            made = a_row(evidence, table, **fields)
            evidence = evidence.with_table(table, [*evidence.table(table), made])
        return evidence

    return Mutant(f"{', '.join(more)}: {what}", apply)


def _told_of_nothing() -> Mutant:
    told = {"requestId": "request-forged", "plane": "gateway", "executor": "gateway"}
    record = {**told, "paymentProofRef": "lightning_preimage:" + "f" * 24, "paidAmountMsats": 7}
    asked = {"requestId": "request-forged", "credential": "absent", "presentedPaymentHash": None}
    return _rows_more("paid for, as only a record says", exchanges=asked, records=record)
