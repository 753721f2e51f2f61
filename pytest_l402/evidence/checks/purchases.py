"""Decides whether each purchase costs one payment, brings something, and is the call that was priced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.presented import story_of, what_to_do
from pytest_l402.evidence.checks.selecting import (
    Found,
    a_row,
    capped,
    is_success,
    listed,
    rows,
    short,
    shown,
    with_more,
)
from pytest_l402.evidence.mutants import Mutant
from pytest_l402.evidence.purchases import (
    Payment,
    Purchase,
    is_delivery,
    presented_hash,
    probe_requests,
    purchases_of,
)
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

PAID_AGAIN: Final = (
    "the buyer paid again for what it had paid for: let it keep a credential from the moment of the payment "
    "on, and present that again, whatever became of the answer; ask the seller for the rest back"
)
_CALL: Final = {
    "method": "method",
    "path": "path",
    "querySha256": "query",
    "bodySha256": "body",
}
"""What makes two calls the same, and what a finding calls it."""
_RULES_OF_A_BUYER: Final = frozenset(
    {
        "amount_over_cap",
        "host_blocked",
        "host_not_allowed",
        "host_not_allowlisted",
        "quoted_amount_exceeds_cap",
        "request_cap_exceeded",
        "window_cap_exceeded",
    }
)
"""Why a buyer does not pay. A platform may deny, or lose its buyer, after the payment."""
_NOTHING_BOUGHT: Final = _RULES_OF_A_BUYER | {
    "access_denied",
    "challenge_unreadable",
    "credential_refused",
    "payment_already_made",
    "payment_error",
    "payment_failed",
    "payment_missing_preimage",
    "payment_outcome_unknown",
    "payment_pending",
    "wallet_locked",
}
"""What a buyer says that was not served. One that raised, or whose connection broke, may have been served."""
_FORGED, _ONE, _OTHER = "request-forged", "f" * 64, "e" * 64


@described
def purchases_cost_one_payment() -> Check:
    """Each purchase, under however many request ids, moves money at most once, and gets something for it.

    One that was served is not told as failed by its buyer. No purchase is paid while an earlier payment of
    the same buyer for the same is pending, or good and not used up. What a test has broken on purpose
    (`expected_faults`) may cost a payment and bring nothing; it may not cost two. What a reconcile pays, to
    see whether its gateway delivers, is no purchase.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence))

    mutants = (
        PAID_TWICE,
        _forged("one task is paid twice", _challenges(_FORGED, "request-other"), ("succeeded", "pending")),
        _forged("the node is paid twice for one request", _made(_FORGED, _FORGED), ()),
        _forged("paid and never presented", _challenges(_FORGED), ("succeeded",)),
        _forged(
            "paid, and delivered for another payment",
            [*_challenges(_FORGED), _presents("a" * 64)],
            ("succeeded",),
        ),
        _forged(
            "paid while a payment for the same is pending",
            [*_challenges(_FORGED, "request-other", task="task-other"), _presents(_OTHER, "request-other")],
            ("pending", "succeeded"),
        ),
        _called("blocked", "amount_over_cap", "paid, and called blocked"),
        _called("failed", "payment_failed", "served, and called failed"),
    )
    return Check("purchases_cost_one_payment()", judge, mutants, ("records",))


