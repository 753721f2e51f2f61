"""Decides which rows of the evidence a check speaks of, and how it names them in its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from pytest_l402.boundary.text_safety import suggestion
from pytest_l402.contract import REQUIRED_KEYS, CamelDocument, DocumentError, proof_join_key
from pytest_l402.evidence.check import Finding
from pytest_l402.evidence.found import Found as Found
from pytest_l402.evidence.found import at as at
from pytest_l402.evidence.found import is_success as is_success
from pytest_l402.evidence.found import listed as listed
from pytest_l402.evidence.found import reach as reach
from pytest_l402.evidence.found import shown as shown
from pytest_l402.evidence.mutants import Mutant, holds, insert_row, other_proof, set_value, with_values
from pytest_l402.evidence.spelling import vocabulary_of
from pytest_l402.evidence.tables import Evidence, Row
from pytest_l402.triage.correlation import flow_request_ids, flows_of

Bought: TypeAlias = Any
"""A request id, or a purchase: anything with `request_id`, and `payment_hash` where a check needs it."""

PLATFORM = ("gateway", "system")
"""The executors of the hosted path; what `desktop` says is the buyer's own story."""


def request_id_of(purchase: Bought) -> str:
    """The request id of a purchase, or the text itself. Raises `TypeError` for anything else."""
    request_id = purchase if isinstance(purchase, str) else getattr(purchase, "request_id", None)
    if not isinstance(request_id, str) or not request_id:
        raise TypeError(
            f"expected a purchase with a request_id, or a request id, saw {type(purchase).__name__}"
        )
    return request_id


def request_ids_of(what: str, purchases: Sequence[Bought]) -> list[str]:
    """The request ids of what a check is given; raises `ValueError`, naming the check, for nothing."""
    if not purchases:
        raise ValueError(f"{what}: expected at least one purchase or request id, saw none")
    return [request_id_of(purchase) for purchase in purchases]


def payment_hash_of(purchase: Bought) -> str | None:
    """The payment hash of a purchase, or the text itself; None for a purchase that paid nothing."""
    value = (
        purchase if isinstance(purchase, str) or purchase is None else getattr(purchase, "payment_hash", None)
    )
    return value if isinstance(value, str) and value else None


def rows(evidence: Evidence, table: str, **fields: Any) -> Found:
    """The rows of a table whose keys hold these values, each with its index. `True` is not 1 here.

    Dotted keys reach into a row.
    """
    found = [(index, row) for index, row in enumerate(evidence.table(table)) if holds(row, fields)]
    return Found(table, found, fields)


def matching(evidence: Evidence, table: str, matches: Callable[[Row], object]) -> Found:
    """The rows of a table that `matches` holds for, each with its index."""
    return Found(table, [(index, row) for index, row in enumerate(evidence.table(table)) if matches(row)])


def told(evidence: Evidence, request_id: str, plane: str) -> Found:
    """The records of one request in which the platform (not the buyer) speaks for a plane."""
    sought = {"requestId": request_id, "plane": plane}
    return Found("records", matching(evidence, "records", is_told(request_id, plane)), sought)


def is_told(request_id: str, plane: str) -> Callable[[Row], bool]:
    """What holds for a record of the request in which the platform speaks for a plane."""

    def matches(row: Row) -> bool:
        return row.get("requestId") == request_id and row.get("plane") == plane and is_of_platform(row)

    return matches


def is_of_platform(row: Row) -> bool:
    """Whether the platform, not the buyer, speaks in a record."""
    return row.get("executor") in PLATFORM


def is_hosted_payment(row: Row) -> bool:
    """Whether the platform speaks in a record for a plane that knows of payments."""
    return is_of_platform(row) and row.get("plane") in ("gateway", "settlement", "ui")


def is_accepted(request_id: str) -> Callable[[Row], bool]:
    """What holds for an exchange in which the request was delivered for an accepted credential."""

    def matches(row: Row) -> bool:
        mine = row.get("requestId") == request_id and row.get("credential") == "accepted"
        return mine and is_success(row.get("status"))

    return matches


def logs_request(row: Row, request_id: str) -> bool:
    """Whether a log line names the request; as a whole word, or a longer id would be found by a shorter."""
    return f"oa_req={request_id}" in str(row.get("line", "")).split()


def hashes_of(evidence: Evidence, request_id: str) -> set[str]:
    """The payment hashes that belong to a request: of its invoices, in the store and in the node's book, and
    of the challenges it was given.

    Not of the credentials it presented: those may prove an earlier request's payment.
    """
    tables = ("invoices", "node_invoices")
    found = [row for table in tables for _, row in rows(evidence, table, requestId=request_id)]
    found += [row for _, row in rows(evidence, "exchanges", requestId=request_id, challenge="issued")]
    return {row["paymentHash"] for row in found if isinstance(row.get("paymentHash"), str)}


def proof_key(reference: Any) -> str | None:
    """What two references of one payment have in common; a reference of a foreign form is its own key."""
    if not isinstance(reference, str):
        return None
    return proof_join_key(reference) or reference


