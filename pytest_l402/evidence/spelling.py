"""Decides whether what a check looks for could be there at all, or is only spelled wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pytest_l402.boundary.text_safety import seen, suggestion
from pytest_l402.evidence.fields import ANYTHING, TableFields, alike, mixes_scripts, nearly
from pytest_l402.evidence.tables import TABLES, Evidence, Row

_DECLARE: Final = "or let its system declare it (fields(), docs/rehearse-another-system.md)"
_NAMES_A_THING: Final = ("Id", "Hash", "Ref", "Reference", "Digest")
"""How the keys end whose values are names that somebody gave: one that nobody knows is no absence."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a check was told to look for: fields of a table, with or without values; `absent`: for no row."""

    table: str
    values: Mapping[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    absent: bool = False


class Misspelling(NamedTuple):
    """A name or a value that evidence cannot have, in the four parts of a finding."""

    expected: str
    seen: str
    where: str
    remedy: str


class Vocabulary:
    """The tables, fields and values of one evidence.

    `tables` are those that were recorded, that a system declares, or that the checks of this package read.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._tables: dict[str, TableFields] = {}
        self.tables = tuple(dict.fromkeys((*evidence.names, *evidence.declared, *TABLES)))

    def fields_of(self, table: str) -> TableFields:
        """The fields of a table."""
        if table not in self._tables:
            rows = self._evidence.table(table)
            self._tables[table] = TableFields(table, rows, self._evidence.declared)
        return self._tables[table]

    def misspelt(self, check: str, tables: Iterable[str], named: Iterable[Named]) -> Iterator[Misspelling]:
        """What a check of this name looks for although no evidence can have it."""
        if self._evidence.declared is ANYTHING:
            return
        # A table that is like no other is told to be empty: that is as true, and says more.
        read = (table for table in tables if table not in self.tables and suggestion(table, self.tables))
        wanted = [*map(Named, read), *named]
        told: set[str] = set()
        for each in wanted:
            if each.table in told:
                continue
            if each.table not in self.tables:
                told.add(each.table)
                yield _unknown("table", each.table, self.tables, f"check {check}")
                continue
            for path in (*each.values, *each.keys):
                yield from self._misspelt_field(each, path, check)

    def misread(self, check: str, asked: Iterable[str]) -> Iterator[Misspelling]:
        """What a check asked for that there is not, but very nearly; any other table may just be empty."""
        if self._evidence.declared is ANYTHING:
            return
        for table in sorted(name for name in map(str, asked) if name not in self.tables):
            near = [name for name in self.tables if nearly(table, name)]
            if near:
                yield _unknown("table", table, near, f"check {check}")

    def _misspelt_field(self, named: Named, path: str, check: str) -> Iterator[Misspelling]:
        fields, where = self.fields_of(named.table), f"check {check}"
        if not fields.has(path):
            yield _unknown(f"field of {named.table}", path, fields.names, where)
        elif path in named.values:
            value = named.values[path]
            expected = fields.misfit(path, value)
            remedy = f"write it as the rows have it, {_DECLARE}: what no row can have is never there"
            if expected is None and named.absent and isinstance(value, str):
                expected = self._another_spelling(named.table, path, value)
                remedy = "write it as it was recorded; if it was never recorded, record what was asked first"
            if expected is not None:
                hint = _nearest(value, fields.words(path)) if isinstance(value, str) else ""
                yield Misspelling(
                    f"{named.table}.{path} to be {expected}", f"{seen(value)}{hint}", where, remedy
                )

    def _another_spelling(self, table: str, path: str, value: str) -> str | None:
        """What is expected instead of a text that any row could hold, if it looks like another one."""
        key = path.rpartition(".")[2]
        if key.endswith(_NAMES_A_THING) and not self._is_known(key, value):
            return "known: no row of any table names it, so that nothing tells it from a misspelling"
        known = self.fields_of(table).words(path)
        if value not in known and any(alike(value, word) for word in known):
            return "spelled as it was recorded"
        if value not in known and mixes_scripts(value):
            return "of letters of one script in each word"
        return None

    def _is_known(self, key: str, value: str) -> bool:
        tables = [self._evidence.table(name) for name in self._evidence.names]
        if any(row.get(key) == value for rows in tables for row in rows):
            return True
        marked = f"oa_req={value}"
        return key == "requestId" and any(
            marked in str(row.get("line", "")).split() for row in self._evidence.table("logs")
        )

    def unlike_evidence(self, changed: Iterable[tuple[str, Row | None, Row | None]]) -> str | None:
        """What a mutant is made of that no evidence can have: a table, a field or a value spelled wrongly.

        `changed` are the rows that it changed (`changed_rows`).
        """
        if self._evidence.declared is ANYTHING:
            return None
        unlike = (
            self._unlike_row(table, row, next(iter(self._evidence.table(table)), {}) if was is None else was)
            for table, was, row in changed
            if row is not None
        )
        return next(filter(None, unlike), None)

    def _unlike_row(self, table: str, row: Row, was: Row) -> str | None:
        if table not in self.tables:
            return f"made of a table {table!r} that there is not{suggestion(table, self.tables)}"
        fields = self.fields_of(table)
        for key, value in row.items():
            if key in was and (was[key] is value or (type(was[key]) is type(value) and was[key] == value)):
                continue
            path = fields.unknown_in(key, value)
            if path is not None:
                return f"made of a field {path!r} that no row of {table} has{suggestion(path, fields.names)}"
            meant = fields.meant_by(key, value)
            if meant is not None:
                return f"made of {key} {seen(value)} in {table}; did you mean {seen(meant)}?"
        return None


_latest: list[tuple[Evidence, Vocabulary]] = []


def vocabulary_of(evidence: Evidence) -> Vocabulary:
    """The vocabulary of an evidence; that of the latest one is kept, since many checks are put to it."""
    if not _latest or _latest[0][0] is not evidence:
        _latest[:] = [(evidence, Vocabulary(evidence))]
    return _latest[0][1]


def _nearest(value: str, words: Sequence[str]) -> str:
    """A hint at the word that was meant; to difflib a capital is as far from its small letter as any."""
    near = [word for word in words if alike(value, word)]
    return f"; did you mean {near[0]!r}?" if near else suggestion(value, words)


def _unknown(what: str, name: str, known: Sequence[str], where: str) -> Misspelling:
    listed = f"one of {', '.join(sorted(known))}" if known else "one that a row or a system names"
    return Misspelling(
        f"a {what} that there is: {listed}",
        f"{seen(name)}{suggestion(name, known)}",
        where,
        f"spell it as the rows do, {_DECLARE}: a misspelt name cannot be told from an absent row",
    )
