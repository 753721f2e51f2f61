"""Decides how an export of any size is read: into SQLite, or in slices, which DuckDB keeps as Parquet."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pytest_l402.boundary import InputError
from pytest_l402.triage.incident import (
    Progress,
    plain_record,
    read_documents,
    read_incident,
    take_files,
    told_nobody,
)
from pytest_l402.triage.incident_files import STANDARD_INPUT, Source, sources
from pytest_l402.triage.incident_reader import IncidentReader
from pytest_l402.triage.incident_rows import Incident
from pytest_l402.triage.line_feed import LineFeed, ReadsBytes
from pytest_l402.triage.parquet_records import ANSWERED, ParquetRecords, refusing
from pytest_l402.triage.record_gate import RecordGate
from pytest_l402.triage.record_row import record_cells
from pytest_l402.triage.slice_pool import NoRoom, NotLines, SlicePool
from pytest_l402.triage.sliced_file import SlicedFile

MANY_BYTES: Final = 64_000_000
"""From this size on, in bytes, DuckDB is quicker than SQLite."""

_SLICE: Final = 32 << 20
_HEAD: Final = 1 << 20
_OWN_SHARE: Final = 120_000_000
_LEAST_BYTES: Final = 64_000_000


class EngineName(StrEnum):
    """What runs the model; `auto` is DuckDB for large exports where it is installed, else SQLite."""

    AUTO = "auto"
    SQLITE = "sqlite"
    DUCKDB = "duckdb"


@dataclass(frozen=True, slots=True)
class Means:
    """What an audit may take: memory in bytes, processes, and a folder that is kept, if any."""

    engine: EngineName = EngineName.AUTO
    memory_bytes: int = 1_000_000_000
    workers: int = 1
    folder: Path | None = None
    slice_bytes: int = _SLICE


@contextmanager
def audited(
    names: Iterable[str | os.PathLike[str]], means: Means, progress: Progress = told_nobody
) -> Iterator[Incident]:
    """Read an export of any size as `read_incident` reads an incident, with the same answers.

    Inside the block the incident can be asked; behind it `means.folder` holds what is kept.

    Raises:
        InputError: an engine is missing, or there is no room for what has to be kept meanwhile.
    """
    files = tuple(os.fspath(name) for name in names)
    if not _takes_duckdb(means, files):
        yield read_incident(*files, progress=progress)
        return
    beside = None if means.folder is None else _usable(means.folder).parent
    with _scratch_folder(beside) as scratch:
        try:
            incident, records = _sliced(files, means, scratch, progress)
        except NotLines:
            yield read_incident(*files, progress=progress)
            return
        with closing(records):
            yield incident
        if means.folder is not None:
            with refusing():
                shutil.rmtree(means.folder, ignore_errors=True)
                records.folder.rename(means.folder)


@contextmanager
def _scratch_folder(beside: Path | None) -> Iterator[Path]:
    with refusing():
        if beside is not None:
            beside.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".pytest-l402-audit-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _usable(folder: Path) -> Path:
    """The folder, if it is free or holds an earlier audit, which is replaced once there is another."""
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        if is_free or (folder / ANSWERED).exists():
            return folder
        seen = "a folder with other files" if folder.is_dir() else "a file"
    except OSError as error:
        seen = error.strerror or "none"
    raise InputError.at(
        folder,
        expected="a folder to keep Parquet in, new or of an earlier audit",
        seen=seen,
        remedy="name another",
    )


def _takes_duckdb(means: Means, files: Iterable[str]) -> bool:
    if means.engine is EngineName.SQLITE and means.folder is None:
        return False
    is_asked_for = means.engine is EngineName.DUCKDB or means.folder is not None
    if find_spec("duckdb") is None:
        if is_asked_for:
            raise InputError.at(
                "--parquet" if means.folder else "--engine",
                expected="DuckDB, which keeps records as Parquet",
                seen="no module of that name",
                remedy="install pytest-l402[audit]",
            )
        return False
    return is_asked_for or sum(map(_size, files)) >= MANY_BYTES


def _size(name: str) -> int:
    total = 0
    for source in sources((name,)):
        if isinstance(source, Source) and source.name != STANDARD_INPUT:
            try:
                size = Path(source.name).stat().st_size
            except (OSError, ValueError):
                continue
            total += size * 10 if source.name.endswith((".gz", ".zst")) else size
    return total


def _sliced(
    files: tuple[str, ...], means: Means, scratch: Path, progress: Progress
) -> tuple[Incident, ParquetRecords]:
    reader = IncidentReader()
    folder, left = scratch / "parquet", max(means.memory_bytes - _OWN_SHARE, _LEAST_BYTES)
    with refusing():
        (folder / "records").mkdir(parents=True)
    with SlicePool(folder, scratch, means.workers, left, means.slice_bytes) as pool:

        def take(source: Source, stream: ReadsBytes) -> None:
            _read(source, stream, reader, pool, progress)

        take_files(files, reader, take, beyond=(NoRoom,))
    records = ParquetRecords(folder, scratch, reader.store, left, means.workers)
    records.settle()
    reader.note_secrets(records.places[number] for number in records.holding(reader.suspicious))
    reader.store.n_told_again = records.n_told_again
    return replace(reader.incident(), records=records), records


def _read(
    source: Source, stream: ReadsBytes, reader: IncidentReader, pool: SlicePool, progress: Progress
) -> None:
    """Read one file: in slices if it is JSON Lines of one emitter, else document by document."""
    head = stream.read1(_HEAD)
    gate = _gate_of(head)
    if gate is None:
        read_documents(LineFeed(_Again(head, stream), source.name), reader, progress)
        return
    file = SlicedFile(source.name, reader)
    n_records = 0
    for base, gated in pool.gated(source, _Again(head, stream), gate):
        n_records += gated.n_records
        file.take(base, gated)
        progress(source.name, n_records)
    file.end()
    reader.note_valid(n_records)


def _gate_of(head: bytes) -> RecordGate | None:
    gate = RecordGate()
    for line in head[: head.rfind(b"\n") + 1].splitlines():
        text = line.decode("utf-8", "replace")
        row = plain_record(text)
        if row is not None and record_cells(row) is not None and gate.learn(text, row):
            return gate
    return None


class _Again:
    """A stream with what was read of it already."""

    def __init__(self, head: bytes, stream: ReadsBytes) -> None:
        self._head = head
        self._stream = stream

    def read1(self, size: int = -1, /) -> bytes:
        if self._head:
            data, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
            return data
        return self._stream.read1(size)
