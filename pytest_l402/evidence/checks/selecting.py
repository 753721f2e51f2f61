"""Decides which rows of the evidence a check speaks of, and how it names them in its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

from pytest_l402.boundary import printable
from pytest_l402.contract import REQUIRED_KEYS, proof_join_key
from pytest_l402.evidence.check import Finding
from pytest_l402.evidence.mutants import Mutant, other_proof
from pytest_l402.evidence.tables import Evidence, Row

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


def payment_hash_of(purchase: Bought) -> str | None:
    """The payment hash of a purchase, or the text itself; None for a purchase that paid nothing."""
    value = (
        purchase if isinstance(purchase, str) or purchase is None else getattr(purchase, "payment_hash", None)
    )
    return value if isinstance(value, str) and value else None


def rows(evidence: Evidence, table: str, **fields: Any) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a table whose keys hold these values, each with its index. `True` is not 1 here."""
    return [(index, row) for index, row in enumerate(evidence.table(table)) if holds(row, fields)]


def holds(row: Row, fields: Row) -> bool:
    """Whether a row has every one of these values, of the same type."""
    return all(
        key in row and type(row[key]) is type(value) and row[key] == value for key, value in fields.items()
    )


def told(evidence: Evidence, request_id: str, plane: str) -> list[tuple[int, dict[str, Any]]]:
    """The records of one request in which the platform (not the buyer) speaks for a plane."""
    found = rows(evidence, "records", requestId=request_id, plane=plane)
    return [(index, row) for index, row in found if row.get("executor") in PLATFORM]


def hashes_of(evidence: Evidence, request_id: str) -> set[str]:
    """The payment hashes that belong to a request: of its invoices and of the challenges it was given.

    Not of the credentials it presented: those may prove an earlier request's payment.
    """
    found = [row for _, row in rows(evidence, "invoices", requestId=request_id)]
    found += [row for _, row in rows(evidence, "exchanges", requestId=request_id, challenge="issued")]
    return {row["paymentHash"] for row in found if isinstance(row.get("paymentHash"), str)}


def proof_key(reference: Any) -> str | None:
    """What two references of one payment have in common; a reference of a foreign form is its own key."""
    if not isinstance(reference, str):
        return None
    return proof_join_key(reference) or reference


def at(table: str, *indexes: int) -> str:
    """Where rows are, as an operator finds them: `settlements, row 3` is line 3 of settlements.jsonl."""
    if not indexes:
        return f"table {table}"
    lines = ", ".join(str(index + 1) for index in indexes[:5])
    more = f" and {len(indexes) - 5} more" if len(indexes) > 5 else ""
    return f"{table}.jsonl line{'s' if len(indexes) > 1 else ''} {lines}{more}"


def shown(value: Any) -> str:
    """A value as a finding may print it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return printable(value)


def listed(values: Iterable[Any]) -> str:
    """Several values, sorted, or `nothing`."""
    return ", ".join(sorted({shown(value) for value in values})) or "nothing"


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


def expect_keys(fields: Iterable[str]) -> None:
    """Raise `ValueError` for a field that no record has, with the closest that they do have."""
    from difflib import get_close_matches

    for name in fields:
        if name not in REQUIRED_KEYS:
            close = get_close_matches(name, REQUIRED_KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(REQUIRED_KEYS)}"
            raise ValueError(f"expected a key of the observability contract, saw {name!r}; {hint}")


def capped(findings: Iterable[Finding], most: int = 10) -> Iterator[Finding]:
    """The first findings, and one that counts the rest; nobody reads a thousand of them."""
    endless = iter(findings)
    yield from islice(endless, most)
    rest = list(endless)
    if rest:
        yield Finding(rest[0].expected, f"{len(rest)} more like these", rest[0].where, rest[0].remedy)


def in_turn(name: str, *steps: Mutant) -> Mutant:
    """Several alterations at once, under one name."""

    def apply(evidence: Evidence) -> Evidence:
        for step in steps:
            evidence = step.apply(evidence)
        return evidence

    return Mutant(name, apply)


def either(first: Mutant, otherwise: Mutant) -> Mutant:
    """The first alteration, or the other one where the first has nothing to alter."""

    def apply(evidence: Evidence) -> Evidence:
        altered = first.apply(evidence)
        return otherwise.apply(evidence) if altered == evidence else altered

    return Mutant(first.name, apply)


def altered(name: str, change: Callable[[Evidence], Evidence]) -> Mutant:
    """An alteration that no other constructor names."""
    return Mutant(name, change)
