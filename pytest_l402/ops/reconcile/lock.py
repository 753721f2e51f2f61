"""Whether two reconciles may interleave: never, by a lock that the system frees when its holder ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_l402.boundary import printable
from pytest_l402.harness.file_lock import FileLock, LockBusy


class ReconcileBusy(RuntimeError):  # noqa: N818 - the name of the condition
    """Another reconcile of the same gateway is under way; nothing was touched."""


class ReconcileLock:
    """The right to change one gateway, held by one reconcile at a time, in whichever process it runs.

    `path` None is for a history in memory, which no other process can reach. A lock on a file is gone as soon
    as its holder is, also when it was killed; the file stays.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._in_memory = threading.Lock()

    @contextmanager
    def held(self, request_id: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Hold the lock inside the block, for a request whose id others are shown.

        Raises:
            ReconcileBusy: it is still held by another after `wait_s` seconds.
            OSError: the file cannot be opened, is no plain file, or was taken away while it was held.
        """
        with ExitStack() as block:
            if self._path is None:
                if not self._in_memory.acquire(timeout=max(wait_s, 0.0)):
                    raise _busy("in memory", "another thread of this process")
                block.callback(self._in_memory.release)
            else:
                try:
                    # A lock of its own for each holder: threads of one process exclude one another too.
                    block.enter_context(FileLock(self._path).held(wait_s, note=f"request {request_id}"))
                except LockBusy as busy:
                    raise _busy(printable(os.fspath(self._path)), busy.holder) from None
            yield


def _busy(where: str, holder: str) -> ReconcileBusy:
    return ReconcileBusy(
        f"reconcile lock ({where}): expected to be the only reconcile of this gateway, saw {holder} at "
        f"work; wait for it to end and run again"
    )
