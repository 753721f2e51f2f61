"""Decides in which files the evidence of each moment is kept, so that what was judged can be judged again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.strict_json import read_json_lines
from pytest_l402.evidence.tables import Evidence, EvidenceFile, Row, write_evidence

STANDING = "standing"
"""The moment at which the standing checks are run, over everything that was recorded."""

MAX_TABLE_BYTES = 256 * 1024 * 1024
"""The largest file that is read as a table."""


def verification(number: int) -> str:
    """Return the name of the moment of a test's first, second, … `verify`."""
    return f"verify-{number}"


def keep(
    final: Evidence, moments: Mapping[str, Evidence], folder: Path
) -> tuple[list[EvidenceFile], dict[str, tuple[str, ...]]]:
    """Write the final evidence to a folder, and the tables in which a moment differs to `<folder>/<moment>/`.

    Returns the files, and for each moment the paths below the folder that hold its tables, one a file. A
    table is written once for each of its contents: most of a moment is what the end has as well, or an
    earlier moment. What an earlier attempt of the same test left is removed. Raises `OSError`.
    """
    _forget(folder)
    files = write_evidence(final, folder)
    known = {(file.path.stem, file.sha256): file.path.name for file in files}
    digests_of = {id(final.table(file.path.stem)): file.sha256 for file in files if file.rows}

    def digest_of(evidence: Evidence, name: str) -> str:
        rows = evidence.table(name)
        # Most of what the standing checks were held to are the very rows of the end.
        return digests_of.get(id(rows)) or hashlib.sha256(evidence.jsonl(name)).hexdigest()

    held: dict[str, tuple[str, ...]] = {}
    for moment, evidence in moments.items():
        digests = {name: digest_of(evidence, name) for name in evidence.names}
        changed = [name for name, digest in digests.items() if (name, digest) not in known]
        if changed:
            files += write_evidence(evidence.only(*changed), folder / moment)
            known |= {(name, digests[name]): f"{moment}/{name}.jsonl" for name in changed}
        held[moment] = tuple(known[table] for table in digests.items())
    return files, held


def table_of(path: str) -> str:
    """Return the name of the table that a file holds."""
    return path.rpartition("/")[2].removesuffix(".jsonl")


def read_kept(folder: Path, paths: Iterable[str]) -> Evidence:
    """Read the evidence of one moment from the files that hold its tables, by their paths below the folder.

    Raises `contract.InputError` for a file that is missing, too large, or no JSON Lines of objects, and
    `EvidenceError` for rows that are no evidence. Who calls it has seen that each is a file, and no link.
    """
    return Evidence({table_of(path): _rows(folder / path) for path in paths})


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


def _forget(folder: Path) -> None:
    for pattern in ("*.jsonl", "verify-*/*.jsonl", f"{STANDING}/*.jsonl"):
        for left in folder.glob(pattern):
            left.unlink()
