"""Decides under which anchor the page has a rehearsal, so that other reports can link there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pytest_l402.signoff.document_entries import RehearsalEntry

_PLAIN: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def anchors_of(rehearsals: Sequence[RehearsalEntry]) -> tuple[str, ...]:
    """Return the anchor of each rehearsal, in their order: its id where that is one of a catalogue."""
    return tuple(
        f"rehearsal-{entry.id}" if _PLAIN.fullmatch(entry.id) else f"rehearsal.{number}"
        for number, entry in enumerate(rehearsals, start=1)
    )
