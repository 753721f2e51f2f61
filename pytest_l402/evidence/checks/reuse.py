"""Decides whether a credential was reused as far as it is good for, and a settlement replayed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.payments import MOVED, payment_mutants, payments_of
from pytest_l402.evidence.checks.presented import (
    Presentation,
    presentation,
    refusal_of,
    story_of,
    what_to_do,
)
from pytest_l402.evidence.checks.selecting import (
    Bought,
    Found,
    a_row,
    at,
    derived,
    is_accepted,
    is_of_platform,
    is_told,
    listed,
    matching,
    one_more,
    payment_hash_of,
    request_id_of,
    rows,
    short,
    shown,
    told,
)
from pytest_l402.evidence.mutants import (
    Mutant,
    Where,
    change_proof,
    duplicate_row,
    insert_row,
    remove_rows,
    set_value,
)
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row


@described
def cached_request(first: Bought, second: Bought) -> Check:
    """The second request was delivered for the first one's payment, without invoice or settlement."""
    one, two = request_id_of(first), request_id_of(second)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        bought = _accepted(evidence, one)
        reused = _accepted(evidence, two)
        yield from _undelivered(evidence, one, bought)
        asked = rows(evidence, "exchanges", requestId=two)
        digests = {row.get("credentialDigest") for _, row in bought}
        if not reused:
            yield from _undelivered(evidence, two, reused)
        elif bought and not all(row.get("credentialDigest") in digests for _, row in reused):
            yield Finding(
                f"request {two} delivered for the credential of request {one} ({listed(digests)})",
                f"{story_of(asked)} ({listed(row.get('credentialDigest') for _, row in reused)})",
                asked.where,
                what_to_do(asked),
                (*asked.about("credentialDigest"), Subject("records", "cacheHit", two)),
            )
        for table in ("invoices", "settlements"):
            for index, row in rows(evidence, table, requestId=two):
                yield Finding(
                    f"no row of {table} for request {two}, which reuses a payment",
                    f"one of {shown(row.get('amountMsats'))} msats{refusal_of(evidence, two)}",
                    at(table, index),
                    what_to_do(asked),
                    (Subject(table, "requestId", two, (index,)),),
                )
        proofs = {row.get("paymentProofRef") for _, row in rows(evidence, "settlements", requestId=one)}
        replays = told(evidence, two, "settlement")
        seen = [(row.get("cacheHit"), row.get("paymentProofRef")) for _, row in replays]
        if not any(hit is True and proof in proofs for hit, proof in seen):
            yield Finding(
                f"a settlement record of request {two} with cacheHit=true and proof {listed(proofs)}",
                "; ".join(f"cacheHit={shown(hit)} {shown(proof)}" for hit, proof in seen) or "none",
                replays.where,
                "the store did not see that this settlement exists: look for it by payment hash"
                if bought and all(row.get("credentialDigest") in digests for _, row in reused)
                else what_to_do(asked),
                replays.about("cacheHit", "paymentProofRef"),
            )

    delivered, replayed = is_accepted(two), is_told(two, "settlement")
    mutants = (
        set_value("records", "cacheHit", False, replayed, every=True),
        change_proof("records", replayed, every=True),
        remove_rows("records", replayed),
        set_value("exchanges", "credentialDigest", "sha256:" + "f" * 16, delivered),
        remove_rows("exchanges", delivered),
        one_more("invoices", {"requestId": two}, "the second request has an invoice"),
        one_more("settlements", {"requestId": two}, "the second request is settled"),
    )
    return Check(f"cached_request({one}, {two})", judge, mutants, ("records", "exchanges", "settlements"))


@described
def not_reused(first: Bought, second: Bought) -> Check:
    """The first credential was no longer good: the second request was delivered for a payment of its own."""
    one, two = request_id_of(first), request_id_of(second)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        bought, again = _accepted(evidence, one), _accepted(evidence, two)
        yield from _undelivered(evidence, one, bought)
        yield from _undelivered(evidence, two, again)
        for key, index, value in _shared(bought, again, "credentialDigest", "paymentHash"):
            yield Finding(
                f"a {key} of request {two} that request {one} did not have",
                shown(value),
                at("exchanges", index),
                "the gateway accepted a credential past its end: check its caveats and its root key",
            )
        mine = rows(evidence, "settlements", requestId=two)
        yield from mine.expect_some(f"a settlement of request {two}", "triage that request")
        theirs = rows(evidence, "settlements", requestId=one)
        for key, index, value in _shared(theirs, mine, "paymentHash", "paymentProofRef"):
            expected = f"a {key} of its own for the settlement of request {two}"
            seen, remedy = f"that of request {one}", "two purchases settled as one: compare the invoices"
            yield Finding(expected, f"{seen}: {shown(value)}", at("settlements", index), remedy)

    def settled_first(row: Row) -> bool:
        return row.get("requestId") == one

    mutants = (
        _take_over("exchanges", "credentialDigest", is_accepted(one), is_accepted(two)),
        _take_over("exchanges", "paymentHash", is_accepted(one), is_accepted(two)),
        _take_over("settlements", "paymentHash", settled_first, {"requestId": two}),
        _take_over("settlements", "paymentProofRef", settled_first, {"requestId": two}),
        remove_rows("exchanges", is_accepted(two)),
        remove_rows("settlements", {"requestId": two}),
    )
    return Check(f"not_reused({one}, {two})", judge, mutants, ("exchanges", "settlements"))


