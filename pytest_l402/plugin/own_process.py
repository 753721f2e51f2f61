"""Decides which tests have their stack in a process of its own: those that ask for `l402_served`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.plugin.parts import asks_for

if TYPE_CHECKING:
    from pytest_l402.harness.own_process import OwnProcess

_SERVED: Final = "l402_served"
_PROCESS: Final[pytest.StashKey[OwnProcess]] = pytest.StashKey()
_OF_TEST: Final[pytest.StashKey[OwnProcess | None]] = pytest.StashKey()


def own_process_of(request: pytest.FixtureRequest) -> OwnProcess | None:
    """Return the process in which the stack of this test lives; None where that is pytest's own.

    One process serves all such tests of a run, one after another, and ends with it.
    """
    item: pytest.Item = request.node
    if _OF_TEST not in item.stash:
        item.stash[_OF_TEST] = _process(request.config) if asks_for(item, _SERVED) else None
    return item.stash[_OF_TEST]


def _process(config: pytest.Config) -> OwnProcess:
    from pytest_l402.harness.own_process import OwnProcess

    known = config.stash.get(_PROCESS, None)
    if known is not None and known.runs:
        known.forget()
        return known
    process = config.stash[_PROCESS] = OwnProcess()
    process.__enter__()
    config.add_cleanup(lambda: process.__exit__(None, None, None))
    return process
