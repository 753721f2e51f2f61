"""The project that the attacks by way of pytest run in."""

from __future__ import annotations

import os

import imported_once  # noqa: F401
import pytest
from plugin_project import Project


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two rehearsals, in an environment that holds nothing of the surrounding run."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    # That what these runs leave outlasts a power cut is not what is tried here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    return Project(pytester)
