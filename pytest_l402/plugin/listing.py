"""Decides what `pytest --l402-list` shows: each rehearsal, its lines, and what is to prove them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.plugin.options import read_settings

if TYPE_CHECKING:
    from pytest_l402.signoff.provers import Rehearsed

_WIDTH: Final = 100


def listed(config: pytest.Config) -> str:
    """Return the list for people; nothing is collected and nothing is run. Raises `pytest.UsageError`."""
    from pytest_l402.signoff.catalogue import CatalogueError
    from pytest_l402.signoff.provers import Rehearsed

    settings = read_settings(config)
    try:
        rehearsed = Rehearsed(settings.catalogue)
        required = {entry.id for entry in rehearsed.catalogue.required(settings.required)}
    except (CatalogueError, OSError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"--l402-list: {error}") from None
    return "\n".join(_lines(rehearsed, required, config.rootpath))


def _lines(rehearsed: Rehearsed, required: set[str], root: Path) -> Iterator[str]:
    catalogue = rehearsed.catalogue
    for runbook in catalogue.runbooks:
        yield f"{runbook.id}: {runbook.title}"
        for entry in catalogue.rehearsals:
            if entry.runbook != runbook.id:
                continue
            need = "required" if entry.id in required else "not required"
            yield f"  {entry.id}  section {entry.section}, {entry.kind}, {need}: {entry.title}"
            modules = [
                str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
                for file in rehearsed.modules_of(entry.id)
            ]
            yield f"    {', '.join(modules) or 'no test beside the catalogue is marked as this rehearsal'}"
            for line in filter(None, (catalogue.line(runbook.id, name) for name in entry.proves)):
                yield from _wrapped(f"    {line.id} [{line.source}]: {line.text}")
                checks = rehearsed.checks_of(entry.id, line.id)
                yield from _wrapped(f"        {', '.join(checks) or 'a check that names it when it runs'}")
    lines = sum(len(runbook.lines) for runbook in catalogue.runbooks)
    yield f"{len(catalogue.rehearsals)} rehearsals, {lines} lines, of {catalogue.source}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False)
