"""The project that the attacks by way of pytest run in."""

from __future__ import annotations

import pytest
from plugin_project import Project

# pytester forgets every module that a run in process was the first to import, and the next one pays again.
import pytest_l402.evidence
import pytest_l402.signoff
import pytest_l402.stack  # noqa: F401


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two rehearsals, in an environment that holds nothing of the surrounding run."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    return Project(pytester)
