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
    """Every test of it passed, every line is proven, and every check was shown able to fail."""
    WAIVED = "WAIVED"
    """It failed, and a waiver covers that: owner, reason and end date are in the document."""
    NOT_RUN = "NOT_RUN"
    """No test of it ran, or each was skipped. Its reason says what was missing."""
    INCOMPLETE = "INCOMPLETE"
    """Some of it ran and held; some did not run, or a line is unproven."""
    FAILED = "FAILED"
    """A check does not hold, cannot be trusted, or a test failed."""


class Verdict(StrEnum):
    """What a run amounts to. DRILL is a run that selected less than is required, whatever came of it."""

    SIGNED_OFF = "SIGNED_OFF"
    """Every required rehearsal ran, and was proven."""
    INCOMPLETE = "INCOMPLETE"
    """Nothing required failed, and something required did not run, or not all of it."""
    NOT_SIGNED_OFF = "NOT_SIGNED_OFF"
    """Something failed."""
    DRILL = "DRILL"
    """The run selected less than is required: it never signs off."""


class ReasonCode(StrEnum):
    """Why not, as a stable word for machines; first those of a rehearsal, then those of a run."""

    CHECK_VIOLATED = "check-violated"
    """The evidence is not as a check expects. Do what the finding says; it names file and line."""
    CHECK_UNTRUSTED = "check-untrusted"
    """A check changed rows, remembered, or answered otherwise the second time. Mend the check."""
    NO_EVIDENCE = "no-evidence"
    """A check judged no row. Let the procedure reach the part that records it."""
    MUTANT_SURVIVED = "mutant-survived"
    """A check did not notice altered evidence. Sharpen it, or give it evidence to fail on."""
    NO_MUTANTS = "no-mutants"
    """A check has no mutants, so nothing shows that it is able to fail. Give it some."""
    UNKNOWN_LINE = "unknown-line"
    """A check is tied to a line that its runbook does not have. Correct the id."""
    PHASE_FAILED = "phase-failed"
    """Setup, call or teardown of a test failed. Read its failure."""
    EXPECTED_FAILURE = "expected-failure"
    """A test is marked xfail: a failure that is expected proves nothing. Use a waiver."""
    RERUN = "rerun"
    """A test was run again until it passed. Find out why it failed the first time."""
    SUBTEST_FAILED = "subtest-failed"
    """A subtest failed. Verify with checks instead, which tell all that is wrong at once."""
    TEETH_OFF = "teeth-off"
    """The run was told to try no mutants. Leave --l402-no-teeth out."""
    NO_CHECKS = "no-checks"
    """A test passed and verified nothing. Ask for l402_evidence, and verify a check for each line."""
    LINE_UNPROVEN = "line-unproven"
    """No check that is tied to a line held. Run the test that is to prove it, or tie a check to it."""
    SKIPPED = "skipped"
    """A test was skipped: what it needs is not installed, not asked for, or not able. Its reason says it."""
    SUBTEST_SKIPPED = "subtest-skipped"
    """A subtest was skipped, so that a part of the test did not run."""
    PHASE_MISSING = "phase-missing"
    """A test ended before it was called and torn down, as when the run was stopped."""
    REPORTED_TWICE = "reported-twice"
    """One test was reported more than once: something runs or reports tests besides pytest."""
    NO_RESULT = "no-result"
    """A test was collected and never reported. Look for what stopped the run."""
    NOT_COLLECTED = "not-collected"
    """A test was reported that was never collected: something reports tests besides pytest."""
    DESELECTED = "deselected"
    """A test was left out by -k, -m, a node id or a plugin. Run without that."""
    NO_NODE = "no-node"
    """No test is marked as this rehearsal. Write it, or take it out of the catalogue."""

    REHEARSAL_FAILED = "rehearsal-failed"
    """A required rehearsal failed. Its own reasons say why."""
    REHEARSAL_MISSING = "rehearsal-missing"
    """A required rehearsal did not run, or not all of it. Its own reasons say why."""
    UNKNOWN_REHEARSAL = "unknown-rehearsal"
    """A test is marked as a rehearsal that the catalogue does not have. Correct the id, or add it."""
    COLLECT_ERROR = "collect-error"
    """A file of tests could not be read. What it holds is unknown: mend it."""
    WORKER_CRASH = "worker-crash"
    """A process of pytest-xdist died. Run with -n 0 to see what kills it."""
    INTERNAL_ERROR = "internal-error"
    """pytest itself failed, or a plugin. Read the traceback above."""
    EVIDENCE_FAULT = "evidence-fault"
    """Kept evidence is missing, or not what was judged. Leave the run folder alone while it is written."""
    UNTRUSTED_RUN = "untrusted-run"
    """Something stood between pytest and this plugin, so that what was seen may not be all."""
    REGRESSION = "regression"
    """Something is less than it was in the run that this one was to be compared with."""
    PART_UNUSED = "part-unused"
    """A part that was put in was asked for nothing, or another one played in some tests."""
    WAIVER_EXPIRED = "waiver-expired"
    """The end date of a waiver is over. Mend what it covered, or decide anew."""
    EXIT_STATUS = "exit-status"
    """pytest ended with another exit status than its tests account for."""
    INTERRUPTED = "interrupted"
    """The run was stopped before its end."""
    NO_TESTS = "no-tests"
    """No rehearsal was collected. Look at testpaths, and at where you are."""
    NOTHING_REQUIRED = "nothing-required"
    """The catalogue requires nothing, so there is nothing to sign off."""
    ONLY_WAIVERS = "only-waivers"
    """Every required rehearsal stands by a waiver alone, so nothing was shown to work."""
    NARROWED = "narrowed"
    """The run selected less than is required: a drill, which signs nothing off."""


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
