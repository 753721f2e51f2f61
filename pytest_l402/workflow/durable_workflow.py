"""How durable workflows on a real engine are the system under rehearsal, and what a drill does to them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, Self

from pytest_l402.evidence import Check, Part, parts_of
from pytest_l402.evidence.system import When
from pytest_l402.harness.clock import SystemClock
from pytest_l402.workflow.control_client import ControlClient
from pytest_l402.workflow.database import Database
from pytest_l402.workflow.databases import JOURNAL, use_journal
from pytest_l402.workflow.faults import EngineFault
from pytest_l402.workflow.outside import Outside
from pytest_l402.workflow.processes import EngineProcess, Zygote
from pytest_l402.workflow.rows import FORMS
from pytest_l402.workflow.standing import standing_checks

Row = dict[str, Any]

EXECUTOR: Final = "worker-1"


class DurableWorkflow:
    """Workers, a control API, their database and what is outside of them; a context manager.

    Nothing runs the workflows until `worker` is called. `url` is a fresh database.
    """

    name: Final = "pytest-l402 durable workflow"

    def __init__(
        self,
        zygote: Zygote,
        url: str,
        seed: str,
        *,
        faults: Sequence[EngineFault] = (),
        traces: bool = False,
    ) -> None:
        self._zygote = zygote
        self._faults = tuple(faults)
        self._traces = traces
        self.clock = SystemClock()
        self.outside = Outside(seed)
        self.database = Database(url, JOURNAL if url.startswith("sqlite:") else None)
        if EngineFault.OTHER_JOURNAL in self._faults:
            use_journal(url, "delete")
        self._events: list[Row] = []
        self._answers: list[Row] = []
        self._counts: list[Row] = []
        self._opened = contextlib.ExitStack()

    @property
    def version(self) -> str:
        """The engine and its release."""
        return f"dbos {version('dbos')}"

    digest: Final = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            unless_ready.enter_context(self.database)
            unless_ready.enter_context(self.outside)
            self._opened = unless_ready.pop_all()
        try:
            self.control = self.new_control()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever is held lets go first: a process that waits for an answer does not see that it may end.
        self.outside.points.release_all()
        self._opened.close()

    def worker(
        self,
        executor: str = EXECUTOR,
        version: str = "v1",
        *,
        concurrency: int = 50,
        traces: str | None = None,
    ) -> EngineProcess:
        """Start a worker: it takes runs of its version from the queue, recovers those of its executor id."""
        settings = self._settings(executor, version, traces)
        return self._start("worker", {**settings, "concurrency": concurrency})

    def new_control(self, version: str = "v1") -> ControlClient:
        """Start one more control API on the same database."""
        process = self._start("control", self._settings("control", version))
        self._control_process = process
        return ControlClient(process.ready["url"], self._answers)

    @property
    def control_process(self) -> EngineProcess:
        """The process of the control API that was started last."""
        return self._control_process

    def kill(self, process: EngineProcess) -> None:
        """Kill a process of the engine by SIGKILL, through its pidfd; the evidence says how it ended."""
        spares = EngineFault.KILL_SPARES in self._faults
        process.sigkill(number=signal.SIGTERM if spares else signal.SIGKILL)

    def freeze(self, process: EngineProcess, wait_s: float = 10.0) -> None:
        """Freeze a process of the engine at a moment at which it does not hold the lock of the database.

        One that does holds up every other worker on SQLite until it thaws, which is another drill. Raises
        `NotSoInTime` if there is no such moment within `wait_s` seconds.
        """

        def frozen_without_lock(database: Database) -> bool:
            process.sigstop()
            if database.is_locked():
                process.sigcont()
                return False
            return True

        self.database.until(
            f"{process.role} {process.pid} frozen without a lock", frozen_without_lock, wait_s
        )

    def start(self, *, partition: str = "ui-default", approval: bool = False, goal: str = "demo") -> str:
        """Create an intent and start its run; return the workflow id."""
        intent_id = self.control.create_intent(goal)
        answer = self.control.start(intent_id, partition, approval=approval)
        return str(answer.document["workflowID"])

    def finished(self, workflow_id: str, wait_s: float = 15.0) -> str:
        """Wait until a run has come to its end, and return its status; raises `NotSoInTime`."""
        return self.database.until_status(workflow_id, "SUCCESS", "ERROR", wait_s=wait_s)

    def waiting(self, workflow_id: str, wait_s: float = 10.0) -> Row:
        """Wait until a run waits for its approval, and return what the control API shows of it."""

        def at_gate(_: Database) -> Row | None:
            shown = self.control.get(f"/api/runs/{workflow_id}").document
            return shown if shown.get("nextAction") else None

        return self.database.until(f"{workflow_id} to wait for its approval", at_gate, wait_s)

    def asleep_until(self, workflow_id: str, wait_s: float = 10.0) -> int:
        """Wait until a run sleeps, and return when it is to wake, in milliseconds: the sleep's output."""
        return self.database.until(
            f"{workflow_id} to sleep", lambda database: database.wakes_at_ms(workflow_id), wait_s
        )

    def exported(self, workflow_id: str, step: str, wait_s: float = 10.0) -> Row:
        """Wait until the collector has the span of a step of a run, and the engine's own span around it."""
        wanted = {"workflowID": workflow_id, "step.functionID": step}

        def find(_: Database) -> Row | None:
            spans = self.outside.collector.spans
            known = {span["spanID"] for span in spans}
            mine = (span for span in spans if wanted.items() <= span["attributes"].items())
            return next((span for span in mine if span["parentID"] in known), None)

        return self.database.until(f"a span of {step} of {workflow_id}", find, wait_s)

    @contextlib.contextmanager
    def in_background(self, ask: Callable[[], object]) -> Iterator[None]:
        """Ask something while the block runs; that nobody answers any more is no failure."""

        def asking() -> None:
            with contextlib.suppress(OSError):
                ask()

        thread = threading.Thread(target=asking)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def count_rows(self, when: str) -> None:
        """Write down how many rows every table has now."""
        self._counts += [
            {"when": when, "table": name, "rows": n} for name, n in self.database.counts().items()
        ]

    def parts(self) -> Sequence[Part]:
        """Return who plays which role."""
        # Not its module: only the zygote imports the engine.
        engine = Part("engine", "dbos", "dbos", version("dbos"))
        return (engine, *parts_of("seller", self.outside.seller), *parts_of("wallet", self.outside.wallet))

    def fields(self) -> Mapping[str, type[Any]]:
        """Return what the rows of each table are."""
        return FORMS

    def tables(self) -> Mapping[str, Iterable[Row]]:
        """Return what the database says, what happened outside, what was asked and done."""
        return {
            **self.database.tables(),
            **self.outside.tables(),
            "control_answers": list(self._answers),
            "process_events": list(self._events),
            **({"row_counts": list(self._counts)} if self._counts else {}),
        }

    def steady_state(self, when: When) -> Iterable[Row]:
        """Return whether the control API answers, and whether the queue is empty."""
        answer = self.control.get("/api/ops/queue-depth")
        rows = answer.document.get("rows", [])
        depth = ", ".join(f"{row['status']} {row['depth']}" for row in rows) or "empty"
        return [
            {"when": when, "probe": "control API", "ok": answer.status == 200, "detail": str(answer.status)},
            {"when": when, "probe": "queue", "ok": not rows, "detail": depth},
        ]

    def standing_checks(self) -> Sequence[Check]:
        """Return what holds of every drill."""
        return standing_checks()

    def _settings(self, executor: str, version: str, traces: str | None = None) -> Row:
        if traces is None and self._traces:
            traces = f"{self.outside.url}/v1/traces"
        return {
            "database": self.database.url,
            "outside": self.outside.url,
            "executor": executor,
            "version": version,
            "traces": traces,
            "faults": [str(fault) for fault in self._faults],
        }

    def _start(self, role: str, settings: Row) -> EngineProcess:
        process = self._zygote.fork(role, settings, on_event=self._events.append)
        self._opened.callback(process.stop)
        return process
