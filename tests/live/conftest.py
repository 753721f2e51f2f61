"""Platforms in other processes, one for all tests of a module or one for a test alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_platform import Platform, served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with an earlier deployment, for all tests of the module."""
    with served(tmp_path_factory.mktemp("platform"), "--previous") as platform:
        yield platform


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform with an earlier deployment, for one test."""
    folder = tmp_path / "platform"
    folder.mkdir()
    with served(folder, "--previous") as platform:
        yield platform


@pytest.fixture
def bare_platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform to whose gateway nothing was deployed yet, for one test."""
    folder = tmp_path / "bare"
    folder.mkdir()
    with served(folder, "--bare") as platform:
        yield platform


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the adapters keep notes and histories."""
    return tmp_path / "state"
