"""Decides where on our page of the runbook a section stands: file and line, if the pages are at hand."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

_PAGE: Final = "docs/runbook-1-observability.md"
_HEADINGS: Final = {
    "Canonical Observability Contract": "## The contract",
    "Correlation Workflow": "## Correlation workflow",
    "Incident Triage": "## Incident triage",
}


@cache
def place_of(section: str) -> str | None:
    """`docs/runbook-1-observability.md:123` of a section; None where the pages are not installed."""
    page = Path(__file__).parents[2] / _PAGE
    try:
        lines = page.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return None
    wanted, row = section, None
    if match := re.fullmatch(r"(.+) (\d)", section):
        wanted, row = match[1], f"| {match[2]}. "
    heading = _HEADINGS.get(wanted, f"## Section {wanted},")
    for number, line in enumerate(lines, start=1):
        if line.startswith(heading):
            below = enumerate(lines[number:], start=number + 1)
            found = next((at for at, text in below if row and text.startswith(row)), number)
            return f"{_PAGE}:{found}"
    return None
