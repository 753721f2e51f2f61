"""Decides how a drill starts, kills and freezes the processes of the engine, with evidence of each."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.harness.deadline import Deadline

Row = dict[str, Any]

ZYGOTE: Final = "pytest_l402.workflow.worker.zygote"
READY_S: Final = 20.0
_MOST_SHOWN: Final = 300


class EngineMissing(RuntimeError):  # noqa: N818 - the name of the condition
    """The engine is not installed; the message says how to install it."""


class EngineProcessFailed(RuntimeError):  # noqa: N818 - the name of the condition
    """A process of the engine did not become ready, or did not do what a signal ought to make it do."""


class Zygote:
    """The process that imports the engine once; each `fork` is a worker in 0.05 s. A context manager.

    All that comes from it ends with it, and it ends with this process, also when that is killed;
    then `folder` goes too.
    """

    def __init__(self, module: str = ZYGOTE) -> None:
        if find_spec("dbos") is None:
            raise EngineMissing(
                "durable-workflow drills: expected the engine dbos (runbook section 0), saw it not "
                "installed; pip install 'pytest-l402[durable]'"
            )
        self.folder = Path(tempfile.mkdtemp(prefix="l402-workflow-"))
        self._name = f"l402-zygote-{secrets.token_hex(8)}"
        # Not a variable of this process's environment reaches the engine, which heeds several.
        self._child = ChildProcess(
            [sys.executable, "-I", "-m", module, self._name], env={}, name="zygote", folder=self.folder
        )

    @property
    def pid(self) -> int:
        """The process id of the zygote."""
        return self._child.pid

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            unless_ready.enter_context(self._child)
            self._child.ready(READY_S)
            self._opened = unless_ready.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def fork(
        self,
        role: str,
        settings: Row,
        *,
        on_event: Callable[[Row], None] = lambda row: None,
        wait_s: float = READY_S,
    ) -> EngineProcess:
        """Fork a process that plays `role`; return it once it is ready.

        Raises:
            EngineProcessFailed: it said what kept it from being ready, or nothing within `wait_s` seconds.
        """
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(f"\0{self._name}")
            connection.sendall(json.dumps({"role": role, **settings}).encode() + b"\n")
            return EngineProcess(role, connection, on_event, wait_s)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise EngineProcessFailed(
                    f"{role}: expected the zygote to fork it, saw {error.strerror}; see whether it was killed"
                ) from None
            raise


@dataclass(eq=False)
class EngineProcess:
    """One process of the engine, killed and frozen through its pidfd; `ready` is what it said at first."""

    role: str
    _connection: socket.socket = field(repr=False)
    _on_event: Callable[[Row], None] = field(repr=False)
    wait_s: float = READY_S

    def __post_init__(self) -> None:
        self._partial = b""
        self._state: Row = {"state": "running"}
        self._closed = False
        self.ready: Row = self._line(self.wait_s, "a ready line")
        if "failed" in self.ready:
            raise EngineProcessFailed(
                f"{self.role}: expected it to become ready, saw {self.ready['failed'][:_MOST_SHOWN]}; mend "
                "that, and start it again"
            )
        self.pid: int = self.ready["pid"]
        # The zygote does not reap it while this connection is open: nobody else can have its pid.
        self._pidfd = os.pidfd_open(self.pid)
        self._tell("started")

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as the zygote has told."""
        return bool(self._state["state"] == "ended")

    def sigkill(self, wait_s: float = 5.0, number: signal.Signals = signal.SIGKILL) -> Row:
        """Kill it, and return the evidence: its pid, the signal, and the signal by which it ended.

        Raises:
            EngineProcessFailed: it did not end within `wait_s` seconds.
        """
        self._send(number)
        self._await("ended", wait_s)
        row = {"signal": signal.SIGKILL.name, "exitSignal": self._state["exitSignal"]}
        return self._tell("killed", **row)

    def sigstop(self, wait_s: float = 5.0) -> Row:
        """Freeze it; it stands still when this returns.

        Raises:
            EngineProcessFailed: it does not stand still within `wait_s` seconds.
        """
        self._send(signal.SIGSTOP)
        self._await("stopped", wait_s)
        return self._tell("frozen", signal=signal.SIGSTOP.name)

    def sigcont(self, wait_s: float = 5.0) -> Row:
        """Let it go on.

        Raises:
            EngineProcessFailed: it does not go on within `wait_s` seconds.
        """
        self._send(signal.SIGCONT)
        self._await("running", wait_s)
        return self._tell("thawed", signal=signal.SIGCONT.name)

    def stop(self, wait_s: float = 5.0) -> None:
        """Let it end by the end of its connection, or kill it after `wait_s` seconds; may be called twice."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        if not self.ended and not self._within(wait_s, lambda: self.ended):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._connection.close()
        os.close(self._pidfd)

    def _send(self, number: signal.Signals) -> None:
        if self.ended:
            raise EngineProcessFailed(
                f"{self.role} {self.pid}: expected it to be there when {number.name} is sent, saw it ended; "
                "send it before the end"
            )
        signal.pidfd_send_signal(self._pidfd, number)

    def _await(self, state: str, wait_s: float) -> None:
        if not self._within(wait_s, lambda: self._state["state"] == state):
            raise EngineProcessFailed(
                f"{self.role} {self.pid}: expected it to be {state} within {wait_s:g} s, saw it "
                f"{self._state['state']}; do not count this signal"
            )

    def _within(self, wait_s: float, reached: Callable[[], bool]) -> bool:
        deadline = Deadline(wait_s)
        while not reached() and not deadline.over:
            try:
                self._state = self._line(deadline.remaining_s, "word of its state")
            except EngineProcessFailed:
                break
        return reached()

    def _line(self, wait_s: float, what: str) -> Row:
        deadline = Deadline(wait_s)
        while b"\n" not in self._partial:
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            seen = "silence" if not poll.poll(deadline.remaining_s * 1000) else ""
            data = b"" if seen else self._connection.recv(1 << 16)
            if not data:
                raise EngineProcessFailed(
                    f"{self.role}: expected {what} within {wait_s:g} s, saw {seen or 'its end'}; "
                    "see what holds it up, or whether the zygote was killed"
                )
            self._partial += data
        line, _, self._partial = self._partial.partition(b"\n")
        row = json.loads(line)
        if not isinstance(row, dict):
            raise EngineProcessFailed(
                f"{self.role}: expected a JSON object, saw {type(row).__name__}; mend it"
            )
        return row

    def _tell(self, event: str, **more: Any) -> Row:
        named: Row = {
            key: self.ready[key] for key in ("executorID", "applicationVersion") if key in self.ready
        }
        row: Row = {"event": event, "role": self.role, "pid": self.pid, **named, **more}
        self._on_event(row)
        return row
