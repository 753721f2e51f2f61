"""Decides that two reconciles never interleave: a lock that the system frees when its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_l402.boundary import printable

_POLL_S = 0.02


class ReconcileBusy(RuntimeError):  # noqa: N818 - the name of the condition
    """Another reconcile of the same gateway is under way; nothing was touched."""


class ReconcileLock:
    """The right to change one gateway, held by one reconcile at a time, in whichever process it runs.

    `path` None is for a history in memory, which no other process can reach. A lock on a file is gone as soon
    as its holder is, also when it was killed; the file stays.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._in_process = threading.Lock()

    @contextmanager
    def held(self, request_id: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the lock inside the block, for a request whose id others are shown.

        Raises:
            ReconcileBusy: it is still held by another after `wait_s` seconds.
            OSError: the file cannot be opened.
        """
        # Counted, not timed: a frozen clock never reaches a deadline.
        attempts = 1 + math.ceil(max(wait_s, 0.0) / _POLL_S)
        for attempt in range(attempts):
            if attempt:
                time.sleep(_POLL_S)
            if self._in_process.acquire(blocking=False):
                break
        else:
            raise self._busy("another thread of this process")
        try:
            with self._file_lock(request_id, attempts) if self._path else contextlib.nullcontext():
                yield
        finally:
            self._in_process.release()

    @contextmanager
    def _file_lock(self, request_id: str, attempts: int) -> Iterator[None]:
        assert self._path is not None
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for attempt in range(attempts):
                if attempt:
                    time.sleep(_POLL_S)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
            else:
                raise self._busy(_holder(descriptor))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()}, request {request_id}\n".encode(), 0)
            yield
        finally:
            # Closing frees the lock. The file is not removed: another may have opened it already.
            os.close(descriptor)

    def _busy(self, holder: str) -> ReconcileBusy:
        where = "in memory" if self._path is None else printable(os.fspath(self._path))
        return ReconcileBusy(
            f"reconcile lock ({where}): expected to be the only reconcile of this gateway, saw {holder} at "
            f"work; wait for it to end and run again"
        )


def _holder(descriptor: int) -> str:
    return printable(os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()) or "another process"
