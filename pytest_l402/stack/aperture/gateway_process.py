"""One run of a gateway's program: started on a file, there once it listens, gone with all that it started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pytest_l402.boundary import printable, redact_text
from pytest_l402.harness.child_process import ChildProcess, ChildProcessFailed, Ended
from pytest_l402.harness.deadline import Deadline
from pytest_l402.harness.port_holder import holds_port
from pytest_l402.stack.aperture.configuration import DATABASE_NAME

HOST: Final = "127.0.0.1"
_STARTS_WITHIN_S: Final = 30.0
_STOPS_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.01
_SHOWN: Final = 240
# How Aperture's log, Go's runtime and our own program begin what went wrong.
_TROUBLE: Final = re.compile(
    r"\[(?:ERR|CRT)\]|panic:|fatal error|\b(?:unable|invalid|error|cannot|failed)\b", re.I
)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_FILE_FLAG: Final = b"--configfile="
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ")


class ProgramFailed(RuntimeError):  # noqa: N818 - the name of the condition
    """A gateway's program did not do what a program of its kind does; one line that names it."""


@dataclass(eq=False)
class GatewayProcess:
    """A program that takes Aperture's file and flags; it runs in `folder`, where its paths start from.

    `file` is what it is started with, in that folder, and `port` where that lets it listen. What it prints
    goes to the end of `log`. With `removes_folder` the folder goes when it has ended, also when this process
    was killed. `needs` names what it sees of the environment, beside what every program does.
    """

    program: Path
    folder: Path
    file: Path
    port: int
    log: Path
    removes_folder: bool = False
    needs: tuple[str, ...] = ()
    _child: ChildProcess | None = field(default=None, init=False, repr=False)
    _ended: Ended | None = field(default=None, init=False, repr=False)
    _was_killed: bool = field(default=False, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def start(self) -> Self:
        """Start it, and return once it accepts connections.

        Raises:
            ProgramFailed: it does not start, ends at once, or does not listen.
        """
        child = ChildProcess(
            [
                self.program,
                f"{_FILE_FLAG.decode()}{self.file}",
                f"--sqlite.dbfile={self.folder / DATABASE_NAME}",
            ],
            env=_environment(self.folder, os.environ, self.needs),
            cwd=self.folder,
            name=self.program.name,
            stop_signal=signal.SIGTERM,
            folder=self.folder if self.removes_folder else None,
            output=self.log,
        )
        try:
            self._child = child.start()
        except ChildProcessFailed as failed:
            raise self._failure("it to start", _without_name(failed), "see that it may be run") from None
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def file_as_started(self) -> str:
        """Return what stands now in the file that it was started with, by its own command line.

        Raises `OSError` when it cannot be read.
        """
        assert self._child is not None
        words = Path(f"/proc/{self._child.pid}/cmdline").read_bytes().split(b"\0")
        named = next((word for word in words if word.startswith(_FILE_FLAG)), _FILE_FLAG)
        return Path(os.fsdecode(named.removeprefix(_FILE_FLAG))).read_text()

    @property
    def ended(self) -> Ended | None:
        """How it ended, None while it runs."""
        with self._lock:
            return self._ended if self._child is None else self._child.ended

    @property
    def listens(self) -> bool:
        """Whether it accepts a connection now: it, and not somebody else at its port."""
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            return self._child is not None and holds_port(self._child.pid, self.port)
        return False

    @property
    def printed(self) -> int:
        """How many bytes it has printed so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def kill(self) -> None:
        """End it as `kill -9` does."""
        with self._lock:
            assert self._child is not None
            self._was_killed = True
            self._child.sigkill()

    def raise_if_gone(self) -> None:
        """Raise `ProgramFailed` if it has ended, and nobody has told it to."""
        with self._lock:
            gone = None if self._child is None or self._was_killed else self._child.ended
        if gone is not None:
            remedy = "see why it does not live through what it is asked"
            raise self._failure("it to sell until it is told to end", f"{gone}, and {self._said()}", remedy)

    def stop(self) -> Ended | None:
        """Let it end, and kill it when it does not; return how it ended, None when it never ran.

        Raises:
            ProgramFailed: it had to be killed, or something that it started could not be ended.
        """
        with self._lock:
            child, self._child = self._child, None
            if child is None:
                return self._ended
            was = child.ended
            try:
                ended = self._ended = child.stop(_STOPS_WITHIN_S)
            except ChildProcessFailed as failed:
                raise self._failure("it to be gone", _without_name(failed), "end it by hand") from None
        if was is None and ended.signal_name == "SIGKILL":
            seen = f"it run on for {_STOPS_WITHIN_S:g} s, so that it was killed"
            raise self._failure("it to end by SIGTERM", seen, "let it end when it is told to")
        return ended

    def first_trouble(self) -> str | None:
        """Return the first line of its log that tells of trouble, or else its last one; None without any."""
        lines = [line for line in lines_of(self.log.read_bytes()) if line.strip()]
        return next((line for line in lines if _TROUBLE.search(line)), lines[-1] if lines else None)

    def _wait(self) -> None:
        deadline = Deadline(_STARTS_WITHIN_S)
        while not self.listens:
            if (ended := self.ended) is not None:
                raise self._failure(
                    "it to start", f"{ended}, and {self._said()}", "start it by hand with its file"
                )
            if deadline.over:
                seen = f"nobody at port {self.port} within {_STARTS_WITHIN_S:g} s, and {self._said()}"
                raise self._failure(
                    "it to listen where its file says", seen, "name a program that is an Aperture"
                )
            deadline.pause(_LOOK_EVERY_S)

    def _said(self) -> str:
        line = self.first_trouble()
        return "not a word of why" if line is None else f"its line {line[:_SHOWN]!r}"

    def _failure(self, expected: str, seen: str, remedy: str) -> ProgramFailed:
        return ProgramFailed(f"gateway {self.program.name}: expected {expected}, saw {seen}; {remedy}")


def lines_of(data: bytes) -> list[str]:
    """Return what a program printed, line by line, without secrets, colours, or what a terminal obeys."""
    text = _COLOUR.sub("", data.decode("utf-8", "backslashreplace"))
    return [printable(redact_text(line)) for line in text.splitlines()]


def free_port() -> int:
    """Return a port of this machine at which nobody listens now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


def _environment(folder: Path, ours: Mapping[str, str], needs: tuple[str, ...]) -> dict[str, str]:
    """Return what the program gets to see: nothing that a user has set for another gateway."""
    return {name: ours[name] for name in (*_KEPT, *needs) if name in ours} | {"HOME": str(folder)}


def _without_name(failed: ChildProcessFailed) -> str:
    return str(failed).partition("saw ")[2].partition(";")[0] or str(failed)
