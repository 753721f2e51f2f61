"""Decides whether the user interface shows each sale once, as a payment or as a replay, under its own ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.planes import EXPECTED_FAULTS
from pytest_l402.evidence.checks.selecting import (
    at,
    capped,
    complete_record,
    derived,
    is_of_platform,
    listed,
    proof_key,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, insert_row, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_HOSTED: Final = ("gateway", "settlement", "ui")
_FORGED: Final = "lightning_preimage:" + "e" * 24
_SHOWN: Final = {
    "requestId": "requestId",
    "taskId": "taskId",
    "paymentProofRef": "paymentProofRef",
    "amountMsats": "paidAmountMsats",
    "atMs": "observedAtMs",
}


@described
def replays_told_apart() -> Check:
    """Gateway, settlement and ui agree which sale was a payment and which a replay, as does what is shown.

    The first sale for a proof is a payment (cacheHit=false), each later one a replay. Each is settled and
    shown under its own request and task. Requests in the table `expected_faults` are left out.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence))

    mutants = (
        _STRAY,
        *(
            _of_a_sale(f"plane {plane} tells of the other one", plane, "cacheHit", _opposite)
            for plane in _HOSTED
        ),
        _of_a_sale(
            "ui shows it under the id of another request", "ui", "requestId", lambda row: "request-other"
        ),
        _of_a_view("status", _other_status),
        *(_of_a_view(key, "another") for key in ("requestId", "taskId")),
        _of_a_view("atMs", 0),
    )
    return Check("replays_told_apart()", judge, mutants, ("records",))


def _stray(evidence: Evidence) -> Row | None:
    told = complete_record("request-forged", "ui")
    known = {"paymentProofRef": _FORGED, "cacheHit": False}
    return {**told, **known} if evidence.table("records") else None


_STRAY: Final = insert_row("records", _stray, "a sale that is shown and not settled")
"""A run may have no sale: there this is what is altered."""


def _of_a_sale(what: str, plane: str, key: str, other: Callable[[Row], Any]) -> Mutant:
    def find(evidence: Evidence) -> Mutant:
        counted = [index for _, planes in _sales(evidence) for index, _ in planes.get(plane, ())]
        if not counted:
            return _STRAY
        chosen = evidence.table("records")[counted[0]]
        return set_value("records", key, lambda row: other(row), lambda row: row is chosen or row == chosen)

    return derived(f"records: {what}", find).concerning("projection", "records")


def _of_a_view(key: str, value: Any) -> Mutant:
    def find(evidence: Evidence) -> Mutant:
        return set_value("projection", key, value) if evidence.table("projection") else _STRAY

    return derived(f"projection: {key} is another value", find)


def _opposite(row: Row) -> bool:
    return not row["cacheHit"]


def _other_status(row: Row) -> str:
    return "paid" if row["status"] == "cached" else "cached"


Told = dict[str, list[tuple[int, Row]]]
"""What each plane says of one sale: its records, each with its index."""


def _sales(evidence: Evidence) -> Iterator[tuple[tuple[str, str], Told]]:
    """Each sale that counts, by its request and the common part of its proof."""
    faulty = {str(row.get("requestId")) for row in evidence.table(EXPECTED_FAULTS)}
    sales: dict[tuple[str, str], Told] = {}
    for index, row in enumerate(evidence.table("records")):
        proof, request_id = proof_key(row.get("paymentProofRef")), str(row.get("requestId"))
        hosted = is_of_platform(row) and row.get("plane") in _HOSTED
        if proof is not None and hosted and request_id not in faulty:
            planes = sales.setdefault((request_id, proof), {})
            planes.setdefault(str(row["plane"]), []).append((index, row))
    yield from sales.items()


def _findings(evidence: Evidence) -> Iterator[Finding]:
    settled = {proof_key(row.get("paymentProofRef")): row for row in evidence.table("settlements")}
    for (request_id, proof), planes in _sales(evidence):
        first = settled.get(proof, {}).get("requestId") == request_id
        yield from _one_sale(request_id, planes, is_first=first)
    yield from _as_shown(evidence)


def _one_sale(request_id: str, planes: Told, *, is_first: bool) -> Iterator[Finding]:
    if ("settlement" in planes) != ("ui" in planes):
        alone = "settlement" if "settlement" in planes else "ui"
        yield Finding(
            f"the sale of request {request_id} on plane settlement and on plane ui",
            f"plane {alone} alone",
            at("records", *(index for index, _ in planes[alone])),
            "a replay is settled and shown under the request that presented the credential: see whose ids "
            "the other plane has used",
            (
                Subject("records", "requestId", request_id, tuple(index for index, _ in planes[alone])),
                Subject("records", None, request_id),
            ),
        )
    for told in planes.values():
        for place, (index, row) in enumerate(told):
            hit = not (is_first and place == 0)
            if row.get("cacheHit") is not hit:
                yield Finding(
                    f"cacheHit={shown(hit)} of request {request_id}, which "
                    + ("presents what was paid for before" if hit else "has paid now"),
                    shown(row.get("cacheHit")),
                    at("records", index),
                    f"plane {shown(row.get('plane'))} takes a payment for a replay, or the other way round",
                    (Subject("records", "cacheHit", request_id, (index,)),),
                )


def _as_shown(evidence: Evidence) -> Iterator[Finding]:
    told = [row for _, row in rows(evidence, "records", plane="ui", executor="system")]
    views = list(enumerate(evidence.table("projection")))
    for index, view in views:
        is_replay = view.get("status") == "cached"
        alike = [row for row in told if all(view.get(key) == row.get(of) for key, of in _SHOWN.items())]
        if not any(row.get("cacheHit") is is_replay for row in alike):
            yield Finding(
                f"a record of plane ui that says what is shown of request {shown(view.get('requestId'))}",
                f"{shown(view.get('status'))}, and {len(alike) or 'no'} record with its ids, amount and time",
                at("projection", index),
                "the view and the record of plane ui are of one moment: mend the one that differs",
                (
                    *(Subject("projection", key, rows=(index,)) for key in (*_SHOWN, "status")),
                    Subject("records", "cacheHit"),
                    Subject("records", "requestId"),
                ),
            )
    if len(views) != len(told) and (views or told):
        yield Finding(
            f"{len(told)} shown, one for each record of plane ui",
            listed([len(views)]),
            at("projection"),
            "the view and the record of plane ui are of one moment: mend the one that is missing",
            (Subject("projection"), Subject("records", "plane")),
        )
