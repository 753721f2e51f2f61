"""Decides which rows a reader of evidence has found, and how a finding names them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from pytest_l402.boundary import printable
from pytest_l402.evidence.check import Finding, Subject
from pytest_l402.evidence.mutants import holds
from pytest_l402.evidence.tables import Row


class Found(list[tuple[int, dict[str, Any]]]):
    """Rows of one table, each with its index, and the findings if they are not as expected.

    `sought` are the values by which they were found, `by` the other fields that decided: a finding says by
    them what it is about.
    """

    def __init__(
        self,
        table: str,
        found: Iterable[tuple[int, dict[str, Any]]],
        sought: Row | None = None,
        by: tuple[str, ...] = (),
    ) -> None:
        super().__init__(found)
        self.table = table
        self.sought = sought or {}
        self.by = by

    @property
    def where(self) -> str:
        """Where these rows are."""
        return at(self.table, *(index for index, _ in self))

    def only(self, matches: Callable[[Row], object], *by: str) -> Found:
        """Those of them that `matches` holds for, which looks at the fields `by`."""
        found = ((index, row) for index, row in self if matches(row))
        return Found(self.table, found, self.sought, (*self.by, *by))

    def about(self, *fields: str) -> tuple[Subject, ...]:
        """What a finding about these rows is about: these fields, or else those by which they were sought."""
        request = self.sought.get("requestId")
        request = request if isinstance(request, str) else None
        found = tuple(index for index, _ in self)
        keys = fields or (*self.sought, *self.by) or (None,)
        return tuple(Subject(self.table, key, request, found) for key in keys)

    def expect_some(self, what: str, remedy: str, seen: str = "none") -> list[Finding]:
        """A finding if there is no row."""
        return [] if self else [Finding(what, seen, at(self.table), remedy, self.about())]

    def expect_one(self, what: str, remedy: str) -> list[Finding]:
        """A finding unless there is exactly one row."""
        seen = f"{len(self) or 'none'}"
        return [] if len(self) == 1 else [Finding(what, seen, self.where, remedy, self.about())]

    def expect_none(self, what: str, remedy: str, seen: str = "one") -> list[Finding]:
        """A finding for each row."""
        alone = (Found(self.table, [each], self.sought) for each in self)
        return [Finding(what, seen, each.where, remedy, each.about()) for each in alone]

    def expect(self, key: str, wanted: Collection[Any], remedy: str) -> list[Finding]:
        """A finding for each row in which a dotted key leads to none of the wanted values."""
        what = f"{key} {listed(wanted)}" if wanted else f"a {key} that both know"
        told = [(Found(self.table, [each], self.sought), reach(each[1], key)) for each in self]
        return [
            Finding(what, shown(seen), each.where, remedy, each.about(key))
            for each, seen in told
            if not any(holds({key: seen}, {key: value}) for value in wanted)
        ]


def at(table: str, *indexes: int) -> str:
    """Where rows are, as an operator finds them: `settlements, row 3` is line 3 of settlements.jsonl."""
    if not indexes:
        return f"table {table}"
    lines = ", ".join(str(index + 1) for index in indexes[:5])
    more = f" and {len(indexes) - 5} more" if len(indexes) > 5 else ""
    return f"{table}.jsonl line{'s' if len(indexes) > 1 else ''} {lines}{more}"


def reach(row: Any, path: str, absent: Any = None) -> Any:
    """What a dotted path leads to in a row; `absent` where it leads nowhere."""
    for step in path.split("."):
        row = row.get(step, absent) if isinstance(row, dict) else absent
    return row


def is_success(status: object) -> bool:
    """Whether an HTTP status says that something was delivered."""
    return isinstance(status, int) and 200 <= status < 300


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
