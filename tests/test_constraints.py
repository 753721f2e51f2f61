"""constraints.txt names one version of everything that is installed, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[1]
LINES = (REPOSITORY / "constraints.txt").read_text().splitlines()


def needed_by(requirement: Requirement, seen: set[str]) -> Iterator[str]:
    """The names of what a requirement brings along, itself included, on this Python."""
    key = f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
    if key in seen:
        return
    seen.add(key)
    yield canonicalize_name(requirement.name)
    try:
        further = [Requirement(text) for text in requires(requirement.name) or ()]
    except PackageNotFoundError:
        # Who only runs the tests has not installed the linters.
        return
    for each in further:
        extras = requirement.extras or {""}
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras):
            yield from needed_by(each, seen)


def test_a_line_is_a_name_and_a_version() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    names = [canonicalize_name(line.partition("==")[0]) for line in LINES]
    assert names == sorted(set(names))


@pytest.mark.parametrize("group", ["all", "dev"])
def test_everything_that_is_installed_is_named(group: str) -> None:
    wanted = [f"pytest-l402[{group}]"]
    if group == "dev":
        wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    seen: set[str] = set()
    names = {name for text in wanted for name in needed_by(Requirement(text), seen)} - {"pytest-l402"}
    assert names - {canonicalize_name(line.partition("==")[0]) for line in LINES} == set()
