"""Decides whether money moved exactly as often, and for exactly as much, as the books of every party say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.presented import story_of, told_of, what_to_do
from pytest_l402.evidence.checks.purchases import (
    PAID_AGAIN,
    PAID_TWICE,
    about_payments,
    paid_more_than_once,
    told_payments,
    where_of,
)
from pytest_l402.evidence.checks.selecting import (
    Bought,
    Found,
    a_row,
    at,
    hashes_of,
    is_success,
    logs_request,
    matching,
    one_more,
    payment_hash_of,
    request_id_of,
    request_ids_of,
    rows,
    short,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, duplicate_row, holds, remove_rows, set_value
from pytest_l402.evidence.purchases import (
    Payment,
    Purchase,
    payment_of,
    presented_hash,
    purchase_of,
    purchase_paid_by,
)
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.spelling import Named
from pytest_l402.evidence.tables import Evidence, Row

MOVED = ("succeeded", "pending")
"""The states of a payment in which money may have left the wallet."""
_FORGED_HASH = "f" * 64
_LATE_MS = 9_000_000_000_000
"""A moment after every other one."""
_NAMED_BY = {"payments": "paymentHash", "logs": "line"}
"""The field by which a row belongs to a request, where that is not `requestId`."""


@described
def paid_exactly_once(purchase: Bought | None) -> Check:
    """The purchase (or that of a payment hash) made one payment, however it ended, and that was settled at
    most once.

    All payments of its request and its task count, in the wallet's log and in the book of the seller's node;
    one that was delivered for an earlier payment makes none. A payment that was presented, and only refused,
    bought nothing: that is told as well.
    """
    payment_hash, request_id = payment_hash_of(purchase), getattr(purchase, "request_id", None)
    name = f"paid_exactly_once({short(payment_hash or request_id or 'nothing')})"

    def judge(evidence: Evidence) -> Iterator[Finding]:
        whole = _whole(evidence, request_id, payment_hash)
        payments = _payments(evidence, whole, payment_hash)
        if not payments:
            yield Finding(
                expected="a purchase that paid",
                seen=f"one without a payment: nothing was paid{_why_not(whole)}",
                where=at("payments"),
                remedy="see how the purchase ended, and what its records say (denyReason)",
            )
        elif len(payments) > 1:
            yield Finding(
                expected=f"one payment for {whole.told}",
                seen=told_payments(payments),
                where=where_of(payments),
                remedy=PAID_AGAIN,
                about=about_payments(payments),
            )
        else:
            yield from _paid_once(payments[0])
            yield from _bought_nothing(evidence, whole, payments[0])
        for payment in payments:
            yield from _settled_once(evidence, payment)

    where = {"paymentHash": payment_hash, "status": "succeeded"}
    mutants = (
        duplicate_row("payments", where),
        duplicate_row("payments", where, status="pending"),
        remove_rows("payments", where),
        set_value("payments", "status", "failed", where),
        set_value("payments", "paymentHash", _FORGED_HASH, where),
        Mutant("payments: another invoice was paid as well", lambda e: _another(e, request_id, payment_hash)),
    )
    return Check(name, judge, mutants, ("payments",))


def _whole(evidence: Evidence, request_id: str | None, payment_hash: str | None) -> Purchase:
    if request_id is None and payment_hash is not None:
        found = purchase_paid_by(evidence, payment_hash)
        if found is not None:
            return found
    return purchase_of(evidence, request_id or "unknown")


def _payments(evidence: Evidence, whole: Purchase, payment_hash: str | None) -> list[Payment]:
    """What the purchase paid, and the payment that it says it was delivered for, each once."""
    found = {payment.payment_hash: payment for payment in whole.paid}
    if payment_hash is not None and payment_hash not in found:
        found[payment_hash] = payment_of(evidence, payment_hash)
    return list(found.values())


def _paid_once(payment: Payment) -> Iterator[Finding]:
    said = sum(1 for _, row in payment.tries if row.get("status") == "succeeded")
    if said != 1 or payment.pending:
        node = "; 1 arrived at the seller's node" if payment.received and not said else ""
        yield Finding(
            expected=f"one succeeded payment of {short(payment.payment_hash)}, and none that is pending",
            seen=f"{said or 'none'} succeeded, {int(payment.pending) or 'none'} pending{node}",
            where="; ".join((payment.tries.where, *([payment.received.where] if node else []))),
            remedy="the wallet paid one invoice twice, or is about to: ask the seller for the rest back"
            if payment.times > 1
            else "see in payments how the wallet ended it, and why",
        )


def _bought_nothing(evidence: Evidence, whole: Purchase, payment: Payment) -> Iterator[Finding]:
    """Paid, presented, and only refused."""
    mine = whole.presentations.only(lambda row: presented_hash(row) == payment.payment_hash)
    refused = mine or whole.presentations
    if not refused or not payment.succeeded:
        return
    presented = [row for row in evidence.table("exchanges") if row.get("credential") == "accepted"]
    if payment.payment_hash not in map(presented_hash, presented) and not rows(
        evidence, "settlements", paymentHash=payment.payment_hash
    ):
        yield Finding(
            expected=f"the payment of {whole.told} to be accepted for what it was asked for",
            seen=f"{told_payments([payment])}; {story_of(refused)}",
            where=f"{where_of([payment])}; {refused.where}",
            remedy=what_to_do(refused),
            about=(*about_payments([payment]), *refused.about("credential")),
        )


def _settled_once(evidence: Evidence, payment: Payment) -> Iterator[Finding]:
    settled = rows(evidence, "settlements", paymentHash=payment.payment_hash)
    if settled:
        yield from settled.expect_one(
            f"at most one settlement of {short(payment.payment_hash)}",
            "ingest is not idempotent: compare the settlement ids",
        )
    paid = [row.get("amountMsats") for _, row in payment.tries if row.get("status") == "succeeded"]
    for index, row in settled[:1]:
        if paid and row.get("amountMsats") != paid[0]:
            yield Finding(
                expected=f"a settlement of {shown(paid[0])} msats, as was paid",
                seen=f"{shown(row.get('amountMsats'))} msats",
                where=at("settlements", index),
                remedy="stop payouts for this paywall; the store's amount must be the invoice's",
            )


def _another(evidence: Evidence, request_id: str | None, payment_hash: str | None) -> Evidence:
    mine = _whole(evidence, request_id, payment_hash).requests[0]
    made = {"requestId": mine, "paymentHash": _FORGED_HASH, "settledAtMs": 1}
    invoice = a_row(evidence, "node_invoices", **made)
    evidence = evidence.with_table("node_invoices", [*evidence.table("node_invoices"), invoice])
    payment = a_row(evidence, "payments", paymentHash=_FORGED_HASH, status="succeeded")
    return evidence.with_table("payments", [*evidence.table("payments"), payment])


@described
def paid_nothing(*purchases: Bought) -> Check:
    """For these requests no money moved and nothing was settled, by wallet, store and records alike."""
    ids = request_ids_of("paid_nothing", purchases)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for request_id in ids:
            yield from _was_seen(evidence, request_id)
            yield from payments_of(evidence, request_id)

    mutants = [mutant for request_id in ids for mutant in payment_mutants(request_id)]
    return Check(f"paid_nothing({', '.join(ids)})", judge, tuple(mutants), ("records",))


@described
def denied_before_payment(purchase: Bought, code: str | None = None) -> Check:
    """The control plane denied the request (with `code`, if given), and nothing reached wallet or store.

    From the denial on, the gateway neither asked for a payment nor delivered, by its exchanges and by the
    books of seller and node: a challenge that came before, which made the buyer's own cap deny, may be.
    """
    request_id = request_id_of(purchase)
    decided = {"requestId": request_id, "plane": "control", "executor": "system"}

    def is_denial(row: Row) -> bool:
        reason = row.get("denyReason")
        denied = reason == code if code is not None else isinstance(reason, str) and bool(reason.strip())
        return denied and holds(row, decided)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        denials = rows(evidence, "records", **decided).only(is_denial, "denyReason")
        yield from denials.expect_some(
            f"a denial of request {request_id} in plane=control, executor=system"
            + (f", with {code}" if code else ""),
            "the control plane let it pass or did not say so: read its log by oa_req=<id>",
        )
        yield from payments_of(evidence, request_id)
        # Where nobody has denied it, a gateway that went on is not at fault.
        if denials:
            moments = [row["observedAtMs"] for _, row in denials if isinstance(row.get("observedAtMs"), int)]
            yield from _went_on(evidence, request_id, min(moments, default=0))

    allowed = set_value("records", "denyReason", None, is_denial, every=True)
    late = {"requestId": request_id, "atMs": _LATE_MS}
    answered = {**late, "status": 403, "challenge": None, "upstreamStatus": None}
    elsewhere = {"requestId": None, "during": request_id}
    made = {"requestId": request_id, "paymentHash": _FORGED_HASH}
    mutants = (
        allowed.named("records: the denial is gone"),
        *payment_mutants(request_id),
        one_more("exchanges", {**answered, "status": 402, "challenge": "issued"}, "asked to pay after all"),
        one_more("exchanges", {**answered, "upstreamStatus": 200}, "the seller is asked after all"),
        one_more("exchanges", {**answered, "status": 200}, "delivered after all"),
        one_more("seller_calls", {"requestId": request_id, "during": None}, "the seller is asked for it"),
        one_more("seller_calls", elsewhere, "the seller is asked while it is denied"),
        one_more("node_invoices", made, "an invoice is made that nobody is asked to pay"),
    )
    name = f"denied_before_payment({request_id}{f', {code}' if code else ''})"
    named = () if code is None else (Named("records", {"denyReason": code}),)
    return Check(name, judge, mutants, ("records",), named=named)


def _went_on(evidence: Evidence, request_id: str, denied_at_ms: int) -> Iterator[Finding]:
    """What a gateway did for a request that was denied; a challenge may have come before the denial."""
    went_on = (
        "the gateway goes on with what the control plane denied: let it ask before it looks at credentials, "
        "makes invoices, or asks the seller, for clients without a task as well"
    )
    denied = f"request {request_id}, which was denied"
    answered, offered = rows(evidence, "exchanges", requestId=request_id), set()
    for index, row in answered:
        at_ms, is_challenge = row.get("atMs"), row.get("challenge") == "issued"
        is_early = isinstance(at_ms, int) and at_ms < denied_at_ms
        offered |= {row.get("paymentHash")} if is_challenge and is_early else set()
        served = row.get("upstreamStatus") is not None or is_success(row.get("status"))
        if served or (is_challenge and not is_early):
            yield Finding(
                f"{denied}, neither asked to pay nor delivered",
                told_of(row) + (", asked to pay" if is_challenge else ""),
                at("exchanges", index),
                went_on,
                Found("exchanges", [(index, row)], {"requestId": request_id}).about(
                    "challenge", "status", "upstreamStatus"
                ),
            )
    for key in ("requestId", "during"):
        asked = rows(evidence, "seller_calls", **{key: request_id})
        yield from asked.expect_none(f"no call of the seller's service for {denied}", went_on)
    made = rows(evidence, "node_invoices", requestId=request_id)
    unoffered = made.only(lambda row: row.get("paymentHash") not in offered, "paymentHash")
    yield from unoffered.expect_none(f"no invoice for {denied}", went_on)


@described
def nothing_reached(*tables: str, request_id: Bought) -> Check:
    """No row of these tables names the request, which the records do name."""
    if not tables:
        raise ValueError("nothing_reached: expected at least one table, saw none")
    wanted = request_id_of(request_id)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _was_seen(evidence, wanted)
        for table in tables:
            names_it = partial(_names, evidence, table, wanted)
            yield from matching(evidence, table, names_it).expect_none(
                f"no row of {table} for request {wanted}",
                "find out which part went on with it: read its log by oa_req=<id>",
            )

    mutants = tuple(_reached(table, wanted) for table in tables)
    named = tuple(Named(table, keys=(_NAMED_BY.get(table, "requestId"),)) for table in tables)
    name = f"nothing_reached({', '.join(tables)}, {wanted})"
    return Check(name, judge, mutants, ("records",), named=named)


@described
def payments_agree() -> Check:
    """Wallet payments, settled invoices and settlements are the same payments, msat for msat.

    A purchase makes one of them.
    """
    tables = ("payments", "invoices", "settlements")
    counted = {"payments": {"status": "succeeded"}, "invoices": {"status": "settled"}, "settlements": {}}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from paid_more_than_once(evidence)
        counting = (rows(evidence, table, **counted[table]) for table in tables)
        hashes = dict.fromkeys(row.get("paymentHash") for book in counting for _, row in book)
        if not hashes:
            yield Finding(
                expected="at least one payment that was made",
                seen="none: no succeeded payment, settled invoice or settlement",
                where=at("payments"),
                remedy="let the procedure buy something; no payment proves nothing about payments",
            )
        for payment_hash in hashes:
            entries = [rows(evidence, table, **counted[table], paymentHash=payment_hash) for table in tables]
            msats = [[row.get("amountMsats") for _, row in found] for found in entries]
            if {len(each) for each in msats} != {1} or len({each[0] for each in msats}) != 1:
                told = (", ".join(map(shown, each)) or "none" for each in msats)
                yield Finding(
                    f"{short(str(payment_hash))} once in each of {', '.join(tables)}, with one amount in "
                    "msats",
                    "; ".join(f"{table}: {each}" for table, each in zip(tables, told, strict=True)),
                    "; ".join(found.where for found in entries if found) or at("payments"),
                    "paid and not settled: replay the settlement event; anything else: stop payouts for the "
                    "paywall",
                    (
                        *map(Subject, tables),
                        *(each for found in entries if found for each in found.about("amountMsats")),
                    ),
                )

    mutants = [PAID_TWICE]
    for table in tables:
        where = counted[table]
        mutants += [
            remove_rows(table, where),
            set_value(table, "amountMsats", lambda row: int(row["amountMsats"]) + 1, where),
            set_value(table, "paymentHash", _FORGED_HASH, where),
        ]
    mutants.append(set_value("invoices", "status", "open", counted["invoices"]))
    mutants.append(duplicate_row("settlements", None))
    return Check("payments_agree()", judge, tuple(mutants), tables)


def _why_not(whole: Purchase) -> str:
    return f"; {story_of(whole.asked)} ({whole.asked.where})" if whole.asked else ""


def _was_seen(evidence: Evidence, request_id: str) -> list[Finding]:
    return rows(evidence, "records", requestId=request_id).expect_some(
        f"at least one record of request {request_id}",
        "take the request id from the purchase, or from x-oa-request-id of the answer",
        "none: a request that nobody saw proves nothing",
    )


def payments_of(evidence: Evidence, request_id: str) -> Iterator[Finding]:
    """Every trace of money that moved for a request: a payment, a settlement, a record that names one."""
    hashes = hashes_of(evidence, request_id)
    remedy = "money moved for a request that was to move none: find out who paid, and pay it back"
    for payment in purchase_of(evidence, request_id).paid:
        ended = "pending" if payment.pending else "succeeded"
        seen = f"{shown(payment.amount_msats)} msats, {ended}"
        yield Finding(f"no payment for request {request_id}", seen, where_of([payment]), remedy)
    for index, row in enumerate(evidence.table("settlements")):
        if row.get("requestId") == request_id or row.get("paymentHash") in hashes:
            seen = f"{shown(row.get('settlementId'))}, {shown(row.get('amountMsats'))} msats"
            yield Finding(f"no settlement for request {request_id}", seen, at("settlements", index), remedy)
    for index, row in rows(evidence, "records", requestId=request_id):
        if row.get("paymentProofRef") is not None or row.get("paidAmountMsats"):
            expected = f"no record of request {request_id} that names a payment"
            seen = f"{shown(row.get('paymentProofRef'))}, {shown(row.get('paidAmountMsats'))} msats"
            yield Finding(expected, seen, at("records", index), remedy)


def payment_mutants(request_id: str) -> tuple[Mutant, ...]:
    """Evidence in which a request that paid nothing did pay; `payments_of` must notice each."""

    def paid_after_all(evidence: Evidence) -> Evidence:
        hashes = sorted(hashes_of(evidence, request_id))
        payment_hash = hashes[0] if hashes else _FORGED_HASH
        if not hashes:
            invoice = a_row(evidence, "invoices", paymentHash=payment_hash, requestId=request_id)
            evidence = evidence.with_table("invoices", [*evidence.table("invoices"), invoice])
        payment = a_row(evidence, "payments", paymentHash=payment_hash, status="succeeded")
        return evidence.with_table("payments", [*evidence.table("payments"), payment])

    mine = {"requestId": request_id}
    claimed = set_value("records", "paymentProofRef", "lightning_preimage:" + "f" * 24, mine)
    return (
        Mutant(f"payments: {request_id} was paid after all", paid_after_all),
        one_more("settlements", mine, "the request is settled"),
        claimed.named(f"records: one of {request_id} names a payment"),
    )


def _names(evidence: Evidence, table: str, request_id: str, row: Row) -> bool:
    if row.get("requestId") == request_id:
        return True
    if table == "logs":
        return logs_request(row, request_id)
    # A wallet does not know request ids; its payments belong to a request through the invoice.
    return table == "payments" and row.get("paymentHash") in hashes_of(evidence, request_id)


def _reached(table: str, request_id: str) -> Mutant:
    if table == "payments":
        return payment_mutants(request_id)[0]
    named = {"line": f"oa_req={request_id} served"} if table == "logs" else {"requestId": request_id}
    return one_more(table, named, f"a row of {request_id}")
