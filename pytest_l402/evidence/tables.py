"""Decides what evidence is: named tables of plain JSON rows that nobody changes after they were recorded."""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

from pytest_l402.contract.rows import Row as Row
from pytest_l402.evidence.fields import ANYTHING, Declared
from pytest_l402.evidence.plain_rows import EvidenceError as EvidenceError
from pytest_l402.evidence.plain_rows import plain_rows

TABLES = (
    "records",
    "exchanges",
    "answers",
    "seller_calls",
    "payments",
    "balances",
    "node_invoices",
    "payment_lookups",
    "shown_preimages",
    "invoices",
    "settlements",
    "conflicts",
    "ingest_batches",
    "tasks",
    "transitions",
    "presence",
    "controls",
    "credential_roles",
    "logs",
    "projection",
    "flow_events",
    "flow_summary",
    "local_artifact",
    "steady_state",
    "deployments",
    "gateway_events",
    "shortfalls",
    "expected_faults",
    "injected_faults",
    "secret_scan",
)
"""The tables that the checks of this package read; others may be added by whoever records them."""

_TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Evidence:
    """Named tables of rows, in the order in which they were recorded; two with equal rows are equal.

    Rows are copied in and hold JSON values only, so a stack that goes on working cannot change what it left.
    Raises `EvidenceError` for a table name that could not be a file name and for a value that JSON lacks.
    `declared` is what the attached systems say of their tables; it is no part of what was recorded.
    """

    __slots__ = ("_made_from", "_missed", "_sealed", "_tables", "declared")

    def __init__(
        self, tables: Mapping[str, Iterable[Row]] | None = None, declared: Declared | None = None
    ) -> None:
        self.declared: Declared = declared or {}
        self._sealed: SealedEvidence | None = None
        self._missed: set[str] = set()
        self._made_from: Evidence | None = None
        # A table of opened evidence is bytes until it is asked for.
        self._tables: dict[str, tuple[dict[str, Any], ...] | bytes] = {}
        for name, rows in (tables or {}).items():
            self._tables[_table_name(name)] = plain_rows(name, rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that were recorded, including those that stayed empty."""
        return tuple(self._tables)

    def table(self, name: str) -> tuple[dict[str, Any], ...]:
        """The rows of one table; a table that nobody recorded has none."""
        rows = self._tables.get(name)
        if type(rows) is tuple:
            return rows
        if rows is None:
            self._missed.add(name)
            if self._made_from is not None and name not in self._made_from._tables:
                self._made_from.table(name)
            return ()
        if self._made_from is not None:
            # What is read of a part was read of the whole.
            self._tables[name] = self._made_from.table(name)
            return self._made_from.table(name)
        opened = tuple(marshal.loads(cast("bytes", rows)))  # noqa: S302 - sealed in this process
        self._tables[name] = opened
        return opened

    def with_table(self, name: str, rows: Iterable[Row]) -> Evidence:
        """The same evidence with one table replaced."""
        altered = Evidence(declared=self.declared)
        altered._made_from = self
        # Rows that are already evidence are shared: a mutant replaces one row of many.
        mine = self.table(name)
        known = dict(zip(map(id, mine), mine, strict=True))
        altered._tables = {**self._tables, _table_name(name): plain_rows(name, rows, known)}
        return altered

    def with_shared(self, tables: Mapping[str, tuple[dict[str, Any], ...]]) -> Evidence:
        """Evidence of these tables alone; their rows are plain already and are not copied."""
        made = Evidence(declared=self.declared)
        made._tables = dict(tables)
        return made

    @property
    def missed(self) -> frozenset[str]:
        """The tables that a reader of this evidence has asked for, and that nobody recorded."""
        try:
            return frozenset(self._missed)
        except Exception:  # whatever was put in its place
            return frozenset()

    def whatever_was_declared(self) -> Evidence:
        """The same evidence, of which nobody knows any longer what its systems declared."""
        told = Evidence(declared=ANYTHING)
        told._made_from = self
        told._tables = dict(self._tables)
        return told

    def replaced_in(self, other: Evidence) -> tuple[str, ...]:
        """The tables that another evidence does not share with this one, altered or not."""
        mine, theirs = self._tables, other._tables
        replaced = [name for name, rows in theirs.items() if name not in mine or mine[name] is not rows]
        return (*replaced, *(name for name in mine if name not in theirs))

    def only(self, *names: str) -> Evidence:
        """The same evidence without every table that is not named."""
        chosen = Evidence(declared=self.declared)
        chosen._made_from = self
        chosen._tables = {name: rows for name, rows in self._tables.items() if name in names}
        return chosen

    def jsonl(self, name: str) -> bytes:
        """One table as canonical JSON Lines: compact, keys in recorded order, UTF-8, LF after each row."""
        return b"".join(_line(row) for row in self.table(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __eq__(self, other: object) -> bool:
        # As bytes: to Python True == 1 == 1.0, and a mutant that turns one into the other is a change.
        if not isinstance(other, Evidence):
            return NotImplemented
        return self.names == other.names and all(
            rows is other._tables[name] or _same_rows(self.table(name), other.table(name))
            for name, rows in self._tables.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={len(self.table(name))}" for name in self._tables)
        return f"Evidence({counts})"

    def sealed(self) -> SealedEvidence:
        """What was recorded, out of reach of whoever gets rows to read."""
        if self._sealed is None:
            self._sealed = SealedEvidence(self)
        return self._sealed


class SealedEvidence:
    """Evidence as bytes, so that every reader gets rows of its own and can take nothing from another one."""

    __slots__ = ("_base", "_declared", "_packed", "_rows")

    def __init__(self, evidence: Evidence) -> None:
        self._declared = evidence.declared
        self._packed = {name: _packed(evidence.table(name)) for name in evidence.names}
        self._base: Evidence | None = None
        self._rows: dict[str, tuple[dict[str, Any], ...]] = {}

    @property
    def packed(self) -> Mapping[str, bytes]:
        """Each table as bytes, which are equal where the rows are, and nowhere else."""
        return MappingProxyType(self._packed)

    def opened(self) -> Evidence:
        """Rows for one reader alone; each table is unpacked when it is first asked for."""
        opened = Evidence(declared=self._declared)
        opened._tables = dict(self._packed)
        return opened

    @property
    def base(self) -> Evidence:
        """Rows for every mutant to start from; made anew after somebody was caught changing them."""
        if self._base is None:
            self._base = self.opened()
            self._rows = {name: self._base.table(name) for name in self._packed}
        return self._base

    @property
    def rows(self) -> Mapping[str, tuple[dict[str, Any], ...]]:
        """The tables that the latest `base` was opened with, whatever a mutant has put in their place."""
        return self._rows

    def read_in(self, opened: Evidence) -> frozenset[str]:
        """The tables that the reader of this opened evidence has asked for."""
        return frozenset(name for name, rows in _tables_of(opened).items() if not isinstance(rows, bytes))

    def changed_in(self, *opened: Evidence) -> tuple[str, ...]:
        """The tables that are not, in one of these, what was sealed, to the byte."""
        changed = dict.fromkeys(name for each in opened for name in self._changed(each))
        if changed:
            self._base = None
        return tuple(changed)

    def _changed(self, opened: Evidence) -> Iterator[str]:
        there, sealed = _tables_of(opened), self._packed
        yield from (name for name in sealed if name not in there)
        for name, rows in there.items():
            if name not in sealed or (rows is not sealed[name] and not _packs_into(rows, sealed[name])):
                yield str(name)


def _tables_of(opened: Evidence) -> dict[str, Any]:
    try:
        return dict(opened._tables)
    except Exception:  # whatever was put in its place
        return {}


def _packs_into(rows: Any, packed: bytes) -> bool:
    try:
        return _packed(rows) == packed
    except Exception:  # what no row can hold was put in, or rows that hold themselves
        return False


def _packed(rows: Iterable[Row]) -> bytes:
    # Version 2 knows nothing of which objects are one and the same, so equal rows are equal bytes; and it
    # takes a third of what JSON takes.
    return marshal.dumps(list(rows), 2)


def _same_rows(some: tuple[Row, ...], others: tuple[Row, ...]) -> bool:
    return len(some) == len(others) and all(
        ours is theirs or (ours == theirs and _line(ours) == _line(theirs))
        for ours, theirs in zip(some, others, strict=True)
    )


_TO_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _line(row: Row) -> bytes:
    return _TO_JSON(row).encode() + b"\n"


def _table_name(name: str) -> str:
    if not _TABLE_NAME.fullmatch(name):
        raise EvidenceError(f"table {name!r}: expected lower-case letters, digits and _; rename the table")
    return name
