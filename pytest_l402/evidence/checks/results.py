"""Decides whether a result that a procedure recorded says what the runbook promises, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.selecting import (
    at,
    counted,
    listed,
    one_more,
    other_value,
    others,
    reach,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, drop_key, duplicate_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.spelling import Named
from pytest_l402.evidence.tables import Evidence, Row


@described
def result_shows(table: str, **fields: Any) -> Check:
    """The one row of a result table has these values; `__` in a name reaches into it.

    `result_shows("security_drill", recovery__allowed=True)` reads `recovery.allowed`. Raises `ValueError`
    without fields.
    """
    if not fields:
        raise ValueError("result_shows: expected at least one field, saw none")
    wanted = {name.replace("__", "."): value for name, value in fields.items()}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, table)
        yield from found.expect_one("one result", "run the procedure once")
        for index, row in found:
            for key, value in wanted.items():
                seen = _reach(row, key)
                if seen != value or type(seen) is not type(value):
                    yield Finding(
                        f"{key} {shown(value)}",
                        "no such key" if seen is _ABSENT else shown(seen),
                        at(table, index),
                        "run the procedure alone, and compare what it returns with this row",
                    )

    mutants: list[Mutant] = []
    for key, value in wanted.items():
        mutants += [drop_key(table, key), set_value(table, key, other_value(value))]
    mutants.append(duplicate_row(table))
    return Check(f"result_shows({table}: {', '.join(wanted)})", judge, tuple(mutants), (table,))


@described
def same_in_every_row(table: str, *keys: str, at_least: int = 2) -> Check:
    """Every row of a table has one and the same value of each key, and there are `at_least` rows."""
    if not keys or at_least < 2:
        raise ValueError("same_in_every_row: expected keys, and two rows at the least to compare")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = evidence.table(table)
        if len(found) < at_least:
            yield Finding(f"at least {at_least} rows", f"{len(found)}", at(table), "repeat the procedure")
        for key in keys:
            values = [_reach(row, key) for row in found]
            if any(value in (None, _ABSENT) or value != values[0] for value in values):
                yield Finding(
                    f"one {key} in all {len(found)} rows",
                    listed("no such key" if value is _ABSENT else value for value in values),
                    at(table),
                    "the same input gave another result: find what else it depends on",
                )

    mutants = [set_value(table, key, lambda row, key=key: other_value(_reach(row, key))) for key in keys]
    mutants += [drop_key(table, key) for key in keys]
    mutants.append(remove_rows(table, lambda row: True))
    return Check(f"same_in_every_row({table}: {', '.join(keys)})", judge, tuple(mutants), (table,))


@described
def some_row(table: str, **fields: Any) -> Check:
    """At least one row of a table has all these values. Raises `ValueError` without fields."""
    if not fields:
        raise ValueError("some_row: expected at least one field, saw none")

    def judge(evidence: Evidence) -> list[Finding]:
        return rows(evidence, table, **fields).expect_some(
            _values(fields),
            "see what the procedure recorded instead, row by row",
            f"none in {counted(evidence, table)}",
        )

    mutants = (*others(table, fields), remove_rows(table, fields))
    return Check(f"some_row({table}: {', '.join(map(shown, fields.values()))})", judge, mutants, (table,))


@described
def no_row(table: str, witness: str, **fields: Any) -> Check:
    """No row of a table has all these values, while the table `witness` shows that something was recorded."""
    if not fields:
        raise ValueError("no_row: expected at least one field, saw none")

    def judge(evidence: Evidence) -> list[Finding]:
        return rows(evidence, table, **fields).expect_none(
            f"no row with {_values(fields)}",
            "find out which part wrote it, and after what",
        )

    mutants = (one_more(table, fields, "a row that ought not to be"),)
    name = f"no_row({table}: {', '.join(map(shown, fields.values()))})"
    return Check(name, judge, mutants, (witness,), named=(Named(table, fields, absent=True),))


_ABSENT: Final = object()
"""A key that is not there is not a null."""


def _reach(row: Row, key: str) -> Any:
    return reach(row, key, _ABSENT)


def _values(fields: Row) -> str:
    return ", ".join(f"{key} {shown(value)}" for key, value in fields.items())
