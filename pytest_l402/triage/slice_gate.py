"""Decides of a slice of an export which lines are surely records, and writes those as Parquet.

A worker's job: each is a process of its own, and imports nothing but what this module does.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True)
class SliceJob:
    """A slice to gate: `length` bytes of a file from `offset` on, whole lines.

    `pattern` matches records only, each with its line break, from a place on. The line `n` of the slice,
    counted from 0, has the number `base + n`. `columns` are keys, columns and types; `scratch` is a file that
    may be written meanwhile, and so is `path` if `is_scratch`. Of the texts in the columns `unusual_in` those
    are returned that `usual` does not match.
    """

    path: str
    offset: int
    length: int
    base: int
    part: str
    scratch: str
    pattern: bytes
    columns: Sequence[tuple[str, str, str]]
    unusual_in: Sequence[str]
    usual: str
    settings: Mapping[str, Any]
    is_scratch: bool = False


@dataclass(frozen=True, slots=True)
class GatedSlice:
    """What is in a slice: `doubtful` are place, count and bytes of lines that may be no records."""

    n_lines: int
    n_records: int
    doubtful: tuple[tuple[int, int, bytes], ...]
    unusual: frozenset[str]


class SliceRefused(Exception):  # noqa: N818 - told to a user as it is
    """A slice cannot be worked on, as a disk is full or memory is short; its text is what the system says."""


def gate_slice(job: SliceJob) -> GatedSlice:
    """Write the records of a slice as Parquet, and return the rest of it.

    Raises:
        SliceRefused: no room for a file, or for the work.
    """
    import duckdb

    try:
        with Path(job.path).open("rb") as file:
            file.seek(job.offset)
            data = file.read(job.length)
        if not data.endswith(b"\n"):
            data += b"\n"
        gated, n_lines, doubtful = _gated(data, re.compile(job.pattern))
        del data
        if job.is_scratch:
            Path(job.path).unlink()
        Path(job.scratch).write_bytes(gated)
        del gated
        with duckdb.connect(config=dict(job.settings)) as connection:
            n_records, unusual = _written(connection, job)
        Path(job.scratch).unlink()
    except OSError as error:
        raise SliceRefused(error.strerror or str(error)) from None
    except duckdb.Error as error:
        raise SliceRefused(str(error).partition("\n")[0]) from None
    return GatedSlice(n_lines, n_records, doubtful, unusual)


def _gated(data: bytes, pattern: re.Pattern[bytes]) -> tuple[bytes, int, tuple[tuple[int, int, bytes], ...]]:
    """The slice with `{}` for every line that is not surely a record, how many lines, and those lines."""
    kept: list[bytes] = []
    doubtful: list[tuple[int, int, bytes]] = []
    at, line = 0, 0
    while at < len(data):
        end = _end_of_run(pattern, data, at)
        if end > at:
            kept.append(data[at:end] if at or end < len(data) else data)
            line += data.count(b"\n", at, end)
            at = end
            continue
        begin, first = at, line
        while at < len(data) and (at == begin or _end_of_run(pattern, data, at) == at):
            at = data.index(b"\n", at) + 1
            line += 1
        doubtful.append((first, line - first, data[begin:at]))
        kept.append(b"{}\n" * (line - first))
    return b"".join(kept), line, tuple(doubtful)


def _end_of_run(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    return at if found is None else found.end()


def _written(connection: Any, job: SliceJob) -> tuple[int, frozenset[str]]:
    types = ", ".join(f"'{key}': '{kind}'" for key, _, kind in job.columns)
    names = ", ".join(f'"{key}" as {column}' for key, column, _ in job.columns)
    # What decides that a line is a record is the plane, which none can do without.
    connection.execute(
        f"copy (select * from (select {job.base} + row_number() over () - 1 as line, {names} from "  # noqa: S608 - ours
        f"read_json(?, format = 'newline_delimited', columns = {{{types}}}, compression = 'uncompressed')) "
        "where plane is not null) to ? (format parquet, compression zstd)",
        [job.scratch, job.part],
    )
    ((n_records,),) = connection.execute("select count(*) from read_parquet(?)", [job.part]).fetchall()
    unusual: set[str] = set()
    for column in job.unusual_in:
        found = connection.execute(
            f"select {column} from (select distinct {column} from read_parquet(?)) "  # noqa: S608 - ours
            f"where {column} is not null and not regexp_full_match({column}, ?)",
            [job.part, job.usual],
        ).fetchall()
        unusual.update(text for (text,) in found)
    return int(n_records), frozenset(unusual)


def serve() -> None:
    """Gate each slice that standard input asks for, and answer on standard output, until that ends."""
    # Whatever else is printed in this process must not get between the answers.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        _answer_all(answers)


def _answer_all(answers: IO[bytes]) -> None:
    while True:
        try:
            job = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by who started this process
        except EOFError:
            return
        try:
            answer: GatedSlice | SliceRefused = gate_slice(job)
        except SliceRefused as error:
            answer = error
        pickle.dump(answer, answers)
        answers.flush()
