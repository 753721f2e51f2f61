"""Decides that one process at a time does a thing: a file lock that the system frees when its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pytest_l402.harness.deadline import Deadline

__all__ = ["FileLock", "LockBusy", "LockFileRefused", "LockLost"]

_POLL_S = 0.02
_MAX_NOTE = 200


class LockBusy(RuntimeError):  # noqa: N818 - the name of the condition
    """Another holds the lock; nothing was touched. `holder` is what it wrote, such as `pid 7, request r1`."""

    def __init__(self, path: Path, note: str) -> None:
        self.holder = _line(note) or "another process"
        super().__init__(
            f"lock ({_line(str(path))}): expected to be the only holder, saw {self.holder} at work; wait for "
            f"it to end and run again"
        )


class LockFileRefused(OSError):  # noqa: N818 - the name of the condition
    """The path is no plain file that can be locked, such as a folder or a symbolic link."""


class LockLost(OSError):  # noqa: N818 - the name of the condition
    """The file was removed, moved or replaced while it was held: another may have held the lock too."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"lock file ({_line(str(path))}): expected to be held to the end, saw it taken away; see what "
            f"another did meanwhile, and leave the file where it is"
        )


class FileLock:
    """The exclusive lock on the file `path`, held by one holder at a time in whichever process or thread.

    The holder writes its pid, and the note it gave, into the file. The file stays when the lock is freed. A
    process that the holder *forks* shares the lock: if the holder is killed, it is free when both have ended.
    A command that the holder starts does not. Who removes or moves the file lets another in; the holder is
    not told at once, but meets `LockLost` at the end of its block, unless that ends by another error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._owner_pid: int | None = None

    def acquire(self, wait_s: float = 0.0, *, note: str = "") -> Self:
        """Take the lock, or wait for it for at most `wait_s` seconds; `note` is one line for who is refused.

        Raises:
            LockBusy: it is still held, by another or by this object, after `wait_s` seconds.
            LockFileRefused: the file cannot be opened, or is no plain file.
        """
        deadline = Deadline(wait_s)
        while isinstance(descriptor := self._try(), str):
            if deadline.over:
                raise LockBusy(self.path, descriptor)
            # The system call that waits knows no deadline, and a holder may free the lock without ending.
            time.sleep(min(_POLL_S, deadline.remaining_s))
        self._descriptor, self._owner_pid = descriptor, os.getpid()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _line(f"pid {os.getpid()}" + (f", {note}" if note else "")).encode() + b"\n", 0)
        return self

    def release(self) -> None:
        """Free the lock; of no effect when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if self._owner_pid == os.getpid():
                # Or whoever is refused in the next moment would be told of a holder that is none any more.
                os.ftruncate(descriptor, 0)
                # Not by closing alone: a forked process may have the file open too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            # The file is not removed: another may have opened it already.
            os.close(descriptor)

    @contextmanager
    def held(self, wait_s: float = 0.0, *, note: str = "") -> Iterator[Self]:
        """Hold the lock inside the block; waits, notes and raises as `acquire`, and at its end `LockLost`."""
        self.acquire(wait_s, note=note)
        with contextlib.ExitStack() as block:
            block.push(self)
            yield self

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, failed: object, *_: object) -> None:
        is_lost = self._descriptor is not None and not self._is_at_path(self._descriptor)
        self.release()
        if is_lost and failed is None:
            raise LockLost(self.path)

    def _try(self) -> int | str:
        """Open and lock the file and return its descriptor, or what it says when another holds it."""
        with contextlib.ExitStack() as unless_taken:
            descriptor = self._open()
            unless_taken.callback(os.close, descriptor)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The file may have been removed meanwhile, and a lock on one without a name keeps nobody out.
                if self._is_at_path(descriptor):
                    unless_taken.pop_all()
                    return descriptor
            return os.pread(descriptor, _MAX_NOTE, 0).decode("utf-8", "replace")

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.lstat())
        except OSError:
            return False

    def _open(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
            seen = "something else"
        except OSError as error:
            seen = str(error.strerror)
        raise LockFileRefused(
            f"lock file ({_line(str(self.path))}): expected a plain file that can be written, or none yet, "
            f"saw {seen}; move it away or take another path"
        )


def _line(text: str) -> str:
    """Return a text on one line, with nothing in it that a terminal obeys."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))[:_MAX_NOTE]
