"""Decides how a command runs in a process of its own: ready in time, killed with evidence, gone when we are.

Between us and the command stands `child_watcher`, which ends it and all that came from it when we say so, and
when this process is no more, also when that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from pytest_l402.harness.deadline import Deadline

__all__ = ["ChildProcess", "ChildProcessFailed", "Ended"]

Row = dict[str, Any]

_WATCHER = Path(__file__).with_name("child_watcher.py")
# Not by its path, which would be in its command line: `pkill -f pytest` is meant for others.
_RUN_WATCHER = "import sys; exec(open(int(sys.argv[1]), 'rb').read())"
_PATIENCE_S = 10.0
_REMOVAL_S = 120.0
_MAX_LINE = 1 << 20
_SHOWN = 300
_SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}


class ChildProcessFailed(RuntimeError):  # noqa: N818 - the name of the condition
    """A command did not start, did not say that it is ready, or did not end, as was expected of it."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: with an exit code, or by a signal such as `SIGKILL`; the other one is None."""

    exit_code: int | None = None
    signal_name: str | None = None

    def __str__(self) -> str:
        return f"exit code {self.exit_code}" if self.signal_name is None else f"signal {self.signal_name}"


@dataclass(eq=False, repr=False)
class ChildProcess:
    """One run of one command, in a session of its own; a context manager, for one thread at a time.

    `env` is the whole environment of the command; nothing of ours is added. `name` is what errors call it. At
    `stop` its stdin is closed; a command that does not read stdin is given `stop_signal` beside that. What it
    writes to stderr is shown in errors, so it must write no secret there. Its stdout is read only inside the
    waits: a command that prints more than 64 KiB between two of them waits for the next one. What it prints
    in `stop` is lost. With `output` all that it prints goes to the end of that file, and it has no lines
    here. `folder` is removed once the command and all that it started have ended, also when this
    process was killed. Needs Linux 5.4 or newer with /proc; elsewhere `start` raises.
    """

    command: Sequence[str | Path]
    _: KW_ONLY
    env: Mapping[str, str]
    cwd: Path | None = None
    name: str = ""
    stop_signal: signal.Signals | None = None
    folder: Path | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        words = [*map(str, self.command), *self.env, *self.env.values()]
        if not self.command or any("\0" in word for word in words) or any("=" in key for key in self.env):
            raise ValueError(
                f"child process {self.name}: expected a program, no NUL, no name with '=', saw one; mend it"
            )
        self.name = self.name or Path(self.command[0]).name
        self._selector = selectors.PollSelector()
        self._printed = _Lines()
        self._told = _Lines()
        self._stderr: IO[bytes] | None = None
        self._pid: int | None = None
        self._pidfd = -1
        self._state = "not started"
        self._ended: Ended | None = None

    @property
    def pid(self) -> int:
        """The process id of the command itself.

        Raises:
            RuntimeError: it was not started.
        """
        if self._pid is None:
            raise RuntimeError(f"child process {self.name} has no pid before start(); use it in a with block")
        return self._pid

    @property
    def ended(self) -> Ended | None:
        """How the command ended, or None while it runs or is frozen."""
        if self._ended is None and self._pidfd >= 0:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(0):
                self._until(lambda: self._ended or self._told.over, _PATIENCE_S)
        return self._ended

    def start(self) -> Self:
        """Start the command; it runs when this returns, but may not be ready.

        Raises:
            ChildProcessFailed: the command cannot be started, or this system has no pidfd.
            RuntimeError: it was started before.
        """
        if self._stderr is not None:
            raise RuntimeError(f"child process {self.name} was started before; make a new one")
        with contextlib.ExitStack() as opened:
            self._start(opened)
            self._resources = opened.pop_all()
        return self

    def _start(self, opened: contextlib.ExitStack) -> None:
        if not hasattr(os, "pidfd_open"):
            raise self._failure("to start it", "run it on Linux", f"no pidfd on {sys.platform}")
        printed = tempfile.TemporaryFile() if self.output is None else self.output.open("a+b")  # noqa: SIM115
        self._stderr = opened.enter_context(printed)
        self._control, theirs = socket.socketpair()
        opened.enter_context(self._control)
        environment = b"\0".join(os.fsencode(f"{key}={value}") for key, value in self.env.items())
        command = b"\0".join(os.fsencode(word) for word in self.command)
        folder = b"" if self.folder is None else os.fsencode(self.folder.absolute())
        with theirs, _WATCHER.open("rb") as program:
            given = (program.fileno(), theirs.fileno())
            arguments = (*given, os.getpid(), len(environment), len(command), len(folder))
            try:
                self._watcher = subprocess.Popen(
                    [os.path.realpath(sys.executable), "-I", "-S", "-c", _RUN_WATCHER, *map(str, arguments)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if self.output is None else self._stderr,
                    stderr=self._stderr,
                    cwd=self.cwd,
                    bufsize=0,
                    pass_fds=given,
                    start_new_session=True,
                )
            except OSError as error:
                raise self._failure("to start it", "see that its folder is there", str(error)) from error
        assert self._watcher.stdin is not None
        self._stdin = opened.enter_context(self._watcher.stdin)
        opened.callback(self._selector.close)
        if self._watcher.stdout is None:
            self._printed.over = True
        else:
            stdout = opened.enter_context(self._watcher.stdout)
            self._selector.register(stdout, selectors.EVENT_READ, self._printed)
        self._selector.register(self._control, selectors.EVENT_READ, self._told)
        opened.callback(self._end_watcher)
        with contextlib.suppress(OSError):
            self._control.sendall(environment + command + folder)
        self._until(lambda: self._pid or self._told.over, _PATIENCE_S)
        if self._pid is None:
            raise self._failure("to start it", "run it again")
        # Right also for a process that ended already: the watcher does not reap it.
        self._pidfd = os.pidfd_open(self._pid)
        opened.callback(os.close, self._pidfd)

    def ready(self, wait_s: float = 10.0) -> Row:
        """Wait for the next line of its stdout, which must be one JSON object, and return it.

        Raises:
            ChildProcessFailed: as `line`, or the line is something else.
        """
        line = self.line(wait_s)
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(row := json.loads(line), dict):
                return row
        raise self._failure("a JSON object as ready line", "print it first", f"the line {_shown(line)}")

    def line(self, wait_s: float = 10.0) -> str:
        """Wait for the next line of its stdout and return it without its end; after 1 MiB it is cut in two.

        Raises:
            ChildProcessFailed: no line came within `wait_s` seconds, or its stdout ended.
        """
        self._until(lambda: self._printed.lines or self._printed.over, wait_s)
        if self._printed.lines:
            return self._printed.lines.popleft()
        if self._printed.over:
            # How it ended is told a moment after its output ends.
            self._until(lambda: self._ended, min(wait_s, 1.0))
        raise self._failure(f"a line on its stdout within {wait_s:g} s", "see what holds it up")

    def write(self, text: str) -> None:
        """Write to its stdin; waits while it does not read.

        Raises:
            ChildProcessFailed: it does not take what is written.
        """
        data = memoryview(text.encode())
        while data:
            try:
                data = data[os.write(self._stdin.fileno(), data) :]
            except OSError as error:
                raise self._failure("it to read its stdin", "see how it ended", str(error)) from error

    def sigkill(self, wait_s: float = 5.0) -> Row:
        """Kill the command, not what it started, and return `pid`, `signal`, `exitSignal`.

        Raises:
            ChildProcessFailed: it had ended before, or did not end by SIGKILL within `wait_s` seconds.
        """
        return {**self._send(signal.SIGKILL, "ended with signal SIGKILL", wait_s), "exitSignal": "SIGKILL"}

    def sigstop(self, wait_s: float = 5.0) -> Row:
        """Freeze the command, not what it started, and return `pid`, `signal`, `state` once it stands still.

        Raises:
            ChildProcessFailed: it has ended, or does not stand still within `wait_s` seconds.
        """
        return {**self._send(signal.SIGSTOP, "stopped", wait_s), "state": "stopped"}

    def sigcont(self, wait_s: float = 5.0) -> Row:
        """Let a frozen command go on and return `pid`, `signal`, `state`; of no effect on one that runs.

        Raises:
            ChildProcessFailed: it has ended, or does not go on within `wait_s` seconds.
        """
        return {**self._send(signal.SIGCONT, "running", wait_s), "state": "running"}

    def stop(self, wait_s: float = 5.0) -> Ended:
        """Let the command end, kill it after `wait_s` seconds, end all that it started; return how it ended.

        A frozen command is killed at once. May be called twice.

        Raises:
            ChildProcessFailed: its end was not seen, or something that it started could not be ended.
            RuntimeError: it was not started.
        """
        pid = self.pid
        with self._resources:
            self._stdin.close()
            self._printed.kept = False
            if self.stop_signal is not None and self.ended is None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, self.stop_signal)
            self._until(lambda: self._state != "running", wait_s)
        if self._ended is None:
            raise self._failure("to see how it ends", f"see whether pid {pid} is gone")
        return self._ended

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _send(self, number: signal.Signals, state: str, wait_s: float) -> Row:
        if self._pidfd < 0 or self.ended is not None:
            raise self._failure(f"it to be there when {number.name} is sent", "send it before the end")
        signal.pidfd_send_signal(self._pidfd, number)
        self._until(lambda: self._ended or self._state == state, wait_s)
        if self._state != state:
            raise self._failure(f"it {state} after {number.name}", "do not count this signal")
        return {"pid": self.pid, "signal": number.name}

    def _until(self, reached: Callable[[], object], wait_s: float) -> None:
        """Read what the command and the watcher say until `reached()`, the end of both, or of the time."""
        deadline = Deadline(wait_s)
        while not reached() and self._selector.get_map():
            for key, _ in self._selector.select(deadline.remaining_s):
                key.data.read(key.fd)
                if key.data.over:
                    self._selector.unregister(key.fileobj)
            while self._told.lines:
                self._hear(*self._told.lines.popleft().split())
            if deadline.over:
                return

    def _hear(self, word: str, number: str = "0") -> None:
        if word == "failed":
            raise self._failure("to start it", "see that it is there and may run", os.strerror(int(number)))
        if word == "pid":
            self._pid, self._state = int(number), "running"
        elif word in ("exit", "signal"):
            name = _SIGNAL_NAMES.get(int(number), number)
            self._ended = Ended(int(number)) if word == "exit" else Ended(signal_name=name)
            self._state = f"ended with {self._ended}"
        else:
            self._state = word

    def _end_watcher(self) -> None:
        """Let the watcher end all that is left, and wait for it."""
        self._pidfd = -1
        # Not a close alone: a fork of this process may hold the socket open.
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        # To remove a folder of a thousand files takes a busy machine a while.
        self._until(lambda: self._told.over, _PATIENCE_S if self.folder is None else _REMOVAL_S)
        if not self._told.over:
            raise self._failure("all that it started to be gone", "end it by hand", "some of it alive")
        self._watcher.wait()

    def _failure(self, expected: str, remedy: str, seen: str | None = None) -> ChildProcessFailed:
        lost = self._told.over and self._ended is None
        seen = seen or f"it {'without its watcher' if lost else self._state}"
        stderr = b""
        if self._stderr is not None and not self._stderr.closed:
            size = os.fstat(self._stderr.fileno()).st_size
            stderr = os.pread(self._stderr.fileno(), _SHOWN * 4, max(size - _SHOWN * 4, 0))
        return ChildProcessFailed(
            f"child process ({self.name}, pid {self._pid}): expected {expected}, saw {seen}; on its stderr "
            f"{_shown(stderr.decode('utf-8', 'backslashreplace'))}; {remedy}"
        )


@dataclass
class _Lines:
    """The lines that come out of a descriptor, as far as they were read and are kept."""

    lines: deque[str] = field(default_factory=deque)
    over: bool = False
    kept: bool = True
    _partial: bytes = b""

    def read(self, descriptor: int) -> None:
        data = b""
        with contextlib.suppress(ConnectionResetError):
            data = os.read(descriptor, 1 << 16)
        self.over = not data
        *lines, self._partial = (self._partial + data).split(b"\n")
        if self._partial and (self.over or len(self._partial) > _MAX_LINE):
            lines, self._partial = [*lines, self._partial], b""
        if self.kept:
            self.lines.extend(line.decode("utf-8", "backslashreplace").removesuffix("\r") for line in lines)


def _shown(text: str) -> str:
    """Return the end of a text on one line, in quotes and with nothing that a terminal obeys."""
    line = " ".join(text.split())
    return ascii(line if len(line) <= _SHOWN else "…" + line[-_SHOWN:]) if line else "nothing"
