"""Decides which collected tests are rehearsals, which of them are left out, and whether this is a drill."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from pytest_l402.plugin.marker import (
    MARK,
    MARKER,
    RehearsalMark,
    check_one_module_each,
    is_rehearsal,
    read_mark,
)
from pytest_l402.plugin.narrowing import may_leave_out_cases, narrowed_by_options, origin
from pytest_l402.plugin.run import RUN, missing_parts

if TYPE_CHECKING:
    from pytest_l402.plugin.preparation import Preparation

REHEARSAL_PROPERTY: Final = "l402_rehearsal"
"""The report property that says which rehearsal a node belongs to; JUnit and JSON reports show it."""


class Selection(NamedTuple):
    """The rehearsal nodes of one run: node id to rehearsal id, those that run and those that were left out.

    `narrowed_by` says in words why this is a drill; empty for a run of everything that is required.
    """

    selected: dict[str, str]
    deselected: dict[str, str]
    narrowed_by: tuple[str, ...]


SELECTION: Final[pytest.StashKey[Selection]] = pytest.StashKey()
"""On the config: which rehearsal nodes were selected, where this process collected any."""

USAGE_ERROR: Final[pytest.StashKey[str]] = pytest.StashKey()
"""On the config of an xdist worker: the usage error that the controller is to raise in its stead."""


class RehearsalSelection:
    """Reads the marks once collection is over, in whichever process collected."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Compare the rehearsals before and after all other hooks, so that none is lost unseen."""
        collected = [item for item in items if is_rehearsal(item)]
        yield
        known, kept = {id(item) for item in collected}, {id(item) for item in items}
        # A conftest.py may have marked what the modules do not.
        collected += [item for item in items if id(item) not in known and is_rehearsal(item)]
        if not any(id(item) in kept for item in collected):
            return
        try:
            config.stash[SELECTION] = _select(config, collected, kept)
        except pytest.UsageError as error:
            if config.stash[RUN].worker is None:
                raise
            # Raised in a worker it would look like a crash: nothing runs, and the controller raises it.
            config.stash[USAGE_ERROR] = str(error)
            items.clear()


def _select(config: pytest.Config, collected: list[pytest.Item], kept: set[int]) -> Selection:
    from pytest_l402.plugin.gateway_program import start_early
    from pytest_l402.plugin.node import RehearsalNodes
    from pytest_l402.plugin.preparation import prepare

    preparation = prepare(config)
    missing = missing_parts(config)
    if missing is not None:
        raise pytest.UsageError(missing)
    marks = [read_mark(item, preparation.catalogue) for item in collected]
    check_one_module_each(collected, marks)
    selected: dict[str, str] = {}
    deselected: dict[str, str] = {}
    for item, mark in zip(collected, marks, strict=True):
        if id(item) in kept:
            selected[item.nodeid] = mark.rehearsal
            _tag(item, mark)
        else:
            deselected[item.nodeid] = mark.rehearsal
    names = {name for item in collected if id(item) in kept for name in getattr(item, "fixturenames", ())}
    start_early(config, names)
    RehearsalNodes.watch(config)
    return Selection(selected, deselected, _narrowed_by(config, preparation, selected, deselected))


def _tag(item: pytest.Item, mark: RehearsalMark) -> None:
    item.stash[MARK] = mark
    item.user_properties.append((REHEARSAL_PROPERTY, mark.rehearsal))


def _narrowed_by(
    config: pytest.Config, preparation: Preparation, selected: dict[str, str], deselected: dict[str, str]
) -> tuple[str, ...]:
    missing = set(preparation.required) - set(selected.values())
    options = narrowed_by_options(config, config.stash[RUN].settings.catalogue)
    if not deselected:
        return options if missing or may_leave_out_cases(options) else ()
    expression = (config.getoption("markexpr", "") or "").strip()
    marked = () if expression in ("", MARKER) else (f"-m {expression}{origin(config, expression, '-m')}",)
    count = f"{len(deselected)} rehearsal test{'s' if len(deselected) > 1 else ''} deselected"
    return (*options, *marked, count)
