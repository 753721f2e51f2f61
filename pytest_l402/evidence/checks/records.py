"""Decides whether the observability records keep their contract and say what a rehearsal expects of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_l402.contract import ENUM_VALUES, REQUIRED_KEYS, record_departures
from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.selecting import (
    Bought,
    another_record,
    at,
    capped,
    counted,
    expect_keys,
    listed,
    other_value,
    others,
    proof_key,
    request_id_of,
    request_ids_of,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, drop_key, holds, insert_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.spelling import Named
from pytest_l402.evidence.tables import Evidence, Row

_EMITTER = "mend the emitter of this record: all 19 keys, null where unknown, values as listed"


@described
def records_complete() -> Check:
    """Every record carries all 19 keys with values the contract accepts (runbook: Observability Contract)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_contract_findings(evidence, only=None))

    dropped = tuple(drop_key("records", key) for key in REQUIRED_KEYS)
    wrong = (
        set_value("records", "executor", "robot"),
        set_value("records", "observedAtMs", "yesterday"),
        set_value("records", "cacheHit", "yes"),
    )
    return Check("records_complete()", judge, (*dropped, *wrong), ("records",))


@described
def values_listed() -> Check:
    """Executor, plane, path, wallet, node and runtime hold only values that the contract lists."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_contract_findings(evidence, only=frozenset(ENUM_VALUES)))

    mutants = tuple(set_value("records", key, "unheard-of") for key in ENUM_VALUES)
    return Check("values_listed()", judge, mutants, ("records",))


@described
def some_record(**fields: Any) -> Check:
    """At least one record has all these values (camelCase keys). Raises `ValueError` for an unknown key."""
    return _some_record(f"some_record({_arguments(fields)})", fields)


@described
def no_record(**fields: Any) -> Check:
    """No record has all these values (camelCase keys). Raises `ValueError` for an unknown key or for none."""
    _expect_fields("no_record", fields)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(
            Finding(
                expected=f"no record with {_arguments(fields)}",
                seen=f"one, of request {shown(row.get('requestId'))}",
                where=at("records", index),
                remedy="find out why this plane said so: read its log by oa_req=<that request id>",
            )
            for index, row in rows(evidence, "records", **fields)
        )

    mutants = (another_record(fields, f"a record with {_arguments(fields)}"),)
    named = Named("records", fields, absent=True)
    return Check(f"no_record({_arguments(fields)})", judge, mutants, ("records",), named=(named,))


@described
def denial_recorded(
    purchase: Bought, code: str, *, plane: str = "control", executor: str = "system"
) -> Check:
    """The request was denied with this code, by this plane and executor (runbook section 4)."""
    request_id = request_id_of(purchase)
    fields = {"requestId": request_id, "denyReason": code, "plane": plane, "executor": executor}
    return _some_record(f"denial_recorded({request_id}, {code}, {plane}/{executor})", fields)


@described
def same_value(field: str, *purchases: Bought, plane: str | None = None) -> Check:
    """One and the same value of a record's key in all these requests, on one plane or on all of them.

    Null does not count as a value, and a request without one is a finding. Proof references are compared
    within their form, and across forms by the digits that they share.
    """
    expect_keys([field])
    ids = request_ids_of("same_value", purchases)
    on_plane = {} if plane is None else {"plane": plane}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        values: dict[str, set[str]] = {}
        by_request: dict[str, set[str]] = {}
        for request_id in ids:
            found = rows(evidence, "records", requestId=request_id, **on_plane)
            present = found.only(lambda row: row.get(field) is not None, field)
            yield from present.expect_some(
                f"a record of request {request_id} with {field}" + (f" on plane {plane}" if plane else ""),
                "see whether that plane ran for this request, and what it knew when it did",
                f"{len(found)} record(s), none of them with a value",
            )
            for _, row in present:
                values.setdefault(_form(field, row[field]), set()).add(shown(row[field]))
                by_request.setdefault(request_id, set()).add(shown(row[field]))
        keys = {proof_key(value) for each in values.values() for value in each}
        apart = any(len(each) > 1 for each in values.values())
        if apart or (field == "paymentProofRef" and len(keys) > 1):
            yield Finding(
                expected=f"one {field} in the records of {', '.join(ids)}",
                seen="; ".join(f"{request_id}: {listed(known)}" for request_id, known in by_request.items()),
                where=at("records"),
                remedy="was it paid more than once, see why; if not, find the plane that differs from the "
                "settlement store",
            )

    mutants = [
        set_value("records", field, None, {"requestId": request_id, **on_plane}, every=True)
        for request_id in ids
    ]
    mutants += [_another_value(field, request_id, plane) for request_id in ids]
    name = f"same_value({field}, {', '.join(ids)}" + (f", plane={plane})" if plane else ")")
    return Check(name, judge, tuple(mutants), ("records",), named=(Named("records", on_plane, (field,)),))


def _another_value(field: str, request_id: str, plane: str | None) -> Mutant:
    def make(evidence: Evidence) -> Row | None:
        for _, row in rows(evidence, "records", requestId=request_id):
            if plane in (None, row.get("plane")) and row.get(field) is not None:
                # Appended rather than replaced, so that a single record of a single request can disagree too.
                return {**row, field: other_value(row[field])}
        return None

    return insert_row("records", make, f"{request_id} has another {field} as well")


def _form(field: str, value: Any) -> str:
    return str(value).partition(":")[0] if field == "paymentProofRef" and ":" in str(value) else ""


def _some_record(name: str, fields: dict[str, Any]) -> Check:
    _expect_fields("some_record", fields)

    def differing(row: Row) -> list[str]:
        return [key for key, value in fields.items() if not holds(row, {key: value})]

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "records", **fields)
        if found:
            return
        known = evidence.table("records")
        seen, where = f"none in {counted(evidence, 'records', 'record')}", at("records")
        if known and len(fields) == 1:
            (key,) = fields
            values = sorted({shown(row.get(key)) for row in known})
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            seen += f", whose {key} is {' or '.join(values[:5])}{more}"
        elif known:
            index, closest = min(enumerate(known), key=lambda item: len(differing(item[1])))
            there = {key: closest.get(key) for key in differing(closest)}
            seen, where = f"none; the closest one has {_arguments(there)}", at("records", index)
        remedy = (
            "see which request was to leave it, and whether that plane was reached (its log, by oa_req=<id>)"
        )
        yield Finding(f"a record with {_arguments(fields)}", seen, where, remedy, found.about())

    mutants = (remove_rows("records", fields), *others("records", fields))
    return Check(name, judge, mutants, ("records",), named=(Named("records", fields),))


def _contract_findings(evidence: Evidence, only: frozenset[str] | None) -> Iterator[Finding]:
    for index, row in enumerate(evidence.table("records")):
        departures = [item for item in record_departures(row) if only is None or item.field in only]
        if departures:
            who = f"plane {shown(row.get('plane'))}, request {shown(row.get('requestId'))}"
            yield Finding(
                expected="; ".join(f"{item.field}: {item.expected}" for item in departures),
                seen="; ".join(f"{item.field}: {item.seen}" for item in departures),
                where=f"{at('records', index)} ({who})",
                remedy=_EMITTER,
            )


def _expect_fields(what: str, fields: dict[str, Any]) -> None:
    if not fields:
        raise ValueError(f"{what}: expected at least one key=value of the observability contract, saw none")
    expect_keys(fields)


def _arguments(fields: dict[str, Any]) -> str:
    return ", ".join(f"{key}={shown(value)}" for key, value in fields.items())
