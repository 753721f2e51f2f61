"""Decides where the records of an incident are kept: in a database, on disk as far as memory is short."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, overload

from pytest_l402.boundary import InputError
from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.triage.correlation import (
    RECORD_COLUMNS,
    TABLES,
    definition,
    flow_cells,
    insertion,
    readable,
    statements,
)
from pytest_l402.triage.findings import as_told
from pytest_l402.triage.incident_rows import SourcedRow
from pytest_l402.triage.places import Places
from pytest_l402.triage.record_gate import Run
from pytest_l402.triage.record_row import RecordRow

_CACHE_KIB: Final = 12_000
_BROKEN_IN_FULL: Final = 10_000
_SOURCE: Final = "the database of records"
_HIT: Final = REQUIRED_KEYS.index("cacheHit")
# What the gate has read is text; the columns make numbers of numbers.
_INSERT_WRITTEN: Final = (
    f"insert into l402_records values (?, {', '.join('?' * _HIT)}, ? = 'true', "  # noqa: S608 - only marks go in
    f"{', '.join('?' * (len(REQUIRED_KEYS) - _HIT - 1))})"
)


class RecordStore(Sequence[SourcedRow]):
    """Every record that was read, by its number; one that is told again, value by value, counts once.

    A record that breaks the contract is kept as it is beside the others. What SQLite cannot keep, as a disk
    is full, or cannot add up, is an `InputError`.
    """

    def __init__(self) -> None:
        self.places = Places()
        self.n_told_again = 0
        self._n_broken = 0
        self._broken: dict[int, Mapping[str, Any]] = {}
        self._told: set[int] = set()
        self._is_settled = False
        # Without a name it is a file that nobody else sees, and in memory as long as it is small.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("pragma journal_mode = off")
        self._connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
        for table in TABLES:
            # A number that is the primary key is the row's own.
            text = definition(table, "integer").replace("(line integer,", "(line integer primary key,")
            self._connection.execute(text)
        self._connection.execute("begin")

    def __del__(self) -> None:
        self._connection.close()

    def add(self, file: str, line: int, path: str, cells: tuple[Any, ...]) -> None:
        """Add a valid record: the values in the order of the contract."""
        fingerprint = hash(_written(cells))
        if fingerprint in self._told:
            self.n_told_again += 1
            return
        self._told.add(fingerprint)
        number = self.places.add(file, line, path)
        self._insert(insertion("l402_records"), ((number, *cells),))

    def add_run(self, file: str, line: int, run: Run) -> None:
        """Add lines that are valid records, the first of which is `line`."""
        rows = [*zip(*run.columns, strict=True)]
        fingerprints = [*map(hash, rows)]
        if self._told.isdisjoint(fingerprints):
            n_told = len(self._told)
            self._told.update(fingerprints)
            if len(self._told) - n_told == len(rows):
                number = self.places.add(file, line, count=len(rows))
                self._insert(_INSERT_WRITTEN, zip(count(number), *run.columns, strict=False))
                return
            self._told.difference_update(fingerprints)
        new = []
        for at, (fingerprint, row) in enumerate(zip(fingerprints, rows, strict=True), start=line):
            if fingerprint in self._told:
                self.n_told_again += 1
            else:
                self._told.add(fingerprint)
                new.append((self.places.add(file, at), *row))
        self._insert(_INSERT_WRITTEN, new)

    def add_broken(self, file: str, line: int, path: str, row: Mapping[str, Any]) -> None:
        """Add a record that breaks the contract, as far as it could be read."""
        number = self.places.add(file, line, path)
        request_id, proof = readable(row, "requestId"), readable(row, "paymentProofRef")
        self._n_broken += 1
        if len(self._broken) < _BROKEN_IN_FULL:
            self._broken[number] = row
        self._insert(insertion("l402_violations"), ((number, request_id, proof),))

    def add_flows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add what a local artifact says of its tasks."""
        self._insert(insertion("l402_flows"), map(flow_cells, rows))

    def forget_broken_from(self, number: int) -> None:
        """Take broken records away again, those from this number on."""
        self.places.forget_from(number)
        ((doomed,),) = self.rows("select count(*) from l402_violations where line >= ?", (number,))
        self._n_broken -= int(doomed)
        for each in [known for known in self._broken if known >= number]:
            del self._broken[each]
        self._insert("delete from l402_violations where line >= ?", ((number,),))

    def settle(self) -> None:
        """Run the model over what was added; nothing is added later."""
        if self._is_settled:
            return
        self._is_settled = True
        self._told.clear()
        for table, query in statements():
            self._insert(f"create table {table} as {query}", ((),))

    def rows(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[tuple[Any, ...]]:
        """Run a statement over the model's tables, and yield its rows."""
        try:
            yield from self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise _refused(error) from None

    def row(self, number: int) -> SourcedRow:
        """The record of this number, with its place; an empty one where only its request is known."""
        place = self.places[number]
        return SourcedRow(self._valid(number) or self.broken_row(number), place.file, place.line, place.path)

    def _valid(self, number: int) -> RecordRow | None:
        found = self._connection.execute(
            f"select {', '.join(RECORD_COLUMNS)} from l402_records where line = ?",  # noqa: S608 - ours
            (number,),
        ).fetchone()
        return None if found is None else RecordRow(as_told(found))

    @property
    def n_broken(self) -> int:
        """How many records break the contract."""
        return self._n_broken

    def broken_row(self, number: int) -> Mapping[str, Any]:
        """A record that breaks the contract; an empty one where it was not kept."""
        return self._broken.get(number, {})

    def broken(self) -> Iterable[Mapping[str, Any]]:
        """Those that break the contract, the first thousands of them."""
        return self._broken.values()

    def __len__(self) -> int:
        return self.places.end

    @overload
    def __getitem__(self, number: int) -> SourcedRow: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[SourcedRow, ...]: ...

    def __getitem__(self, number: int | slice) -> SourcedRow | tuple[SourcedRow, ...]:
        if isinstance(number, slice):
            return tuple(self.row(each) for each in range(len(self))[number])
        return self.row(range(len(self))[number])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def _insert(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _refused(error) from None


def _written(cells: tuple[Any, ...]) -> tuple[str | None, ...]:
    """The values as a line has them, so that a record is the same whoever has read it."""
    return tuple(
        cell
        if cell is None or isinstance(cell, str)
        else "true"
        if cell is True
        else "false"
        if cell is False
        else str(cell)
        for cell in cells
    )


def _refused(error: sqlite3.Error) -> InputError:
    seen = str(error)
    if "full" in seen or "I/O" in seen:
        return InputError.at(
            _SOURCE,
            expected="room for a temporary file",
            seen=seen,
            remedy="free some, or set SQLITE_TMPDIR to a folder that has it",
        )
    if "overflow" in seen:
        return InputError.at(
            _SOURCE,
            expected="amounts of which the sum is below 2^63 msats",
            seen="more",
            remedy="see who writes such amounts",
        )
    return InputError.at(
        _SOURCE,
        expected="records that SQLite can keep",
        seen=seen,
        remedy="free memory and disk, and try again",
    )
