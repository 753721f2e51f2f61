"""Decides which failures may stand for now: who accepted them, why, and until which day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

MAX_DAYS = 30
"""How many days ahead a waiver may end."""

LOCAL_ARTIFACT_LINE = "observability/2.reference-only"
"""The line that `--allow-missing-local-artifact` waives."""


class WaiverError(ValueError):
    """The waivers cannot be used; the message is one line that names the file and the place in it."""


class WaiverTarget(StrEnum):
    """What a waiver covers: all of a rehearsal, a check wherever it runs, or one runbook line ("runbook/line")."""

    REHEARSAL = "rehearsal"
    CHECK = "check"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Waiver:
    """An accepted gap. `until` is the last day on which it counts (UTC); `source` says where it was given."""

    target: WaiverTarget
    name: str
    owner: str
    reason: str
    until: date
    source: str

    def expired(self, today: date) -> bool:
        """Whether its last day has passed."""
        return today > self.until


def missing_local_artifact_waiver(today: date, owner: str = "operator of this run") -> Waiver:
    """Return what `--allow-missing-local-artifact` means: one line waived, for the day of this run only."""
    return Waiver(
        target=WaiverTarget.LINE,
        name=LOCAL_ARTIFACT_LINE,
        owner=owner,
        reason="no historical local-node artifact was given (--allow-missing-local-artifact)",
        until=today,
        source="--allow-missing-local-artifact",
    )
