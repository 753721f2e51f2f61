"""Decides whether every plane tells each payment alike: one proof, one amount, settled and shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.purchases import PAID_AGAIN
from pytest_l402.evidence.checks.records import records_complete
from pytest_l402.evidence.checks.selecting import (
    Found,
    another_record,
    at,
    capped,
    derived,
    either,
    is_of_platform,
    listed,
    matching,
    other_value,
    proof_key,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, insert_row, set_value
from pytest_l402.evidence.purchases import probe_requests
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_FORGED = "lightning_preimage:" + "f" * 24
_PLANES = ("gateway", "settlement", "ui")


EXPECTED_FAULTS: Final = "expected_faults"
"""The table of the requests that a drill broke on purpose: a `requestId`, and as what that showed."""


def record_checks() -> tuple[Check, ...]:
    """What holds of all records of the contract, whatever system emits them: each complete, planes agree."""
    return (records_complete(), planes_agree())


@described
def planes_agree() -> Check:
    """Of every payment that a record names, planes, store and wallet name one proof and one amount (msats).

    A payment that the platform names must be settled and shown, and of one paywall a request names one: what
    its buyer tells of is among them, if the platform names any. The requests in the table `expected_faults`
    and the payments that they name are left out.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence, _faulty(evidence)))

    # A run in which nobody paid has no row to alter: there the mutant is a payment that only one plane knows.
    mutants = []
    for plane in _PLANES:
        alone = _forged(plane)
        other_proof = _told_otherwise(plane, "paymentProofRef")
        mutants += [alone, either(other_proof.named(f"records: plane {plane} names another proof"), alone)]
        no_amount = _told_otherwise(plane, "paidAmountMsats", lambda amount: None)
        mutants.append(either(no_amount.named(f"records: plane {plane} names no amount"), alone))
    for plane in ("settlement", "ui"):
        amount = _told_otherwise(plane, "paidAmountMsats")
        mutants.append(either(amount.named(f"records: plane {plane} names another amount"), _forged(plane)))
    mutants.append(
        either(derived("records: the buyer tells of another payment", _told_beside), _forged("ui"))
    )
    return Check("planes_agree()", judge, tuple(mutants), ("records",))


def disagrees(evidence: Evidence, request_id: str, expected: Collection[str] = ()) -> bool:
    """Whether planes disagree about a request, as they may about those that are `expected` to be faulty."""
    others = frozenset(expected) - {request_id}
    found = sum(1 for _ in _findings(evidence, others))
    return found > sum(1 for _ in _findings(evidence, others | {request_id}))


def _faulty(evidence: Evidence) -> frozenset[str]:
    return frozenset(str(row.get("requestId")) for row in evidence.table(EXPECTED_FAULTS))


def _findings(evidence: Evidence, faulty: frozenset[str]) -> Iterator[Finding]:
    left_out = _keys_of(evidence, faulty)
    payments: dict[str, Found] = {}
    requests: dict[str, dict[str, set[str]]] = {}
    for index, row in enumerate(evidence.table("records")):
        key = proof_key(row.get("paymentProofRef"))
        if key is None or key in left_out or row.get("requestId") in faulty:
            continue
        payments.setdefault(key, Found("records", ())).append((index, row))
        if is_of_platform(row) and row.get("requestId") is not None:
            requests.setdefault(str(row["requestId"]), {}).setdefault(str(row.get("plane")), set()).add(
                row["paymentProofRef"]
            )
    for key, spoken in payments.items():
        yield from _one_payment(evidence, key, spoken)
    for request_id, planes in requests.items():
        if len({frozenset(proofs) for proofs in planes.values()}) > 1:
            yield Finding(
                expected=f"one proof for request {request_id} on every plane that names one",
                seen="; ".join(f"{plane}: {listed(proofs)}" for plane, proofs in sorted(planes.items())),
                where=at("records"),
                remedy=f"triage request {request_id}: settlement differs from gateway, or ui from settlement",
            )
    yield from _paid_anew(evidence, payments)
    yield from _unspoken(evidence, faulty, left_out, set(payments))


