"""The project that the tests of this folder rehearse in."""

from __future__ import annotations

import os

import imported_once  # noqa: F401
import pytest
from rehearsed_project import RehearsedProject


@pytest.fixture
def rehearsals(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> RehearsedProject:
    """The real rehearsals, in an environment that holds nothing of the surrounding run."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    # These runs end with the test: that their files outlast a power cut is not what is proven here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    return RehearsedProject(pytester)
