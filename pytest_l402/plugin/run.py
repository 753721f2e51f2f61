"""Decides the identity of a run: one id and one set of options, the same in every process of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pytest_l402.plugin.clock import now_ms
from pytest_l402.plugin.options import read_settings
from pytest_l402.plugin.settings import Settings

WIRE_KEY: Final = "l402"
"""The key under which an xdist controller and its workers keep what they tell each other."""

ARTIFACTS: Final = "artifacts"
"""The folder of a node's artifacts; its inside mirrors the artifact folder (`output/`)."""

CONTROLLER: Final = "pytest_l402_controller"
SELECTION: Final = "pytest_l402_selection"
NODES: Final = "pytest_l402_nodes"
INNERMOST: Final = "pytest_l402_innermost"
AFTERMATH: Final = "pytest_l402_aftermath"
TEXT_GUARD: Final = "pytest_l402_text_guard"
WORKER: Final = "pytest_l402_worker"

_SILENT_OPTIONS: Final = (
    "help",
    "version",
    "collectonly",
    "setuponly",
    "setupplan",
    "showfixtures",
    "show_fixtures_per_test",
    "markers",
    "cacheshow",
)


class Run(NamedTuple):
    """One pytest run. `worker` is the xdist worker's id, None on the controller and without xdist.

    `dist` is how the controller distributes tests ("no" without xdist).
    """

    run_id: str
    settings: Settings
    worker: str | None = None
    dist: str = "no"

    @property
    def folder(self) -> Path:
        """Where everything that the verdict rests on is written."""
        return self.settings.signoff_dir / self.run_id

    def to_wire(self) -> dict[str, Any]:
        """Return plain builtins for a worker's `workerinput`."""
        return {"run_id": self.run_id, "settings": self.settings.to_wire(), "dist": self.dist}


RUN: Final[pytest.StashKey[Run]] = pytest.StashKey()
"""On the config: the run's id and settings."""


def identify_run(config: pytest.Config) -> Run:
    """Return the run that this process takes part in; raises `pytest.UsageError` for a bad option."""
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None and WIRE_KEY in workerinput:
        wire = workerinput[WIRE_KEY]
        return Run(
            wire["run_id"], Settings.from_wire(wire["settings"]), workerinput["workerid"], wire["dist"]
        )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms() // 1000))
    return Run(
        run_id=f"{stamp}-{os.urandom(4).hex()}",
        settings=read_settings(config),
        dist=config.getoption("dist", "no"),
    )


def missing_parts(config: pytest.Config, *more: str) -> str | None:
    """Return what is wrong if a part of the plugin that this process needs is gone; `more` names others."""
    own = (SELECTION, CONTROLLER if config.stash[RUN].worker is None else WORKER)
    missing = [name for name in (*own, *more) if not config.pluginmanager.hasplugin(name)]
    if not missing:
        return None
    return (
        f"expected pytest-l402 to see the whole run, saw it without {' and '.join(missing)}, which something "
        "has taken out; look for `unregister` or `set_blocked` in a conftest.py or a plugin"
    )


def runs_nothing(config: pytest.Config) -> bool:
    """Whether pytest was asked to show something instead of running tests; such a run leaves no trace."""
    return any(config.getoption(option, False) for option in _SILENT_OPTIONS)