def counted(evidence: Evidence, table: str, noun: str = "row") -> str:
    """How many rows a table has, as a finding says it: "1 row", "2 rows"."""
    number = len(evidence.table(table))
    return f"{number} {noun}" + ("" if number == 1 else "s")


def short(payment_hash: str) -> str:
    """A payment hash, or another long id, as a name may hold it."""
    return payment_hash if len(payment_hash) <= 20 else f"{payment_hash[:16]}…"


def other_value(value: Any) -> Any:
    """A value of the same kind that is not this one."""
    if value is None:
        return "something"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    text = str(value)
    return other_proof(text) if text.startswith(("lightning_preimage:", "preimage:")) else f"{text}-other"


def others(table: str, fields: Row) -> tuple[Mutant, ...]:
    """One mutant a field: another value of it in every row that has all of these."""
    return tuple(set_value(table, key, other_value(fields[key]), fields, every=True) for key in fields)


def expect_keys(fields: Iterable[str]) -> None:
    """Raise `ValueError` for a field that no record has, with the closest that they do have."""
    for name in fields:
        if name not in REQUIRED_KEYS:
            hint = suggestion(name, REQUIRED_KEYS) or f"; one of {', '.join(REQUIRED_KEYS)}"
            raise ValueError(f"expected a key of the observability contract, saw {name!r}{hint}")


def departures(model: type[CamelDocument], row: Row, where: str, remedy: str) -> Iterator[Finding]:
    """A finding for each way in which a row is not the document that it ought to be."""
    try:
        model.decode(row)
    except DocumentError as error:
        for item in error.departures:
            yield Finding(f"{item.field}: {item.expected}", item.seen, where, remedy)


def capped(findings: Iterable[Finding], most: int = 10) -> Iterator[Finding]:
    """The first findings, and one that counts the rest; nobody reads a thousand of them."""
    endless = iter(findings)
    yield from islice(endless, most)
    rest = list(endless)
    if rest:
        yield Finding(rest[0].expected, f"{len(rest)} more like these", rest[0].where, rest[0].remedy)


def either(first: Mutant, otherwise: Mutant) -> Mutant:
    """The first alteration, or the other one where the first has nothing to alter."""

    def apply(evidence: Evidence) -> Evidence:
        altered = first.apply(evidence)
        return otherwise.apply(evidence) if altered == evidence else altered

    return Mutant(first.name, apply, (*first.follows, *otherwise.follows))


def another_record(fields: Row, what: str) -> Mutant:
    """One record more: the first one with these values."""

    def make(evidence: Evidence) -> Row | None:
        known = evidence.table("records")
        return {**known[0], **fields} if known else None

    return insert_row("records", make, what)


def a_row(evidence: Evidence, table: str, /, **fields: Any) -> Row:
    """The first row of a table with these values instead of its own, or one that its forms make up."""
    known = evidence.table(table)
    base = known[0] if known else vocabulary_of(evidence).fields_of(table).made_up()
    return with_values(base, fields)


def one_more(table: str, fields: Row, what: str) -> Mutant:
    """One row more: a row as the table has them, but with these values."""
    return insert_row(table, lambda evidence: a_row(evidence, table, **fields), what)


def with_more(evidence: Evidence, rows: Mapping[str, list[Row]]) -> Evidence:
    """The evidence with these rows behind those of their tables."""
    for table, more in rows.items():
        if more:
            evidence = evidence.with_table(table, [*evidence.table(table), *more])
    return evidence


def derived(name: str, find: Callable[[Evidence], Mutant | None]) -> Mutant:
    """The alteration that `find` finds for the evidence at hand, if there is one."""

    def apply(evidence: Evidence) -> Evidence:
        mutant = find(evidence)
        return evidence if mutant is None else mutant.apply(evidence)

    return Mutant(name, apply)


def records_of(flow: Row) -> list[dict[str, Any]]:
    """The records that a flow of the local artifact holds."""
    inner = flow.get("observabilityRecords")
    return [record for record in inner if isinstance(record, dict)] if isinstance(inner, list) else []


def with_records(flow: Row, inner: Iterable[Row]) -> dict[str, Any]:
    """The flow with other records in it."""
    return {**flow, "observabilityRecords": list(inner)}


def flows_changed(
    evidence: Evidence, request_id: str | None, change: Callable[[dict[str, Any]], Row | None]
) -> Evidence:
    """The evidence with each flow in the local artifact changed, or gone if that is None.

    With a `request_id` only the flows of that request are.
    """
    artifacts: list[Row] = []
    for artifact in evidence.table("local_artifact"):
        changed = [
            change(flow) if request_id is None or request_id in flow_request_ids(flow) else flow
            for flow in flows_of(artifact)
        ]
        artifacts.append({**artifact, "flows": [flow for flow in changed if flow is not None]})
    return evidence.with_table("local_artifact", artifacts) if artifacts else evidence


def complete_record(request_id: str, plane: str, executor: str = "system", path: str = "hosted-node") -> Row:
    """A record with every key of the contract, all null but who speaks, for which plane and request."""
    known = {"requestId": request_id, "executor": executor, "plane": plane, "executionPath": path}
    return {**dict.fromkeys(REQUIRED_KEYS), **known, "observedAtMs": 0}
