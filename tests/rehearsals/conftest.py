"""The project that the tests of this folder rehearse in."""

from __future__ import annotations

import os

import imported_once  # noqa: F401
import pytest
from rehearsed_project import RehearsedProject


@pytest.fixture
def rehearsals(alone: pytest.Pytester) -> RehearsedProject:
    """The real rehearsals of runbook 1."""
    return RehearsedProject(alone)


@pytest.fixture
def rehearsals_of_operations(alone: pytest.Pytester) -> RehearsedProject:
    """The real rehearsals of runbooks 2 and 3."""
    return RehearsedProject(alone, "staging-reconcile", "lightning-ops")


@pytest.fixture
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder, and an environment that holds nothing of the surrounding run."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    # These runs end with the test: that their files outlast a power cut is not what is proven here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    return pytester
