"""Decides when the evidence of one test is judged, by which checks, and what is said of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from inspect import isfunction
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_l402.evidence import Check, Evidence, EvidenceError, System, record_checks, run_check
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.checks.expected_faults import faults_shown
from pytest_l402.evidence.checks.secrets import no_secrets
from pytest_l402.evidence.checks.selecting import request_id_of
from pytest_l402.evidence.kept import STANDING, folders_of, keep, verification
from pytest_l402.evidence.parts import merged
from pytest_l402.evidence.request_names import called_by, request_names
from pytest_l402.evidence.secret_scan import SECRET_SCAN
from pytest_l402.evidence.system import AttachedSystem, UnusableSystemError
from pytest_l402.evidence.telling import tell_results, told_causes
from pytest_l402.plugin.gathered_rows import LOCAL_ARTIFACT, STEADY_STATE, GatheredRows
from pytest_l402.triage.diagnosis import triage, triage_records

if TYPE_CHECKING:
    from pytest_l402.evidence.check import RunbookLine
    from pytest_l402.triage.diagnosis import Diagnosis


def _nothing_waived(result: CheckResult) -> bool:
    return False


class EvidenceCollector(GatheredRows):
    """The evidence of one test, from the systems attached to it and from the test itself.

    A rehearsal drives its system, then calls `verify` with one check for each "Verify" line of the runbook.
    The standing checks of the systems come after it and run over everything that was recorded.
    """

    def __init__(
        self,
        *,
        title: str,
        seed: str,
        artifact_dir: Path,
        teeth: bool = True,
        lines: Mapping[str, RunbookLine] | None = None,
        waived: Callable[[CheckResult], bool] = _nothing_waived,
    ) -> None:
        super().__init__(artifact_dir)
        self._title = title
        self._seed = seed
        self._teeth = teeth
        self._lines = lines
        self._waived = waived
        self._states: list[AttachedSystem] = []
        self._held_to: dict[str, tuple[str, ...]] = {}
        self._checks: list[CheckResult] = []
        self._moments: dict[str, Evidence] = {}
        self._called: dict[str, str] = {}
        self._verified_at = ("", 0)
        self._told: list[CheckResult] = []
        self._said = ""
        self._causes: tuple[str, ...] = ()
        self._standing: tuple[CheckResult, ...] = ()
        self._final: Evidence | None = None
        self._refusal: BaseException | None = None

    def __repr__(self) -> str:
        return f"<evidence of {self._title}: {len(self._checks)} checks>"

    @property
    def seed(self) -> str:
        """The seed of this test alone: it follows from `--l402-seed`, the rehearsal and the case."""
        return self._seed

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """What every check said that the test has asked for so far."""
        return tuple(self._checks)

    @property
    def standing(self) -> tuple[CheckResult, ...]:
        """What the standing checks said; empty until the test has ended."""
        return self._standing

    @property
    def refusal(self) -> BaseException | None:
        """The failure that `verify` or `attach` raised, if one did."""
        return self._refusal

    def attach(self, system: System) -> None:
        """Take evidence from a system, and hold all that is recorded to its standing checks.

        `system.tables()` is asked each time evidence is collected, `system.steady_state("before")` now.
        """
        try:
            self._attach(system)
        except UnusableSystemError as error:
            self._fail(str(error))

    @property
    def has_systems(self) -> bool:
        """Whether any system was attached."""
        return bool(self._systems)

    def described_systems(self) -> tuple[AttachedSystem, ...]:
        """Return each state in which the attached systems were seen, now and at each `verify`.

        A state has every part that was seen in it, and the names of the standing checks that were run: none,
        where none were. Raises `UnusableSystemError`.
        """
        try:
            self._look_at_systems()
        except UnusableSystemError:
            if self._refusal is None:  # else that is told already
                raise
        states: dict[tuple[str, str, str | None], AttachedSystem] = {}
        for state in self._states:
            known = states.get(key := (state.name, state.version, state.digest), state)
            parts = merged((*known.parts, *state.parts))
            states[key] = replace(known, parts=parts, standing_checks=self._held_to.get(state.name, ()))
        return tuple(states.values())

    def _look_at_systems(self) -> None:
        # A part that has gone by the end has played all the same.
        self._states.extend(attached.described() for attached in self._systems)

    @property
    def causes(self) -> tuple[str, ...]:
        """What was told as wrong, one line for each cause."""
        return self._causes

    def final(self) -> Evidence:
        """Return the evidence as it was at the end: when the standing checks ran, if they did."""
        return self.collect() if self._final is None else self._final

    @property
    def moments(self) -> Mapping[str, Evidence]:
        """The evidence as it was each time that checks were run, by the name in `CheckResult.moment`."""
        return self._moments

    def triage(self, request: Any) -> Diagnosis:
        """Diagnose one request from what an operator has: records and local artifact, nothing else.

        Takes a request id, or anything with a `request_id`.
        """
        evidence = self.collect(probed=False).only("records", LOCAL_ARTIFACT)
        return triage(evidence, request_id_of(request))[0]

    def verify(self, *checks: Check) -> tuple[CheckResult, ...]:
        """Judge the evidence by these checks, each also on every mutant of it; return what they said.

        All checks are run before the test is failed, so that everything that is wrong is told at once. A
        check that a waiver covers does not fail it: the sign-off shows both, what is wrong and the waiver.
        """
        if not checks:
            raise ValueError("verify() takes at least one check; without one nothing is proven")
        for place, check in enumerate(checks, start=1):
            self._refuse_unless_check(place, check)
            self._refuse_unknown_line(check)
            self._refuse_own_witness(check)
        self._look_at_caller(sys._getframe(1))
        try:
            self._look_at_systems()
            evidence = self.collect(probed=any(STEADY_STATE in check.tables for check in checks))
        except (UnusableSystemError, EvidenceError) as error:
            self._fail(str(error))
        results = self._judge(checks, evidence, verification(len(self._moments) + 1))
        self._checks.extend(results)
        problem = self.describe(results)
        if problem:
            self._fail(problem)
        return results

    def _look_at_caller(self, frame: FrameType) -> None:
        # What the test calls its purchases is what its failure calls them, and so are the standing checks'.
        self._called |= called_by(frame.f_locals)
        self._verified_at = (frame.f_code.co_filename, frame.f_lineno)

    def judge_standing(self) -> tuple[CheckResult, ...]:
        """Run the standing checks over everything that was recorded, and keep what they said.

        Records that only a local artifact holds are among it. Where all checks so far fail under a waiver and
        nothing was recorded that stands, none is run. Raises `UnusableSystemError`.
        """
        brought = {system.name: system.standing_checks() for system in self._systems}
        checks = self._standing_checks(brought)
        if not (checks or self._systems or self._recorded or self._results):
            return ()
        # Probed, although few standing checks look at the steady state: this is what is kept.
        evidence = self.collect()
        judged = evidence.with_table("records", triage_records(evidence))
        waived = bool(self._checks) and all(not each.passed and self._waived(each) for each in self._checks)
        if waived and not any(judged.table(table) for check in checks for table in check.tables):
            return ()
        self.withhold_artifacts()
        scanned = self._scan.rows()
        self._final = evidence.with_table(SECRET_SCAN, scanned)
        judged = judged.with_table(SECRET_SCAN, scanned)
        self._standing = self._judge((*checks, no_secrets()), judged, STANDING)
        self._held_to = {name: tuple(check.name for check in own) for name, own in brought.items()}
        return self._standing

    def _judge(self, checks: Iterable[Check], evidence: Evidence, moment: str) -> tuple[CheckResult, ...]:
        self._moments[moment] = evidence
        return tuple(replace(run_check(check, evidence, self._teeth), moment=moment) for check in checks)

    def _standing_checks(self, brought: Mapping[str, tuple[Check, ...]]) -> tuple[Check, ...]:
        """The checks that the systems bring; records that the test added are held to their contract too.

        A pure function has neither.
        """
        checks = [check for own in brought.values() for check in own]
        if self._expected:
            checks.append(faults_shown())
        if "records" in self._recorded or self._local_artifacts:
            named = {check.name for check in checks}
            checks += [check for check in record_checks() if check.name not in named]
        return tuple(checks)

    def request_ids(self, evidence: Evidence) -> tuple[str, ...]:
        """Return the requests that the records name, in order of appearance."""
        found = (row.get("requestId") for row in evidence.table("records"))
        return tuple(dict.fromkeys(value for value in found if isinstance(value, str) and value))

    @property
    def told(self) -> bool:
        """Whether the refusal is what `describe` has told; it tells that again, with what is new."""
        return self._refusal is not None and str(self._refusal) == self._said

    def describe(self, results: Iterable[CheckResult]) -> str:
        """Return, for people, what is wrong and not waived; empty if nothing is in these results.

        What an earlier call told is told as well, since it may have the same cause.
        """
        wrong = [result for result in results if not result.passed and not self._waived(result)]
        self._told.extend(wrong)
        return self.tell_again() if wrong else ""

    def tell_again(self) -> str:
        """Return what `describe` has told; after the standing checks, with the folders that are kept."""
        evidence = self._moments[self._told[-1].moment]
        file, line = self._verified_at
        names = request_names(evidence, self._called)
        self._causes = told_causes(self._told, names)
        self._said = tell_results(
            self._told,
            title=self._title,
            lines=self._lines,
            names=names,
            places={"verify": f"{_from_here(Path(file))}:{line}", "evidence": self._kept_in(evidence)},
        )
        return self._said

    def _kept_in(self, evidence: Evidence) -> str:
        folder = self._artifact_dir.parent
        if self._lines is None:
            # No rehearsal: nobody else keeps its evidence, and what is said of it names files.
            keep(evidence, {}, folder)
            return f"{_from_here(folder)}/"
        told = f"{_from_here(folder)}/"
        if self._final is None:  # nobody knows yet what will have changed
            return told
        apart = folders_of(self._final, self._moments, (each.moment for each in self._told))
        moments = " and ".join(f"{name}/" for name in apart)
        return f"{told}\nwhat has changed since is in {moments} as it was" if moments else told

    def _fail(self, problem: str) -> NoReturn:
        try:
            pytest.fail(problem, pytrace=False)
        except pytest.fail.Exception as failure:
            self._refusal = failure
            # What it came from is told in it; told once more, it would look like a failure of this package.
            raise failure from None

    def _refuse_unless_check(self, place: int, given: object) -> None:
        if isinstance(given, Check) and given.name.strip():
            return
        if isinstance(given, Check):
            saw, remedy = "one without a name", 'name it by what it is called with: Check("paid_once(…)", …)'
        elif isfunction(given):
            saw, remedy = f"the function {given.__name__}", f"call it: {given.__name__}(…)"
        elif isinstance(given, list | tuple):
            saw, remedy = f"a {type(given).__name__}", "give its members one by one: verify(*checks)"
        else:
            saw, remedy = (
                f"an object of {type(given).__name__}",
                "give what a check of pytest_l402.evidence returns",
            )
        self._fail(f"{self._title}: verify, argument {place}: expected a check, saw {saw}; {remedy}")

    def _refuse_own_witness(self, check: Check) -> None:
        own = set(self._recorded)
        of_systems = [named.table for named in check.named if named.table not in own]
        if self._systems and of_systems and set(check.tables) <= own:
            saw = f"{', '.join(check.tables)}, which the test recorded itself"
            self._fail(
                f"{check.name}: expected evidence of a system beside {of_systems[0]}, saw {saw}; "
                "name a table as witness that the system fills"
            )

    def _refuse_unknown_line(self, check: Check) -> None:
        if self._lines is None or check.line is None or check.line in self._lines:
            return
        from pytest_l402.boundary.text_safety import suggestion

        self._fail(
            f"{self._title}: {check.name} is to prove {check.line!r}, which is no line of the runbook"
            f"{suggestion(check.line, list(self._lines))}"
        )


def _from_here(path: Path) -> str:
    """A path as it can be copied into a command; a longer one than from the root is no help."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
