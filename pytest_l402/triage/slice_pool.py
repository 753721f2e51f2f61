"""Decides how a file is cut into slices of whole lines, and hands them to the workers that gate them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pytest_l402.boundary import InputError
from pytest_l402.boundary.input_files import MAX_BYTES
from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.triage.correlation import RECORD_COLUMNS, snake_case
from pytest_l402.triage.incident_files import Source
from pytest_l402.triage.line_feed import ReadsBytes
from pytest_l402.triage.parquet_records import TEXT_COLUMNS, settings
from pytest_l402.triage.record_gate import RecordGate
from pytest_l402.triage.record_row import USUAL
from pytest_l402.triage.slice_gate import GatedSlice, SliceJob, SliceRefused, gate_slice

_STRIDE: Final = 100_000_000
_LEAST_BYTES: Final = 100_000_000
_COLUMNS: Final = tuple((key, snake_case(key), RECORD_COLUMNS[snake_case(key)]) for key in REQUIRED_KEYS)


_SERVE: Final = "from pytest_l402.triage.slice_gate import serve; serve()"


class NoRoom(InputError):  # noqa: N818 - the name of the condition
    """There is no room for the work itself, on the disk or in memory."""


class NotLines(Exception):  # noqa: N818 - it is no error
    """A file is no JSON Lines: a document in it goes over lines that are records themselves."""


class SlicePool:
    """Workers that gate slices, no more of them at once than memory allows, and their results in order."""

    def __init__(
        self, folder: Path, scratch: Path, workers: int, memory_bytes: int, slice_bytes: int
    ) -> None:
        self._folder = folder
        self._scratch = scratch
        self._n_workers = workers
        self._workers: list[subprocess.Popen[bytes]] = []
        self._mine = threading.local()
        self._threads = ThreadPoolExecutor(workers) if workers > 1 else None
        self._memory_bytes = memory_bytes
        self._waiting: deque[tuple[SliceJob, Future[GatedSlice] | None]] = deque()
        self._n_slices = 0
        self._slice_bytes = slice_bytes

    def __enter__(self) -> SlicePool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            with worker:
                worker.terminate()

    def _job(self, gate: RecordGate, path: str, offset: int, length: int, *, is_scratch: bool) -> SliceJob:
        """The work on the next slice."""
        number, self._n_slices = self._n_slices, self._n_slices + 1
        each = max(self._memory_bytes // (2 * self._n_workers), _LEAST_BYTES)
        return SliceJob(
            path=path,
            offset=offset,
            length=length,
            base=number * _STRIDE,
            part=str(self._folder / "records" / f"part-{number:05}.parquet"),
            scratch=str(self._scratch / f"slice-{number:05}.jsonl"),
            pattern=gate.run_pattern,
            columns=_COLUMNS,
            unusual_in=TEXT_COLUMNS,
            usual=USUAL,
            settings=settings(each, 1, str(self._scratch / "spilled")),
            is_scratch=is_scratch,
        )

    def gated(self, source: Source, stream: ReadsBytes, gate: RecordGate) -> Iterator[tuple[int, GatedSlice]]:
        """Yield the number of each slice's first line and what is in it, in order.

        Raises:
            NotLines: a line is too long to be one.
            NoRoom: there is none, or a worker was ended.
        """
        try:
            for job in self._jobs(source, stream, gate):
                self._submit(job)
                while len(self._waiting) > self._n_workers:
                    yield self._next()
            while self._waiting:
                yield self._next()
        except SliceRefused as error:
            raise NoRoom.at(
                str(self._folder),
                expected="room for a slice of the export",
                seen=str(error),
                remedy="free the disk",
            ) from None

    def _submit(self, job: SliceJob) -> None:
        self._waiting.append((job, None if self._threads is None else self._threads.submit(self._asked, job)))

    def _next(self) -> tuple[int, GatedSlice]:
        job, future = self._waiting.popleft()
        return job.base, gate_slice(job) if future is None else future.result()

    def _asked(self, job: SliceJob) -> GatedSlice:
        """Let the worker of this thread do it."""
        if not hasattr(self._mine, "worker"):
            self._mine.worker = subprocess.Popen(
                [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._workers.append(self._mine.worker)
        try:
            pickle.dump(job, self._mine.worker.stdin)
            self._mine.worker.stdin.flush()
            answer = pickle.load(self._mine.worker.stdout)  # noqa: S301 - written by a process of ours
        except (EOFError, OSError, pickle.UnpicklingError):
            raise NoRoom.at(
                "--memory",
                expected="workers that can go on",
                seen=f"one that ended ({self._mine.worker.poll()}), as if memory was short",
                remedy="give fewer --workers",
            ) from None
        if isinstance(answer, SliceRefused):
            raise answer
        gated: GatedSlice = answer
        return gated

    def _jobs(self, source: Source, stream: ReadsBytes, gate: RecordGate) -> Iterator[SliceJob]:
        if source.is_plain:
            with Path(source.name).open("rb") as file:
                offset = 0
                while offset < source.size:
                    file.seek(offset + self._slice_bytes)
                    end = min(file.tell() + len(_bounded(file.readline(MAX_BYTES + 1))), source.size)
                    yield self._job(gate, source.name, offset, end - offset, is_scratch=False)
                    offset = end
            return
        left = b""
        while block := _block(stream, self._slice_bytes):
            data = left + block
            end = data.rfind(b"\n") + 1
            left = _bounded(data[end:])
            if end:
                yield self._unpacked(data[:end], gate)
        if left:
            yield self._unpacked(left, gate)

    def _unpacked(self, data: bytes, gate: RecordGate) -> SliceJob:
        path = self._scratch / f"unpacked-{self._n_slices:05}"
        try:
            path.write_bytes(data)
        except OSError as error:
            raise SliceRefused(error.strerror or str(error)) from None
        return self._job(gate, str(path), 0, len(data), is_scratch=True)


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise NotLines
    return data


def _block(stream: ReadsBytes, size: int) -> bytes:
    parts, missing = [], size
    while missing > 0 and (part := stream.read1(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
