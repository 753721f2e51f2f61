"""Decides what an xdist worker leaves to its controller: what only the process that collects can know."""

from __future__ import annotations

from typing import Any, Final

import pytest

from pytest_l402.plugin.run import RUN, WIRE_KEY
from pytest_l402.plugin.selection import SELECTION, USAGE_ERROR

_FIRST: Final = "gw0"


class Worker:
    """Takes part in a run whose verdict another process reaches."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run = config.stash[RUN]

    def pytest_collection_finish(self) -> None:
        """Move the previous sign-off aside, on one worker: xdist runs no test before all have collected."""
        selection = self._config.stash.get(SELECTION, None)
        if self._run.worker == _FIRST and selection is not None and not selection.narrowed_by:
            from pytest_l402.plugin.preparation import move_previous_aside

            move_previous_aside(self._run)

    def pytest_sessionfinish(self) -> None:
        """Put the selection, or the usage error that stopped it, where xdist sends it on."""
        wire: dict[str, Any] = {}
        if USAGE_ERROR in self._config.stash:
            wire["usage_error"] = self._config.stash[USAGE_ERROR]
        elif SELECTION in self._config.stash:
            wire["selection"] = self._config.stash[SELECTION].to_wire()
        output: dict[str, Any] = getattr(self._config, "workeroutput", {})
        output[WIRE_KEY] = wire