def _one_payment(evidence: Evidence, key: str, spoken: Found) -> Iterator[Finding]:
    stored = matching(evidence, "settlements", lambda row: proof_key(row.get("paymentProofRef")) == key)
    paid = matching(evidence, "payments", lambda row: proof_key(row.get("proofReference")) == key)
    hosted = spoken.only(is_of_platform)
    where = "; ".join(found.where for found in (spoken, stored, paid) if found)
    amounts = {r["paidAmountMsats"] for _, r in spoken if r.get("paidAmountMsats") is not None}
    # Who names a payment of the hosted path knows its amount; a buyer that was cut off need not.
    amounts |= {r.get("paidAmountMsats") for _, r in hosted}
    amounts |= {row.get("amountMsats") for _, row in (*stored, *paid)}
    if len(amounts) > 1:
        yield Finding(
            expected=f"one amount for payment {key}",
            seen=f"{listed(amounts)} msats",
            where=where,
            remedy="stop payouts for the paywall; the invoice's amount is the right one",
        )
    references = {r["paymentProofRef"] for _, r in hosted} | {row["paymentProofRef"] for _, row in stored}
    if len(references) > 1:
        yield Finding(
            expected=f"one proof reference for payment {key} on the hosted path",
            seen=listed(references),
            where=where,
            remedy="references that begin alike and end differently: one of them was altered",
        )
    if not hosted:
        return
    planes = {str(row.get("plane")) for _, row in hosted}
    lacking = [plane for plane in ("settlement", "ui") if plane not in planes]
    if {"invoices", "settlements"} & set(evidence.names) and not stored:
        lacking.append("settlement store")
    if lacking:
        yield Finding(
            expected=f"payment {key}, named by {listed(planes)}, to be settled and shown",
            seen=f"not known to: {', '.join(lacking)}",
            where=where,
            remedy=f"triage request {listed(row.get('requestId') for _, row in hosted)}; if a fault was "
            "injected on purpose, declare it: l402_evidence.expect_fault(purchase)",
        )


def _paid_anew(evidence: Evidence, payments: Mapping[str, Found]) -> Iterator[Finding]:
    """Requests of which more than one payment is told: by the platform, or by the buyer beside it."""
    probes = probe_requests(evidence)
    sold: dict[tuple[Any, Any], dict[str, int]] = {}
    own: dict[Any, dict[str, int]] = {}
    for key, spoken in payments.items():
        for index, row in spoken:
            request_id = row.get("requestId")
            if request_id is None or request_id in probes:
                continue
            if is_of_platform(row):
                sold.setdefault((request_id, row.get("paywallId")), {}).setdefault(key, index)
            else:
                own.setdefault(request_id, {}).setdefault(key, index)
    named = {(request_id, key) for (request_id, _), told in sold.items() for key in told}
    for (request_id, _), told in sold.items():
        beside = own.get(request_id, {}).items()
        told |= {key: index for key, index in beside if (request_id, key) not in named}
        if len(told) > 1:
            yield Finding(
                expected=f"one payment for request {shown(request_id)}",
                seen=f"{len(told)} of them: {listed(told)}",
                where=at("records", *told.values()),
                remedy=PAID_AGAIN,
                about=(Subject("records", "paymentProofRef", str(request_id), tuple(told.values())),),
            )


def _unspoken(
    evidence: Evidence, faulty: frozenset[str], left_out: set[str], known: set[str]
) -> Iterator[Finding]:
    for index, row in enumerate(evidence.table("settlements")):
        key = proof_key(row.get("paymentProofRef"))
        if row.get("requestId") not in faulty and key not in known and key not in left_out:
            yield Finding(
                expected=f"records of settlement {shown(row.get('settlementId'))}",
                seen="none",
                where=at("settlements", index),
                remedy="the store settled without saying so: mend its emitter",
            )


def _keys_of(evidence: Evidence, request_ids: frozenset[str]) -> set[str]:
    found = [
        row.get("paymentProofRef")
        for table in ("records", "settlements")
        for row in evidence.table(table)
        if row.get("requestId") in request_ids
    ]
    return {key for key in map(proof_key, found) if key is not None}


def _told_otherwise(plane: str, key: str, otherwise: Callable[[Any], Any] = other_value) -> Mutant:
    """The first record of this plane that counts tells of its payment with another value."""

    def find(evidence: Evidence) -> Mutant:
        faulty = _faulty(evidence)
        left_out = _keys_of(evidence, faulty)

        def counts(row: Row) -> bool:
            proof = proof_key(row.get("paymentProofRef"))
            mine = row.get("plane") == plane and is_of_platform(row) and row.get(key) is not None
            return mine and proof is not None and proof not in left_out and row.get("requestId") not in faulty

        return set_value("records", key, lambda row: otherwise(row[key]), counts)

    return derived(f"records: plane {plane} has another {key}", find)


def _told_beside(evidence: Evidence) -> Mutant | None:
    faulty, probes = _faulty(evidence), probe_requests(evidence)
    left_out = _keys_of(evidence, faulty)
    for row in evidence.table("records"):
        key = proof_key(row.get("paymentProofRef"))
        request_id = row.get("requestId")
        if key is None or key in left_out or request_id in faulty | probes or request_id is None:
            continue
        if is_of_platform(row):
            other = {"paymentProofRef": other_value(row["paymentProofRef"])}
            beside = {**row, "executor": "desktop", "plane": "settlement", **other}
            return insert_row("records", beside)
    return None


def _forged(plane: str) -> Mutant:
    alone = {
        "requestId": "request-forged",
        "plane": plane,
        "executor": "system",
        "paymentProofRef": _FORGED,
        "paidAmountMsats": 1,
        "denyReason": None,
    }
    return another_record(alone, f"only plane {plane} knows of a payment")
