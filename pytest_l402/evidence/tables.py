"""Decides what evidence is: named tables of plain JSON rows that nobody changes after they were recorded."""

from __future__ import annotations

import hashlib
import json
import marshal
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_l402.contract.rows import Row as Row
from pytest_l402.evidence.fields import ANYTHING, Declared

TABLES = (
    "records",
    "exchanges",
    "answers",
    "payments",
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
    "secret_scan",
)
"""The tables that the checks of this package read; others may be added by whoever records them."""

_TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class EvidenceError(ValueError):
    """A row or a file that cannot be evidence; one line that names the table, the row and the value."""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One table as written to disk: its path, the SHA-256 of its bytes, how many bytes and how many rows."""

    path: Path
    sha256: str
    bytes: int
    rows: int


class Evidence:
    """Named tables of rows, in the order in which they were recorded; two with equal rows are equal.

    Rows are copied in and hold JSON values only, so a stack that goes on working cannot change what it left.
    Raises `EvidenceError` for a table name that could not be a file name and for a value that JSON lacks.
    `declared` is what the attached systems say of their tables; it is no part of what was recorded.
    """

    __slots__ = ("_missed", "_sealed", "_tables", "declared")

    def __init__(
        self, tables: Mapping[str, Iterable[Row]] | None = None, declared: Declared | None = None
    ) -> None:
        self.declared: Declared = declared or {}
        self._sealed: SealedEvidence | None = None
        self._missed: set[str] = set()
        # A table of opened evidence is bytes until it is asked for.
        self._tables: dict[str, tuple[dict[str, Any], ...] | bytes] = {}
        for name, rows in (tables or {}).items():
            self._tables[_table_name(name)] = _plain_rows(name, rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The tables that were recorded, including those that stayed empty."""
        return tuple(self._tables)

    def table(self, name: str) -> tuple[dict[str, Any], ...]:
        """The rows of one table; a table that nobody recorded has none."""
        rows = self._tables.get(name)
        if rows is None:
            self._missed.add(name)
            return ()
        if isinstance(rows, bytes):
            rows = self._tables[name] = tuple(marshal.loads(rows))  # noqa: S302 - sealed in this process
        return rows

    def with_table(self, name: str, rows: Iterable[Row]) -> Evidence:
        """The same evidence with one table replaced."""
        altered = Evidence(declared=self.declared)
        # Rows that are already evidence are shared: a mutant replaces one row of many.
        known = {id(row): row for row in self.table(name)}
        altered._tables = {**self._tables, _table_name(name): _plain_rows(name, rows, known)}
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
        told._tables = dict(self._tables)
        return told

    def replaced_in(self, other: Evidence) -> tuple[str, ...]:
        """The tables that another evidence does not share with this one, altered or not."""
        mine, theirs = self._tables, other._tables
        replaced = [name for name, rows in theirs.items() if mine.get(name) is not rows]
        return (*replaced, *(name for name in mine if name not in theirs))

    def only(self, *names: str) -> Evidence:
        """The same evidence without every table that is not named."""
        chosen = Evidence(declared=self.declared)
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

    __slots__ = ("_base", "_declared", "_rows", "_tables")

    def __init__(self, evidence: Evidence) -> None:
        self._declared = evidence.declared
        self._tables = {name: _sealed_rows(evidence.table(name)) for name in evidence.names}
        self._base: Evidence | None = None
        self._rows: dict[str, tuple[dict[str, Any], ...]] = {}

    def opened(self) -> Evidence:
        """Rows for one reader alone; each table is unpacked when it is first asked for."""
        opened = Evidence(declared=self._declared)
        opened._tables = dict(self._tables)
        return opened

    @property
    def base(self) -> Evidence:
        """Rows for every mutant to start from; made anew after somebody was caught changing them."""
        if self._base is None:
            self._base = self.opened()
            self._rows = {name: self._base.table(name) for name in self._tables}
        return self._base

    @property
    def rows(self) -> Mapping[str, tuple[dict[str, Any], ...]]:
        """The tables that the latest `base` was opened with, whatever a mutant has put in their place."""
        return self._rows

    def read_in(self, opened: Evidence) -> frozenset[str]:
        """The tables that the reader of this opened evidence has asked for."""
        return frozenset(self._tables) - self._unread(opened)

    def _unread(self, opened: Evidence) -> frozenset[str]:
        try:
            return frozenset(name for name, rows in opened._tables.items() if isinstance(rows, bytes))
        except Exception:  # whatever was put in its place
            return frozenset()

    def changed_in(self, *opened: Evidence) -> tuple[str, ...]:
        """The tables that are not, in one of these, what was sealed, to the byte."""
        changed = dict.fromkeys(name for each in opened for name in self._changed(each))
        if changed:
            self._base = None
        return tuple(changed)

    def _changed(self, opened: Evidence) -> Iterator[str]:
        try:
            there = dict(opened._tables)
        except Exception:  # whatever was put in its place
            yield from self._tables
            return
        for name in (*self._tables, *(name for name in there if name not in self._tables)):
            rows = there.get(name)
            if rows is None or (rows is not self._tables.get(name) and not self._is_sealed(name, rows)):
                yield str(name)

    def _is_sealed(self, name: str, rows: Any) -> bool:
        try:
            return _sealed_rows(rows) == self._tables.get(name)
        except Exception:  # what no row can hold was put in, or rows that hold themselves
            return False


