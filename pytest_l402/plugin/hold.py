"""Decides how others see that a run still goes on: its processes hold its folder, and who dies lets go."""

from __future__ import annotations

import os
from typing import Final

import pytest

from pytest_l402.plugin.run import RUN

_HELD: Final[pytest.StashKey[int]] = pytest.StashKey()
"""On the config: the descriptor of the folder of the run, once this process holds it."""


def hold_folder(config: pytest.Config) -> None:
    """Hold the folder of the run until pytest is configured no more. Raises `OSError`."""
    if _HELD in config.stash:
        return
    import fcntl

    folder = config.stash[RUN].folder
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = config.stash[_HELD] = os.open(folder, os.O_RDONLY)
    config.add_cleanup(lambda: os.close(descriptor))
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