@described
def no_second_payment(first: Bought, second: Bought) -> Check:
    """Told 401 for the first purchase's credential, the buyer did not pay again: not for the second request,
    nor in another one for what that paywall sells.
    """
    one, two = request_id_of(first), request_id_of(second)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        asked = rows(evidence, "exchanges", requestId=two)
        refused = rows(evidence, "exchanges", requestId=two, status=401, credential="refused")
        if not refused:
            yield Finding(
                f"a 401 to request {two}, for a credential that it presented",
                story_of(asked),
                asked.where,
                f"without a refusal nothing was rehearsed: {_instead_of_a_refusal(asked)}",
                asked.about("status", "credential"),
            )
        yield from payments_of(evidence, two)
        for index, request_id in _paid_elsewhere(evidence, one, two):
            yield Finding(
                expected=f"no payment of that paywall after the 401 to request {two}",
                seen=f"one for request {shown(request_id)}",
                where=at("payments", index),
                remedy="the buyer asked anew under another request id: see why it took a 401 for a price",
            )
        yield from rows(evidence, "settlements", requestId=one).expect_some(
            f"a settlement of request {one}", "the first purchase must be a paid one"
        )

    where = {"requestId": two, "status": 401}
    mutants = (
        set_value("exchanges", "status", 402, where, every=True),
        set_value("exchanges", "credential", "absent", where, every=True),
        *payment_mutants(two),
        Mutant("payments: another request was paid instead", lambda e: _pay_elsewhere(e, one)),
        remove_rows("settlements", {"requestId": one}),
    )
    return Check(f"no_second_payment({one}, {two})", judge, mutants, ("exchanges", "settlements"))


@described
def idempotent_replay(purchase: Bought | None) -> Check:
    """A purchase's (or payment hash's) settlement was observed again, and none added (section 3)."""
    payment_hash = payment_hash_of(purchase) or "nothing"

    def judge(evidence: Evidence) -> Iterator[Finding]:
        stored = rows(evidence, "settlements", paymentHash=payment_hash)
        yield from stored.expect_one(
            f"one settlement of payment {short(payment_hash)}",
            "ingest is not idempotent, or never ran: compare the settlement ids",
        )
        if len(stored) != 1:
            return
        row = stored[0][1]
        told_of = {"paymentProofRef": row.get("paymentProofRef"), "plane": "settlement"}
        for hit, what, often in ((False, "the first settlement", ", once"), (True, "its replay", "")):
            found = rows(evidence, "records", **told_of, cacheHit=hit).only(is_of_platform, "executor")
            if not found or (often and len(found) != 1):
                refused = _refused_later(evidence, payment_hash)
                yield Finding(
                    f"{what} on record: plane=settlement, cacheHit={shown(hit)}{often}",
                    f"{len(found) or 'none'}" + (f"; {story_of(refused)}" if refused else ""),
                    found.where,
                    what_to_do(refused)
                    if refused
                    else "present the same credential twice: the store says whether the settlement existed",
                    found.about("cacheHit"),
                )
        for index, conflict in rows(evidence, "conflicts", settlementId=row.get("settlementId")):
            yield Finding(
                expected="a replay that contradicts nothing",
                seen=f"{shown(conflict.get('field'))} contradicts the store",
                where=at("conflicts", index),
                remedy="find out which sender is wrong; the store kept what it had",
            )

    here = {"paymentHash": payment_hash}

    def conflict_row(evidence: Evidence) -> Row | None:
        for _, row in rows(evidence, "settlements", **here):
            found = {"settlementId": row.get("settlementId"), "field": "amountMsats"}
            return a_row(evidence, "conflicts", **found)
        return None

    def of_this(cache_hit: bool) -> Mutant:
        def find(evidence: Evidence) -> Mutant | None:
            for _, row in rows(evidence, "settlements", **here):
                proof = row.get("paymentProofRef")
                fields = {"paymentProofRef": proof, "cacheHit": cache_hit, "plane": "settlement"}
                return set_value("records", "cacheHit", not cache_hit, fields, every=True)
            return None

        told_as = "replayed" if not cache_hit else "new"
        return derived(f"records: every settlement record of this proof says {told_as}", find)

    mutants = (
        duplicate_row("settlements", here, settlementId="set_other"),
        remove_rows("settlements", here),
        of_this(True),
        of_this(False),
        insert_row("conflicts", conflict_row, "the replay contradicts the store"),
    )
    return Check(f"idempotent_replay({short(payment_hash)})", judge, mutants, ("settlements", "records"))