def write_evidence(evidence: Evidence, folder: Path) -> list[EvidenceFile]:
    """Write every table to `<folder>/<table>.jsonl`, each through a temporary name, and say what was written.

    A table that this evidence does not have is removed if an earlier attempt of the same case left it there.
    Whoever vouches for the files has them put on the disk first, all at once (`signoff.write_run`).
    Raises `OSError` when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = {entry.name for entry in os.scandir(folder)}
    for name in set(TABLES) - set(evidence.names):
        if f"{name}.jsonl" in left:
            (folder / f"{name}.jsonl").unlink()
    written = []
    # Twenty files a test: as texts, paths cost a third of what they cost as objects.
    prefix = os.fspath(folder)
    for name in evidence.names:
        content = evidence.jsonl(name)
        temporary = f"{prefix}/.{name}.jsonl.tmp"
        with open(temporary, "wb") as file:  # noqa: PTH123
            file.write(content)
        path = folder / f"{name}.jsonl"
        os.replace(temporary, path)  # noqa: PTH105
        rows = len(evidence.table(name))
        written.append(EvidenceFile(path, hashlib.sha256(content).hexdigest(), len(content), rows))
    return written


def read_evidence(folder: Path) -> Evidence:
    """Read back every `<table>.jsonl` of a folder.

    Raises `EvidenceError` when the folder is missing or holds no table, and `contract.InputError` for a line
    that is not one JSON object.
    """
    from pytest_l402.boundary.strict_json import InputError, read_json_lines

    paths = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    if not paths:
        raise EvidenceError(
            f"{folder}: expected a folder of <table>.jsonl files, saw none; name the evidence folder"
        )
    tables: dict[str, list[Row]] = {}
    for path in paths:
        rows: list[Row] = []
        if path.stat().st_size:
            for number, row in enumerate(read_json_lines(path), start=1):
                if not isinstance(row, dict):
                    raise InputError(
                        f"{path}:{number}: expected a JSON object, saw {type(row).__name__}; fix the line"
                    )
                rows.append(row)
        tables[path.stem] = rows
    return Evidence(tables)


def _same_rows(some: tuple[Row, ...], others: tuple[Row, ...]) -> bool:
    return len(some) == len(others) and all(
        ours is theirs or (ours == theirs and _line(ours) == _line(theirs))
        for ours, theirs in zip(some, others, strict=True)
    )


_PLAIN = frozenset({int, bool, type(None)})

_TO_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _sealed_rows(rows: Iterable[Row]) -> bytes:
    # Version 2 knows nothing of which objects are one and the same, so equal rows are equal bytes; and it
    # takes a third of what JSON takes.
    return marshal.dumps(list(rows), 2)


def _line(row: Row) -> bytes:
    return _TO_JSON(row).encode() + b"\n"


def _table_name(name: str) -> str:
    if not _TABLE_NAME.fullmatch(name):
        raise EvidenceError(f"table {name!r}: expected lower-case letters, digits and _; rename the table")
    return name


def _plain_rows(
    table: str, rows: Iterable[Row], known: Mapping[int, dict[str, Any]] | None = None
) -> tuple[dict[str, Any], ...]:
    plain = []
    for index, row in enumerate(rows):
        if known and id(row) in known:
            plain.append(known[id(row)])
            continue
        if type(row) is not dict and not isinstance(row, Mapping):
            raise EvidenceError(
                f"{table}[{index}]: expected a row, saw {type(row).__name__}; record a mapping"
            )
        plain.append({_text(key, table, index): _plain(value, table, index) for key, value in row.items()})
    return tuple(plain)


def _plain(value: Any, table: str, index: int) -> Any:
    # By exact type first: nearly every value is plain already, and `isinstance` of a Mapping is slow.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, table, index)
    if kind in _PLAIN:
        return value
    if isinstance(value, str):
        return _text(value, table, index)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if kind is dict or isinstance(value, Mapping):
        return {_text(key, table, index): _plain(item, table, index) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, table, index) for item in value]
    # The value itself stays out of the message: it was never checked for secrets.
    raise EvidenceError(
        f"{table}[{index}]: expected a JSON value, saw {type(value).__name__}; record plain values"
    )


def _text(value: Any, table: str, index: int) -> str:
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        raise EvidenceError(
            f"{table}[{index}]: expected a text key, saw {type(value).__name__}; record plain values"
        )
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EvidenceError(
            f"{table}[{index}]: expected Unicode text, saw a lone surrogate; re-read it"
        ) from None
    return text
