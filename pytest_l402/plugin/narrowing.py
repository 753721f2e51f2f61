"""Decides whether a run was asked for less than everything, and by which words of its command line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_l402.plugin.marker import MARKER

FROM: Final = " (from "
"""What follows the words that narrow a run where its command line does not have them."""

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
        f"{flag} {value}{origin(config, value, flag)}"
        for flag, option in (
            ("-k", "keyword"),
            ("--deselect", "deselect"),
            ("--ignore", "ignore"),
            ("--ignore-glob", "ignore_glob"),
        )
        for value in _values(config.getoption(option, None))
    ]
    found += [
        f"{flag}{origin(config, flag)}"
        for flag, option in ((_LAST_FAILED, "lf"), ("--stepwise", "stepwise"))
        if config.getoption(option, False)
    ]
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS and not _holds_catalogue(
        config, catalogue
    ):
        found += [f"{_as_given(config, argument)}{origin(config, argument)}" for argument in config.args]
    return tuple(found)


def may_leave_out_cases(narrowed_by: tuple[str, ...]) -> bool:
    """Whether one case of a rehearsal may be missing without having been deselected.

    What is not named, or did not fail the last time, is not even collected.
    """
    return any(
        words.startswith(_LAST_FAILED) or ("::" in words and not words.startswith("-"))
        for words in narrowed_by
    )


def origin(config: pytest.Config, value: str, flag: str = "") -> str:
    """Return " (from …)" for what narrows a run from elsewhere than its command line, else ""."""
    if _is_among(config.invocation_params.args, value, flag):
        return ""
    try:
        variable = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    except ValueError:
        variable = []
    if _is_among(variable, value, flag):
        return f"{FROM}PYTEST_ADDOPTS)"
    if config.inipath is not None and _is_among(config.getini("addopts"), value, flag):
        return f"{FROM}addopts of {config.inipath.name})"
    return ""


def _is_among(given: Sequence[str | os.PathLike[str]], value: str, flag: str) -> bool:
    words = [os.fspath(word) for word in given]
    if not flag:
        return value in words
    joined = {f"{flag}={value}", f"{flag}{value}"}
    return bool(joined & set(words)) or (flag, value) in pairwise(words)


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
