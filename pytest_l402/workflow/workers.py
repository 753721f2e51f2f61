"""Decides how workers that are not ours are put under the same drills: held, killed, frozen."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from pytest_l402.evidence import Check, Part, parts_of
from pytest_l402.evidence.system import When
from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.workflow.outside import Outside
from pytest_l402.workflow.points import Points
from pytest_l402.workflow.rows import FORMS
from pytest_l402.workflow.standing import faults_fired, kills_evidenced

Row = dict[str, Any]

OUTSIDE_URL: Final = "L402_OUTSIDE_URL"
"""The variable in which a worker finds what it meets outside."""
READY_S: Final = 20.0
_TABLES: Final = ("calls", "injected_faults", "receipts", "wallet_calls", "deliveries", "process_events")


class Workers:
    """Runs any command that prints a ready line as a worker; a system, and a context manager.

    The worker finds seller, wallet and points at the URL in `L402_OUTSIDE_URL`. It says where it is by
    `POST /points` with `{"workflowID", "point"}`, pays by `POST /wallet/payments`, and buys at `/premium`.
    """

    name: Final = "workers"
    digest: Final = None

    def __init__(self, seed: str, version: str = "not told") -> None:
        self.version = version
        self._outside = Outside(seed)
        self._events: list[Row] = []
        self._commands: list[str] = []
        self._opened = contextlib.ExitStack()

    @property
    def points(self) -> Points:
        """The log of points, and what holds a worker at one."""
        return self._outside.points

    def __enter__(self) -> Self:
        self._opened.enter_context(self._outside)
        return self

    def __exit__(self, *_: object) -> None:
        self.points.release_all()
        self._opened.close()

    def start(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, ready_s: float = READY_S
    ) -> Worker:
        """Run a command until it has printed its ready line, one JSON object.

        `env` is its whole environment beside `L402_OUTSIDE_URL`; without, `PATH` alone. Raises
        `ChildProcessFailed` when it cannot be started, or is not ready in time.
        """
        given = {"PATH": os.environ.get("PATH", os.defpath)} if env is None else env
        process = ChildProcess(
            command, env={**given, OUTSIDE_URL: self._outside.url}, name=Path(command[0]).name
        )
        self._opened.enter_context(process)
        process.ready(ready_s)
        self._commands.append(process.name)
        worker = Worker(process, self._events)
        worker.tell("started")
        return worker

    def parts(self) -> Sequence[Part]:
        """Return who plays which role: each command by its name."""
        commands = tuple(Part("worker", name) for name in dict.fromkeys(self._commands))
        return (
            *commands,
            *parts_of("seller", self._outside.seller),
            *parts_of("wallet", self._outside.wallet),
        )

    def tables(self) -> Mapping[str, Iterable[Row]]:
        """Return what the workers did outside, and what was done to them."""
        return {**self._outside.tables(), "process_events": list(self._events)}

    def fields(self) -> Mapping[str, type[Any]]:
        """Return what the rows of each table are."""
        return {name: FORMS[name] for name in _TABLES}

    def steady_state(self, when: When) -> Iterable[Row]:
        """Return nothing: what a foreign worker is when it is well, only its author knows."""
        return ()

    def standing_checks(self) -> Sequence[Check]:
        """Return what holds of every worker."""
        return (kills_evidenced(), faults_fired())


class Worker:
    """One worker; every signal that it was sent is evidence."""

    def __init__(self, process: ChildProcess, events: list[Row]) -> None:
        self._process = process
        self._events = events

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def sigkill(self) -> None:
        """Kill it; raises `ChildProcessFailed` if it did not end by SIGKILL."""
        self.tell("killed", self._process.sigkill())

    def sigstop(self) -> None:
        """Freeze it; raises `ChildProcessFailed` if it does not stand still."""
        self.tell("frozen", self._process.sigstop())

    def sigcont(self) -> None:
        """Let it go on; raises `ChildProcessFailed` if it has ended."""
        self.tell("thawed", self._process.sigcont())

    def line(self, wait_s: float = READY_S) -> str:
        """Wait for the next line that it prints; raises `ChildProcessFailed` if none comes."""
        return self._process.line(wait_s)

    def stop(self) -> None:
        """Close its stdin and wait for its end."""
        self._process.stop()

    def tell(self, event: str, signal: Mapping[str, Any] | None = None) -> None:
        """Write down what was done to it."""
        named = {key: value for key, value in (signal or {}).items() if key in ("signal", "exitSignal")}
        self._events.append({"event": event, "role": "worker", "pid": self.pid, **named})
