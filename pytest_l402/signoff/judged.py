"""Decides the words of a judged run: states, verdicts, and the reasons that stand between a rehearsal and
green.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_l402.signoff.catalogue import Catalogue, Line, Rehearsal
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.waivers import Waiver


class RehearsalState(StrEnum):
    """What became of one rehearsal; PASSED is the only one that needs no explanation."""

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


class ReasonCode(StrEnum):
    """Why not, as a stable word for machines; first those of a rehearsal, then those of a run."""

    CHECK_VIOLATED = "check-violated"
    CHECK_UNTRUSTED = "check-untrusted"
    NO_EVIDENCE = "no-evidence"
    MUTANT_SURVIVED = "mutant-survived"
    NO_MUTANTS = "no-mutants"
    UNKNOWN_LINE = "unknown-line"
    PHASE_FAILED = "phase-failed"
    EXPECTED_FAILURE = "expected-failure"
    RERUN = "rerun"
    SUBTEST_FAILED = "subtest-failed"
    TEETH_OFF = "teeth-off"
    NO_CHECKS = "no-checks"
    LINE_UNPROVEN = "line-unproven"
    SKIPPED = "skipped"
    SUBTEST_SKIPPED = "subtest-skipped"
    PHASE_MISSING = "phase-missing"
    REPORTED_TWICE = "reported-twice"
    NO_RESULT = "no-result"
    NOT_COLLECTED = "not-collected"
    DESELECTED = "deselected"
    NO_NODE = "no-node"

    REHEARSAL_FAILED = "rehearsal-failed"
    REHEARSAL_MISSING = "rehearsal-missing"
    UNKNOWN_REHEARSAL = "unknown-rehearsal"
    COLLECT_ERROR = "collect-error"
    WORKER_CRASH = "worker-crash"
    INTERNAL_ERROR = "internal-error"
    EVIDENCE_FAULT = "evidence-fault"
    UNTRUSTED_RUN = "untrusted-run"
    PART_UNUSED = "part-unused"
    WAIVER_EXPIRED = "waiver-expired"
    EXIT_STATUS = "exit-status"
    INTERRUPTED = "interrupted"
    NO_TESTS = "no-tests"
    NOTHING_REQUIRED = "nothing-required"
    ONLY_WAIVERS = "only-waivers"
    NARROWED = "narrowed"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a rehearsal or a run is not green: a stable code for machines, a text for people.

    `rehearsal`, `check` and `line` name what is at fault where that applies; `waiver` is the one that
    covers it.
    """

    code: ReasonCode
    text: str
    rehearsal: str | None = None
    check: str | None = None
    line: str | None = None
    waiver: Waiver | None = None

    @property
    def waived_by(self) -> str | None:
        """The waiver that covers it, as documents name it ("<target> <name>"), or None."""
        return None if self.waiver is None else f"{self.waiver.target} {self.waiver.name}"


@dataclass(frozen=True, slots=True)
class LineProof:
    """One line that a rehearsal must prove, and the names of the checks that proved it (none = unproven)."""

    line: Line
    proven_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RehearsalJudgement:
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
    outcomes: tuple[RehearsalJudgement, ...]
    catalogue: Catalogue
    families: tuple[str, ...]
    waivers: tuple[Waiver, ...]
    facts: RunFacts

    def outcome(self, rehearsal_id: str) -> RehearsalJudgement | None:
        """Return the outcome of one rehearsal, or None."""
        return next((outcome for outcome in self.outcomes if outcome.rehearsal.id == rehearsal_id), None)
