"""Decides in which files the evidence of each moment is kept, so that what was judged can be judged again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.strict_json import read_json_lines
from pytest_l402.evidence.fields import Declared
from pytest_l402.evidence.tables import Evidence, Row

STANDING = "standing"
"""The moment at which the standing checks are run, over everything that was recorded."""

MAX_TABLE_BYTES = 256 * 1024 * 1024
"""The largest file that is read as a table."""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One table as written to disk: its path, the SHA-256 of its bytes, how many bytes and how many rows."""

    path: Path
    sha256: str
    bytes: int
    rows: int


def verification(number: int) -> str:
    """Return the name of the moment of a test's first, second, … `verify`."""
    return f"verify-{number}"


def keep(
    final: Evidence, moments: Mapping[str, Evidence], folder: Path
) -> tuple[list[EvidenceFile], dict[str, tuple[str, ...]]]:
    """Write the final evidence to a folder, and the tables in which a moment differs to `<folder>/<moment>/`.

    Returns the files, and for each moment the paths below the folder that hold its tables, one a file. A
    table is written once for each of its contents: most of a moment is what the end has as well, or an
    earlier moment. What an earlier attempt of the same test left is removed. Who vouches for the files has
    them put on the disk first, all at once (`signoff.write_run`). Raises `OSError`.
    """
    for pattern in ("*.jsonl", "verify-*/*.jsonl", f"{STANDING}/*.jsonl"):
        for left in folder.glob(pattern):
            left.unlink()
    files: list[EvidenceFile] = []
    held = _placed(final, moments)
    for moment, evidence in {"": final, **moments}.items():
        new = [path for path in held[moment] if path.rpartition("/")[0] == moment]
        if new or not moment:
            (folder / moment).mkdir(parents=True, exist_ok=True)
        files += [_write(evidence, table_of(path), folder / moment) for path in new]
    held.pop("")
    return files, held


def folders_of(final: Evidence, moments: Mapping[str, Evidence], told: Iterable[str]) -> tuple[str, ...]:
    """Return the folders below that of the final evidence in which `keep` puts tables of the moments told."""
    held = _placed(final, moments)
    folders = (path.rpartition("/")[0] for moment in dict.fromkeys(told) for path in held[moment])
    return tuple(dict.fromkeys(folder for folder in folders if folder))


def _placed(final: Evidence, moments: Mapping[str, Evidence]) -> dict[str, tuple[str, ...]]:
    """For each moment, the final one being "", the paths of its tables: where their content is first."""
    known: dict[tuple[str, bytes], str] = {}
    held: dict[str, tuple[str, ...]] = {}
    for moment, evidence in {"": final, **moments}.items():
        contents = evidence.sealed().packed.items()
        for table in contents:
            known.setdefault(table, f"{moment}/{table[0]}.jsonl".removeprefix("/"))
        held[moment] = tuple(known[table] for table in contents)
    return held


def _write(evidence: Evidence, name: str, folder: Path) -> EvidenceFile:
    """Write one table, through a temporary name."""
    content = evidence.jsonl(name)
    # Twenty files a test: as texts, paths cost a third of what they cost as objects.
    path = f"{os.fspath(folder)}/{name}.jsonl"
    temporary = f"{os.fspath(folder)}/.{name}.jsonl.tmp"
    with open(temporary, "wb") as file:  # noqa: PTH123
        file.write(content)
    os.replace(temporary, path)  # noqa: PTH105
    rows = len(evidence.table(name))
    return EvidenceFile(Path(path), hashlib.sha256(content).hexdigest(), len(content), rows)


def table_of(path: str) -> str:
    """Return the name of the table that a file holds."""
    return path.rpartition("/")[2].removesuffix(".jsonl")


def read_kept(folder: Path, paths: Iterable[str], declared: Declared | None = None) -> Evidence:
    """Read the evidence of one moment from the files that hold its tables, by their paths below the folder.

    Raises `contract.InputError` for a file that is missing, too large, or no JSON Lines of objects, and
    `EvidenceError` for rows that are no evidence. Who calls it has seen that each is a file, and no link.
    """
    return Evidence({table_of(path): _rows(folder / path) for path in paths}, declared)


def _rows(path: Path) -> Iterable[Row]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError.at(path, expected="a file", seen=error.strerror or "none") from None
    if size > MAX_TABLE_BYTES:
        raise InputError.at(path, expected=f"a table of at most {MAX_TABLE_BYTES} bytes", seen=f"{size}")
    rows = list(read_json_lines(path)) if size else []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError.at(path, line=number, expected="a JSON object", seen=type(row).__name__)
    return rows
