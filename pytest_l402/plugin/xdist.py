"""Decides what crosses the wire between an xdist controller and its workers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.plugin.controller import Controller
from pytest_l402.plugin.keys import RUN, SELECTION, USAGE_ERROR
from pytest_l402.plugin.run import WIRE_KEY


class XdistController:
    """Hands the run to each worker, and takes back what each one selected."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._run = config.stash[RUN]
        self._controller = controller

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a new worker the run's id and settings."""
        node.workerinput[WIRE_KEY] = self._run.to_wire()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Take what a worker left behind; a crashed one left nothing."""
        output = getattr(node, "workeroutput", None) or {}
        self._controller.worker_down(node.gateway.id, error, output.get(WIRE_KEY))


class XdistWorker:
    """Leaves, for the controller, what only the process that collects can know."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_sessionfinish(self) -> None:
        """Put the selection, or the usage error that stopped it, where xdist sends it on."""
        wire: dict[str, Any] = {}
        if USAGE_ERROR in self._config.stash:
            wire["usage_error"] = self._config.stash[USAGE_ERROR]
        elif SELECTION in self._config.stash:
            wire["selection"] = self._config.stash[SELECTION].to_wire()
        output: dict[str, Any] = getattr(self._config, "workeroutput", {})
        output[WIRE_KEY] = wire