@described
def paid_as_challenged() -> Check:
    """What was paid for is first presented with the call that was challenged: method, path, query, body.

    A credential that is presented again, for another purchase, may be for another call.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_altered_calls(evidence))

    presents = _presents(_ONE)
    mutants = tuple(
        _forged(f"the paid call has another {name}", [*_challenges(_FORGED), {**presents, key: value}], ())
        for (key, name), value in zip(_CALL.items(), ("PUT", "/other", "c" * 64, "d" * 64), strict=True)
    )
    return Check("paid_as_challenged()", judge, mutants, ("records",))


def _findings(evidence: Evidence) -> Iterator[Finding]:
    purchases = _without_probes(evidence)
    faulty = {row.get("requestId") for row in evidence.table("expected_faults")}
    for purchase in purchases:
        yield from _more_than_one(purchase)
        yield from _paid_beside(purchase)
        yield from _paid_though_blocked(evidence, purchase)
        yield from _served_though_failed(evidence, purchase)
        if not faulty.intersection(purchase.requests):
            yield from _for_nothing(evidence, purchase)
    yield from _anew(evidence, purchases)


def paid_more_than_once(evidence: Evidence) -> Iterator[Finding]:
    """A finding for each purchase that made more than one payment."""
    for purchase in _without_probes(evidence):
        yield from _more_than_one(purchase)


def _without_probes(evidence: Evidence) -> list[Purchase]:
    probes = probe_requests(evidence)
    return [each for each in purchases_of(evidence) if not probes.intersection(each.requests)]


def _more_than_one(purchase: Purchase) -> Iterator[Finding]:
    for path, payments in _by_path(purchase).items():
        if sum(payment.times for payment in payments) > 1:
            yield Finding(
                f"one payment for {purchase.told}{_of(path)}",
                told_payments(payments),
                where_of(payments),
                PAID_AGAIN,
                about_payments(payments, purchase.requests[0]),
            )


def _paid_beside(purchase: Purchase) -> Iterator[Finding]:
    """Delivered for the credential of an earlier payment, and paid all the same."""
    paths = _by_path(purchase)
    mine = {payment.payment_hash for payment in purchase.payments}
    for index, row in purchase.deliveries:
        payments = paths.get(row.get("path"), [])
        if payments and presented_hash(row) not in mine:
            yield Finding(
                f"no payment for {purchase.told}, which was delivered for an earlier one",
                told_payments(payments),
                f"{where_of(payments)}; {Found('exchanges', [(index, row)]).where}",
                PAID_AGAIN,
                about_payments(payments, purchase.requests[0]),
            )
            return


def _paid_though_blocked(evidence: Evidence, purchase: Purchase) -> Iterator[Finding]:
    """Paid, and called blocked by a rule of the buyer, which is there to prevent that."""
    tasks = rows(evidence, "tasks", status="blocked").only(
        lambda row: row.get("taskId") in purchase.tasks and row.get("lastErrorCode") in _RULES_OF_A_BUYER,
        "status",
    )
    if tasks and purchase.paid:
        payments = list(purchase.paid)
        code = listed(row.get("lastErrorCode") for _, row in tasks)
        yield Finding(
            f"no payment for {purchase.told}, which its buyer calls blocked ({code})",
            told_payments(payments),
            f"{tasks.where}; {where_of(payments)}",
            "the buyer says that it did not pay, and has paid: let it look at its rules before it pays, and "
            "say afterwards what it did",
            (*tasks.about("status"), *about_payments(payments, purchase.requests[0])),
        )


def _served_though_failed(evidence: Evidence, purchase: Purchase) -> Iterator[Finding]:
    """Delivered, by an answer that arrived, and told by its buyer as never paid, refused or blocked."""
    answers = {row.get("requestId"): row.get("status") for row in evidence.table("answers")}
    for task in rows(evidence, "tasks"):
        task_id, code = task[1].get("taskId"), task[1].get("lastErrorCode")
        if task_id not in purchase.tasks or task[1].get("status") not in ("failed", "blocked"):
            continue
        if code not in _NOTHING_BOUGHT or (code in _RULES_OF_A_BUYER and purchase.paid):
            # What was paid in spite of a rule is told as that.
            continue
        asked = [each for each in purchase.asked if each[1].get("taskId") == task_id]
        last = Found("exchanges", asked[-1:]).only(is_delivery, "credential", "status")
        told = Found("tasks", [task])
        if last and is_success(answers.get(last[0][1].get("requestId"))):
            yield Finding(
                f"{purchase.told}, which was served, told by its buyer as bought",
                f"{shown(code)}, after: {story_of(last)}",
                f"{told.where}; {last.where}",
                "the buyer has what it paid for, and says that it has not: let it read the last answer "
                "before it says how the purchase ended",
                (*told.about("status"), *last.about("credential")),
            )


def _for_nothing(evidence: Evidence, purchase: Purchase) -> Iterator[Finding]:
    accepted = {
        presented_hash(row) for row in evidence.table("exchanges") if row.get("credential") == "accepted"
    }
    settled = {row.get("paymentHash") for row in evidence.table("settlements")}
    for payment in purchase.paid if purchase.asked else ():
        if payment.succeeded and payment.payment_hash not in accepted | settled:
            presented = purchase.presentations
            yield Finding(
                f"something delivered to {purchase.told} for its payment",
                f"{told_payments([payment])}; "
                + (story_of(presented) if presented else "its credential was never presented"),
                f"{where_of([payment])}; {purchase.asked.where}",
                what_to_do(presented)
                if presented
                else "the buyer let go of what it had paid for: fetch the preimage from the wallet by "
                "payment hash, and present the credential; if that was broken on purpose, declare it: "
                "l402_evidence.expect_fault(purchase)",
                about_payments([payment], purchase.requests[0]),
            )


def _anew(evidence: Evidence, purchases: list[Purchase]) -> Iterator[Finding]:
    """Paid while an earlier payment for the same was pending, or good and not used up."""
    owners = {row.get("taskId"): row.get("ownerId") for row in evidence.table("tasks")}
    exchanges = evidence.table("exchanges")
    accepted = {presented_hash(row) for row in exchanges if row.get("credential") == "accepted"}
    delivered = {presented_hash(row) for row in exchanges if is_delivery(row)}
    made = [
        (payment, purchase, path, {owners.get(task) for task in purchase.tasks})
        for purchase in purchases
        if purchase.tasks
        for path, payments in _by_path(purchase, every=True).items()
        for payment in payments
        if payment.tries
    ]
    for later, purchase, path, owner in made:
        for earlier, before, same, buyer in made:
            if before is purchase or same != path or buyer != owner or not later.times:
                continue
            if _wallets(earlier).isdisjoint(_wallets(later)):
                continue
            unused = earlier.payment_hash in accepted and earlier.payment_hash not in delivered
            held = _standing(earlier, later.tries[0][0], unused)
            if held:
                yield Finding(
                    f"no payment for {purchase.told}{_of(path)} beside that of {before.told}, which is "
                    f"{held}",
                    f"{told_payments([later])}, after {told_payments([earlier])}",
                    where_of([earlier, later]),
                    "look the earlier payment up in the wallet by its hash, and present its credential, "
                    "before another invoice is paid; ask the seller for the rest back",
                    about_payments([earlier, later], purchase.requests[0]),
                )


def _standing(earlier: Payment, index: int, unused: bool) -> str:
    """What an earlier payment is at the moment of a later row of `payments`; empty if it is no obstacle."""
    before = [row for place, row in earlier.tries if place < index and row.get("status") != "duplicate"]
    status = before[-1].get("status") if before else None
    if status == "pending":
        return "pending"
    if status != "succeeded":
        return ""
    if before[-1].get("preimageReleased") is False:
        return "paid, with the preimage still to be fetched"
    return "paid and accepted, with nothing delivered for it yet" if unused else ""


def _altered_calls(evidence: Evidence) -> Iterator[Finding]:
    for purchase in purchases_of(evidence):
        first: dict[str, tuple[int, dict[str, Any]]] = {}
        for place, row in purchase.presentations:
            first.setdefault(str(presented_hash(row)), (place, row))
        for place, challenged in purchase.challenges:
            found = first.get(str(challenged.get("paymentHash")))
            if found is None:
                continue
            index, paid = found
            apart = [key for key in _CALL if challenged.get(key) != paid.get(key)]
            if apart:
                yield Finding(
                    f"the call of {purchase.told} that was challenged, paid for as it was: "
                    f"{_call(challenged)}",
                    f"{_call(paid)}, with another {listed(_CALL[key] for key in apart)}",
                    Found("exchanges", [(place, challenged), (index, paid)]).where,
                    "the buyer changed the call once it had paid: let it send again what it sent first, "
                    "method, path, query and body",
                    tuple(Subject("exchanges", key, paid.get("requestId"), (index,)) for key in apart),
                )


def _call(row: Row) -> str:
    sent = row.get("bodyBytes")
    body = f", {sent} bytes" if sent else ""
    query = " with a query" if row.get("querySha256") is not None else ""
    return f"{shown(row.get('method'))} {shown(row.get('path'))}{query}{body}"


def told_payments(payments: list[Payment]) -> str:
    """Payments as a finding tells them: how many, over how much, of which hashes."""
    msats = sum(payment.times * (payment.amount_msats or 0) for payment in payments)
    each = ", ".join(f"{short(payment.payment_hash)} {payment.told}" for payment in payments)
    times = sum(payment.times for payment in payments)
    return f"{times} payment{'' if times == 1 else 's'}, {msats} msats ({each})"


def where_of(payments: list[Payment]) -> str:
    """Where the rows of payments are, each table once."""
    tries = Found("payments", [each for payment in payments for each in payment.tries])
    received = Found("node_invoices", [each for payment in payments for each in payment.received])
    return "; ".join(found.where for found in (tries, received) if found)


def _by_path(purchase: Purchase, *, every: bool = False) -> dict[Any, list[Payment]]:
    """The payments by what they were asked for: one request id may stand for calls of several things."""
    paths = {row.get("paymentHash"): row.get("path") for _, row in purchase.challenges}
    found: dict[Any, list[Payment]] = {}
    for payment in purchase.payments if every else purchase.paid:
        found.setdefault(paths.get(payment.payment_hash), []).append(payment)
    return found


def _of(path: Any) -> str:
    return f", {shown(path)}" if path is not None else ""


def _wallets(payment: Payment) -> set[Any]:
    return {row.get("wallet") for _, row in payment.tries}


def about_payments(payments: list[Payment], request: str | None = None) -> tuple[Subject, ...]:
    """What a finding about payments is about: how the wallet ended them, and what the node got."""
    tries = tuple(index for payment in payments for index, _ in payment.tries)
    received = tuple(index for payment in payments for index, _ in payment.received)
    return (
        Subject("payments", "status", request, tries),
        Subject("node_invoices", "settledAtMs", request, received),
    )


def _challenges(*requests: str, task: str = "task-forged") -> list[Row]:
    """A challenge for each of these requests, with hashes of their own; the last is of this task."""
    asked = {"path": "/forged", "status": 402, "challenge": "issued", "credential": "absent"}
    blank = {"presentedPaymentHash": None, "querySha256": None, "bodySha256": "0" * 64, "method": "POST"}
    tasks = ["task-forged"] * (len(requests) - 1) + [task if len(requests) > 1 else "task-forged"]
    return [
        {**asked, **blank, "requestId": request, "taskId": of, "paymentHash": payment_hash}
        for request, of, payment_hash in zip(requests, tasks, (_ONE, _OTHER), strict=False)
    ]


def _presents(payment_hash: str, request: str = _FORGED) -> Row:
    (row,) = _challenges(request)
    claimed = {"paymentHash": payment_hash, "presentedPaymentHash": payment_hash}
    task = {} if request == _FORGED else {"taskId": "task-other"}
    return {**row, **claimed, **task, "status": 200, "challenge": None, "credential": "accepted"}


def _made(*requests: str) -> list[Row]:
    """A settled invoice of the node's book for each of these requests."""
    return [
        {"requestId": request, "paymentHash": payment_hash, "settledAtMs": 1}
        for request, payment_hash in zip(requests, (_ONE, _OTHER), strict=True)
    ]


