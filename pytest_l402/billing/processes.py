"""Decides how the processes of a drill start and end: as forks of one, and with it all they wrote is gone."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from pytest_l402.billing.settings import ServiceSettings
from pytest_l402.harness.child_process import ChildProcess, ChildProcessFailed
from pytest_l402.harness.deadline import Deadline

__all__ = ["ForkedProcess", "Zygote", "zygote_or_own"]

Row = dict[str, Any]
_WAIT_S: Final = 20.0
_LEAST_S: Final = 0.001


class ForkedProcess:
    """A process of a drill, by its pidfd; it ends with its zygote."""

    def __init__(self, pid: int, name: str) -> None:
        self.pid, self._name = pid, name
        self._pidfd = os.pidfd_open(pid)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._pidfd < 0 or self._ends_within(0.0)

    def sigkill(self) -> Row:
        """Kill it; returns `pid`, `signal` and how it ended. Raises `ChildProcessFailed` if it had ended."""
        row = self._send(signal.SIGKILL)
        if not self._ends_within(_WAIT_S):
            raise self._failure("its end after SIGKILL", "it is there")
        self.close()
        return {**row, "exitSignal": "SIGKILL"}

    def sigstop(self) -> Row:
        """Freeze it; returns once it stands still. Raises `ChildProcessFailed`."""
        return self._send_until(signal.SIGSTOP, is_stopped=True)

    def sigcont(self) -> Row:
        """Let it go on; returns once it does. Raises `ChildProcessFailed`."""
        return self._send_until(signal.SIGCONT, is_stopped=False)

    def end(self) -> None:
        """Kill it if it runs; may be called twice."""
        if not self.has_ended:
            self.sigkill()
        self.close()

    def close(self) -> None:
        """Let go of it."""
        descriptor, self._pidfd = self._pidfd, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _send(self, number: signal.Signals) -> Row:
        if self.has_ended:
            raise self._failure(f"it to be there when {number.name} is sent", "its end")
        signal.pidfd_send_signal(self._pidfd, number)
        return {"pid": self.pid, "signal": number.name}

    def _send_until(self, number: signal.Signals, *, is_stopped: bool) -> Row:
        row = self._send(number)
        deadline = Deadline(_WAIT_S)
        while self._is_stopped() is not is_stopped:
            # Nobody but its parent is told; the end of it is, and would be waited for here.
            if deadline.over or self._ends_within(_LEAST_S):
                raise self._failure(
                    f"it {'stopped' if is_stopped else 'running'} after {number.name}", "not so"
                )
        return {**row, "state": "stopped" if is_stopped else "running"}

    def _is_stopped(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
        except OSError:
            return False

    def _ends_within(self, wait_s: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))

    def _failure(self, expected: str, seen: str) -> ChildProcessFailed:
        return ChildProcessFailed(
            f"{self._name} (pid {self.pid}): expected {expected}, saw {seen}; do not count this signal"
        )


class Zygote:
    """What all processes of a drill are forks of, with a folder for all that they write; a context manager.

    When it is closed, or when the process that opened it ends, also by SIGKILL, none of them is left, and the
    folder is gone. One serves any number of drills, on one thread.
    """

    def __enter__(self) -> Self:
        # Its name is known to the watcher before it is there: no moment at which a kill would leave it.
        self.folder = Path(tempfile.gettempdir()).resolve() / f"l402-billing-{secrets.token_hex(4)}"
        command = (sys.executable, "-m", "pytest_l402.billing.service.zygote")
        environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._server = ChildProcess(command, env=environment, name="zygote of billing", folder=self.folder)
        self._server.start()
        self.folder.mkdir(mode=0o700)
        self._server.ready(_WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        # All that it started ends with it.
        self._server.stop()

    @contextlib.contextmanager
    def a_folder(self) -> Iterator[Path]:
        """A folder for one drill, removed after it."""
        # What a killed cache had forked may still write there; what that leaves goes with all the rest.
        folder = tempfile.TemporaryDirectory(dir=self.folder, prefix="d", ignore_cleanup_errors=True)
        with folder as name:
            yield Path(name)

    def instance(
        self, settings: ServiceSettings, environment: Mapping[str, str]
    ) -> tuple[ForkedProcess, str]:
        """Start an instance; returns it and its URL once it answers. Raises `ChildProcessFailed`."""
        name = f"billing {settings.instance}"
        process = self._started(name, settings=settings.written(), environment=dict(environment))
        row = self._server.ready(_WAIT_S)
        if "url" not in row:
            process.end()
            raise ChildProcessFailed(f"{name}: expected it to answer, saw {row.get('failed')} at its start")
        return process, str(row["url"])

    def program(self, name: str, command: Sequence[str | Path], cwd: Path) -> ForkedProcess:
        """Start a program in a folder; what it prints is not kept. Raises `ChildProcessFailed`."""
        told = {"command": [str(word) for word in command], "cwd": str(cwd)}
        return self._started(name, **told, environment={"PATH": os.defpath})

    def _started(self, name: str, **asked: Any) -> ForkedProcess:
        self._server.write(json.dumps(asked) + "\n")
        return ForkedProcess(int(self._server.ready(_WAIT_S)["started"]), name)


@contextlib.contextmanager
def zygote_or_own(given: Zygote | None) -> Iterator[Zygote]:
    """The one that is given, or one of one's own for the block."""
    if given is not None:
        yield given
        return
    with Zygote() as own:
        yield own
