"""Decides which rows of the kept evidence a page shows: those of what is not green before all others, and so
many that it opens at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.strict_json import read_json_lines
from pytest_l402.evidence.kept import table_of
from pytest_l402.signoff.document_entries import FileEntry, NodeEntry

MAX_RECORDS: Final = 1000
"""How many records one page shows."""

MAX_TABLE_BYTES: Final = 64 * 1024 * 1024
"""The largest table that is read to be shown."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows of one table, or in `problem` why there are none to show."""

    rows: tuple[Row, ...] = ()
    problem: str = ""


class KeptRows:
    """The tables below one run folder, as far as the document names them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def final(self, node: NodeEntry, table: str) -> Kept:
        """Return what a table held at the end of a test."""
        return self._read(node, f"{node.folder}/{table}.jsonl")

    def at(self, node: NodeEntry, moment: str, table: str) -> Kept:
        """Return what a table held at one of the moments of a test."""
        paths = node.moments.get(moment, ())
        path = next((path for path in paths if table_of(path) == table), "")
        return self._read(node, f"{node.folder}/{path}") if path else Kept()

    def _read(self, node: NodeEntry, path: str) -> Kept:
        entry = named_file(node, path)
        if entry is None or not entry.bytes:
            return Kept()
        if entry.bytes > MAX_TABLE_BYTES:
            return Kept(problem=f"{path}: too large to be shown here, {entry.bytes:,} bytes")
        file = self._folder / path
        try:
            # What lies there now may be something else: nothing is read through a link, or from a pipe.
            if file.is_symlink() or not file.is_file():
                return Kept(problem=f"{path}: expected a file, saw none")
            rows = tuple(read_json_lines(file))
        except InputError as error:
            return Kept(problem=str(error).replace(str(self._folder), ""))
        except OSError as error:
            return Kept(problem=f"{path}: {error.strerror or type(error).__name__}")
        if not all(isinstance(row, dict) for row in rows):
            return Kept(problem=f"{path}: expected an object a line, saw something else")
        return Kept(rows)


def named_file(node: NodeEntry, path: str) -> FileEntry | None:
    """Return the file of a test with this path below the run folder, or None."""
    return next((file for file in node.evidence if file.path == path), None)


def allotted(nodes: Sequence[NodeEntry], limit: int = MAX_RECORDS) -> dict[str, int]:
    """Return how many records of each test are shown, by node id: the first tests' first."""
    left, allowed = limit, {}
    for node in nodes:
        allowed[node.nodeid] = min(records_of(node), left)
        left -= allowed[node.nodeid]
    return allowed


def records_of(node: NodeEntry) -> int:
    """Return how many records a test left."""
    file = named_file(node, f"{node.folder}/records.jsonl")
    return 0 if file is None else file.rows or 0


def as_tables(**tables: Iterable[Row]) -> Tables:
    """Return these rows as tables that triage reads."""
    return Tables({name: tuple(rows) for name, rows in tables.items()})


@dataclass(frozen=True, slots=True)
class Tables:
    """Rows by table; one that is not there has none."""

    rows: Mapping[str, tuple[Row, ...]]

    def table(self, name: str) -> Sequence[Row]:
        """Return the rows of a table."""
        return self.rows.get(name, ())