def _forged(what: str, asked: list[Row], paid: tuple[str, ...]) -> Mutant:
    """Rows more: of exchanges or, where they tell of settled invoices, of the node; and payments of them."""
    table = "node_invoices" if "settledAtMs" in asked[0] else "exchanges"

    def apply(evidence: Evidence) -> Evidence:
        more = [a_row(evidence, table, **fields) for fields in asked]
        evidence = evidence.with_table(table, [*evidence.table(table), *more])
        payments = [
            a_row(evidence, "payments", paymentHash=payment_hash, status=status, preimageReleased=True)
            for payment_hash, status in zip((_ONE, _OTHER), paid, strict=False)
        ]
        return evidence.with_table("payments", [*evidence.table("payments"), *payments]) if paid else evidence

    return Mutant(f"{table}: {what}", apply)


def _called(status: str, code: str, what: str) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        paid = {"paymentHash": _ONE, "status": "succeeded", "preimageReleased": True}
        task = {
            "taskId": "task-forged",
            "requestId": _FORGED,
            "status": status,
            "lastErrorCode": code,
        }
        made: dict[str, list[Row]] = {
            "exchanges": [
                a_row(evidence, "exchanges", **row) for row in (*_challenges(_FORGED), _presents(_ONE))
            ],
            "payments": [a_row(evidence, "payments", **paid)],
            "tasks": [a_row(evidence, "tasks", **task)],
            "answers": [{"requestId": _FORGED, "status": 200, "atMs": 1}],
        }
        return with_more(evidence, made)

    return Mutant(f"tasks: {what}", apply)


PAID_TWICE: Final = _forged(
    "one request is paid twice", _challenges(_FORGED, _FORGED), ("succeeded", "succeeded")
)
"""The mutant of whoever says that a purchase costs one payment."""
