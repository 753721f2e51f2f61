"""A worker without a process: what it and its controller tell each other passes as JSON, as nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest


def passed(told: Any) -> Any:
    """What arrives of what is told."""
    return json.loads(json.dumps(told))


class WorkerInProcess:
    """A plugin of the controller: one worker collects and runs everything, as xdist does by processes."""

    def __init__(self, args: Sequence[str]) -> None:
        self._args = args

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool:
        """Collect nothing: the worker does."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the worker to its end, and hand on what came over the wire, in the order of xdist."""
        hook, config = session.config.hook, session.config
        node: Any = SimpleNamespace(config=config, gateway=SimpleNamespace(id="gw0"))
        node.workerinput = {"workerid": "gw0", "testrunuid": "run", "workercount": 1}
        hook.pytest_configure_node(node=node)
        worker = _Worker(passed(node.workerinput))
        pytest.main([*self._args, "-p", "no:terminal"], plugins=[worker])
        session.testscollected = worker.collected
        for kind, data in worker.said:
            report = hook.pytest_report_from_serializable(config=config, data=passed(data))
            getattr(hook, kind)(report=report)
        node.workeroutput = passed(worker.output)
        hook.pytest_testnodedown(node=node, error=None)
        return True


class _Worker:
    """A plugin of the worker: it makes the run one of a worker, and keeps what is sent."""

    def __init__(self, workerinput: dict[str, Any]) -> None:
        self._input = workerinput
        self.output: dict[str, Any] = {}
        self.said: list[tuple[str, Any]] = []
        self.collected = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: Any) -> None:
        self._config = config
        config.workerinput, config.workeroutput = self._input, self.output

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = len(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._say("pytest_runtest_logreport", report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # Nobody wants to know what went well.
        if not report.passed:
            self._say("pytest_collectreport", report)

    def _say(self, kind: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        hook = self._config.hook
        self.said.append((kind, hook.pytest_report_to_serializable(config=self._config, report=report)))
