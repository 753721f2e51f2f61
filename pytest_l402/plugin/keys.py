"""Decides where the plugin keeps its state: typed keys of pytest's stash, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pytest_l402.plugin.evidence_fixture import EvidenceCollector
    from pytest_l402.plugin.marker import RehearsalMark
    from pytest_l402.plugin.node import Attempts
    from pytest_l402.plugin.preparation import Preparation
    from pytest_l402.plugin.run import Run
    from pytest_l402.plugin.selection import Selection

RUN: Final[pytest.StashKey[Run]] = pytest.StashKey()
"""On the config: the run's id and settings."""

PREPARATION: Final[pytest.StashKey[Preparation]] = pytest.StashKey()
"""On the config: the catalogue and the waivers, once a rehearsal asked for them."""

SELECTION: Final[pytest.StashKey[Selection]] = pytest.StashKey()
"""On the config: which rehearsal nodes were selected, where this process collected any."""

USAGE_ERROR: Final[pytest.StashKey[str]] = pytest.StashKey()
"""On the config of an xdist worker: the usage error that the controller is to raise in its stead."""

MARK: Final[pytest.StashKey[RehearsalMark]] = pytest.StashKey()
"""On an item: which rehearsal it belongs to."""

ATTEMPTS: Final[pytest.StashKey[Attempts]] = pytest.StashKey()
"""On an item: how often it was run, and how the last attempt ended, whatever is reported of it."""

COLLECTOR: Final[pytest.StashKey[EvidenceCollector]] = pytest.StashKey()
"""On an item: the evidence of the attempt that is running."""
