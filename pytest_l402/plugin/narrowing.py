"""Decides whether a run was asked for less than everything, and by which words of its command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_l402.plugin.marker import MARKER

_LAST_FAILED: Final = "--last-failed"


def asks_for_rehearsals(config: pytest.Config) -> bool:
    """Whether `-m` asks for every rehearsal, so that the run is about them even if none can be collected."""
    expression = config.getoption("markexpr", "") or ""
    if MARKER not in expression:
        return False
    words = re.findall(r"\w+", expression)
    return MARKER in words and not {"and", "not"} & set(words)


def narrowed_by_options(config: pytest.Config, catalogue: Path) -> tuple[str, ...]:
    """Return the parts of the command line that leave tests out, as given; empty for a run of everything.

    A marker expression is not among them: whether it leaves a rehearsal out shows when the items are known.
    A path that holds the catalogue holds its rehearsals too, and narrows nothing.
    """
    found = [
        f"{flag} {value}".rstrip()
        for flag, option in (
            ("-k", "keyword"),
            ("--deselect", "deselect"),
            ("--ignore", "ignore"),
            ("--ignore-glob", "ignore_glob"),
        )
        for value in _values(config.getoption(option, None))
    ]
    found += [
        flag
        for flag, option in ((_LAST_FAILED, "lf"), ("--stepwise", "stepwise"))
        if config.getoption(option, False)
    ]
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS and not _holds_catalogue(
        config, catalogue
    ):
        found += [_as_given(config, argument) for argument in config.args]
    return tuple(found)


def may_leave_out_cases(narrowed_by: tuple[str, ...]) -> bool:
    """Whether one case of a rehearsal may be missing without having been deselected.

    What is not named, or did not fail the last time, is not even collected.
    """
    return any(
        words == _LAST_FAILED or ("::" in words and not words.startswith("-")) for words in narrowed_by
    )


def _values(value: Any) -> list[str]:
    if not value:
        return []
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def _holds_catalogue(config: pytest.Config, catalogue: Path) -> bool:
    here = config.invocation_params.dir
    places = [(here / argument).resolve() for argument in config.args if "::" not in argument]
    if any(place == catalogue.parent or place in catalogue.parents for place in places):
        return True
    testpaths = [(config.rootpath / path).resolve() for path in config.getini("testpaths")]
    return bool(testpaths) and all(
        any(place == path or place in path.parents for place in places) for path in testpaths
    )


def _as_given(config: pytest.Config, argument: str) -> str:
    path = Path(argument)
    if path.is_absolute() and path.is_relative_to(config.rootpath):
        return str(path.relative_to(config.rootpath))
    return argument