@described
def settlement_conflict(settlement_id: str, field: str) -> Check:
    """The store refused an event that contradicts this settlement in this field, and kept what it had."""
    where = {"settlementId": settlement_id, "field": field}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        refused = rows(evidence, "conflicts", **where)
        yield from refused.expect_some(
            f"a refused {field} for {settlement_id}", "the store took or ignored it: look"
        )
        stored = rows(evidence, "settlements", settlementId=settlement_id)
        yield from stored.expect_one(f"settlement {settlement_id}, once", "a conflict must change nothing")
        for _, row in stored:
            for index, conflict in refused:
                kept = shown(conflict.get("kept"))
                if shown(row.get(field)) != kept or kept == shown(conflict.get("refused")):
                    yield Finding(
                        expected=f"{field} {kept}, as it was before the contradicting event",
                        seen=f"{shown(row.get(field))}, and {shown(conflict.get('refused'))} refused",
                        where=at("conflicts", index),
                        remedy="the store changed a settlement after the fact: restore it from the first "
                        "event",
                        about=(*refused.about("kept", "refused"), *stored.about(field)),
                    )

    def take_refused(evidence: Evidence) -> Mutant | None:
        refused = [conflict.get("refused") for _, conflict in rows(evidence, "conflicts", **where)]
        here = {"settlementId": settlement_id}

        def taken(row: Row) -> Any:
            # A conflict tells both values as texts.
            return int(str(refused[0])) if isinstance(row.get(field), int) else refused[0]

        return set_value("settlements", field, taken, here) if refused else None

    mutants = (
        remove_rows("conflicts", where),
        derived(f"settlements: {field} is what was to be refused", take_refused),
        duplicate_row("settlements", {"settlementId": settlement_id}),
    )
    return Check(
        f"settlement_conflict({settlement_id}, {field})", judge, mutants, ("conflicts", "settlements")
    )


def _undelivered(evidence: Evidence, request_id: str, delivered: Found) -> Iterator[Finding]:
    if not delivered:
        asked = rows(evidence, "exchanges", requestId=request_id)
        yield Finding(
            f"a delivery to request {request_id} for an accepted credential",
            story_of(asked),
            asked.where,
            what_to_do(asked),
            asked.about("credential"),
        )


def _refused_later(evidence: Evidence, payment_hash: str) -> Found:
    """The exchanges in which a credential that this payment bought was refused."""
    good = {row.get("credentialDigest") for _, row in rows(evidence, "exchanges", paymentHash=payment_hash)}
    refused = rows(evidence, "exchanges", credential="refused")
    return refused.only(lambda row: row.get("credentialDigest") in good - {None}, "credentialDigest")


def _instead_of_a_refusal(asked: Found) -> str:
    """What to do about a request that was to be refused for its credential, by how it was answered."""
    first = presentation(asked[0][1]) if asked else None
    if first in {Presentation.GARBLED, Presentation.REFUSED}:
        return "the gateway answers a refused credential with another status: see its profile"
    if first is Presentation.ACCEPTED:
        return "the gateway still takes the credential: see whether it was revoked"
    return what_to_do(asked)


def _shared(first: Found, second: Found, *keys: str) -> Iterator[tuple[str, int, Any]]:
    """Each key, index and value of a second row that a first one has as well."""
    for key in keys:
        old = {row.get(key) for _, row in first}
        yield from ((key, index, row.get(key)) for index, row in second if row.get(key) in old)


def _paid_elsewhere(evidence: Evidence, one: str, two: str) -> Iterator[tuple[int, Any]]:
    """Each payment of the first request's paywall for an invoice that another request got after the 401."""
    paywalls = {row.get("paywallId") for _, row in rows(evidence, "invoices", requestId=one)}
    refused = [row["atMs"] for _, row in rows(evidence, "exchanges", requestId=two, status=401)]
    later = {
        row.get("paymentHash"): row.get("requestId")
        for row in evidence.table("invoices")
        if row.get("requestId") not in (one, two)
        and row.get("paywallId") in paywalls
        and row["createdAtMs"] >= min(refused, default=0)
    }
    for index, row in enumerate(evidence.table("payments")):
        if row.get("paymentHash") in later and row.get("status") in MOVED:
            yield index, later[row.get("paymentHash")]


def _pay_elsewhere(evidence: Evidence, one: str) -> Evidence:
    for _, row in rows(evidence, "invoices", requestId=one):
        forged = {"requestId": "request-forged", "paymentHash": "f" * 64, "createdAtMs": MAX_SAFE_INTEGER}
        invoice = {**row, **forged}
        paid = {"paymentHash": "f" * 64, "amountMsats": row.get("amountMsats"), "status": "succeeded"}
        payment = a_row(evidence, "payments", **paid)
        evidence = evidence.with_table("invoices", [*evidence.table("invoices"), invoice])
        return evidence.with_table("payments", [*evidence.table("payments"), payment])
    return evidence


def _accepted(evidence: Evidence, request_id: str) -> Found:
    return matching(evidence, "exchanges", is_accepted(request_id))


def _take_over(table: str, key: str, source: Callable[[Row], bool], target: Where) -> Mutant:
    def find(evidence: Evidence) -> Mutant | None:
        taken = [row.get(key) for _, row in matching(evidence, table, source)]
        return set_value(table, key, taken[0], target) if taken else None

    return derived(f"{table}: the second request has the {key} of the first", find)
