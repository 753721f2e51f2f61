"""Decides the state of every rehearsal and the verdict of a run, from positive evidence only.

Nothing here touches a file, a clock or pytest. A verdict is reached by looking for reasons against it: a sign-off is what
remains when a required rehearsal was asked for every one of them and had none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pytest_l402.signoff.catalogue import Catalogue, Line, Rehearsal
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.waivers import Waiver


class RehearsalState(StrEnum):
    """What became of one rehearsal."""

    PASSED = "PASSED"
    WAIVED = "WAIVED"
    NOT_RUN = "NOT_RUN"
    INCOMPLETE = "INCOMPLETE"
    FAILED = "FAILED"


class Verdict(StrEnum):
    """What a run amounts to. DRILL is a run that selected less than is required, whatever came of it."""

    SIGNED_OFF = "SIGNED_OFF"
    INCOMPLETE = "INCOMPLETE"
    NOT_SIGNED_OFF = "NOT_SIGNED_OFF"
    DRILL = "DRILL"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a rehearsal or a run is not green: a stable code for machines, a text for people.

    `check` and `line` name the check or the runbook line at fault, `waived_by` the name of the waiver that covers it.
    """

    code: ReasonCode
    text: str
    check: str | None = None
    line: str | None = None
    waived_by: str | None = None


class ReasonCode(StrEnum):
    """Why not, as a stable word."""

    NO_NODE = "no-node"


@dataclass(frozen=True, slots=True)
class LineProof:
    """One line that a rehearsal must prove, and the names of the checks that proved it (none = unproven)."""

    line: Line
    proven_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RehearsalOutcome:
    """One rehearsal of the catalogue with its state, the reasons for it, and the nodes it rests on."""

    rehearsal: Rehearsal
    required: bool
    state: RehearsalState
    reasons: tuple[Reason, ...]
    lines: tuple[LineProof, ...]
    nodes: tuple[NodeResult, ...]


@dataclass(frozen=True, slots=True)
class SignOff:
    """The judged run: the only thing that the document and every report are made from."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    outcomes: tuple[RehearsalOutcome, ...]
    catalogue: Catalogue
    families: tuple[str, ...]
    waivers: tuple[Waiver, ...]
    facts: RunFacts

    def outcome(self, rehearsal_id: str) -> RehearsalOutcome | None:
        """Return the outcome of one rehearsal, or None."""
        return next((outcome for outcome in self.outcomes if outcome.rehearsal.id == rehearsal_id), None)


def judge_run(
    *,
    catalogue: Catalogue,
    families: Sequence[str],
    nodes: Sequence[NodeResult],
    facts: RunFacts,
    waivers: Sequence[Waiver],
    today: date,
) -> SignOff:
    """Judge a run. `families` empty = every family of the catalogue; raises `CatalogueError` for an unknown one."""
    raise NotImplementedError
