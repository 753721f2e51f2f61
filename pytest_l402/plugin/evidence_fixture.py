"""Decides what counts as the evidence of one test, and what `l402_evidence` does with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from inspect import isfunction
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from pytest_l402.evidence import Check, Evidence, EvidenceError, Row, System, record_checks, run_check
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.checks.expected_faults import fault_shown, faults_shown
from pytest_l402.evidence.checks.planes import EXPECTED_FAULTS
from pytest_l402.evidence.checks.secrets import no_secrets
from pytest_l402.evidence.checks.selecting import request_id_of
from pytest_l402.evidence.kept import STANDING, folders_of, keep, verification
from pytest_l402.evidence.request_names import called_by, request_names
from pytest_l402.evidence.secret_scan import SECRET_SCAN, SecretScan
from pytest_l402.evidence.system import Attached, AttachedSystem, UnusableSystemError
from pytest_l402.evidence.telling import tell_results, told_causes
from pytest_l402.triage.diagnosis import triage, triage_records
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.shortfalls import shortfalls

if TYPE_CHECKING:
    from pytest_l402.evidence.check import RunbookLine
    from pytest_l402.evidence.fields import Form
    from pytest_l402.triage.diagnosis import Diagnosis


def _nothing_waived(result: CheckResult) -> bool:
    return False


STEADY_STATE: Final = "steady_state"
SHORTFALLS: Final = "shortfalls"
LOCAL_ARTIFACT: Final = "local_artifact"
RESULTS: Final = frozenset({SHORTFALLS, "reconcile_summary", "inspection", "reference_artifact"})
"""The tables into which fixtures of this package put what a procedure has returned."""


class EvidenceCollector:
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
        self._title = title
        self._seed = seed
        self._artifact_dir = artifact_dir
        self._teeth = teeth
        self._lines = lines
        self._waived = waived
        self._systems: list[Attached] = []
        self._states: list[AttachedSystem] = []
        self._held_to: dict[str, tuple[str, ...]] = {}
        self._before: list[Row] = []
        self._recorded: dict[str, list[Row]] = {}
        self._results: dict[str, list[Row]] = {}
        self._kept_apart: set[tuple[str, str]] = set()
        self._expected: dict[str, str | None] = {}
        self._local_artifacts: list[Path] = []
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
        self._scan = SecretScan()

    def __repr__(self) -> str:
        return f"<evidence of {self._title}: {len(self._checks)} checks>"

    @property
    def artifact_dir(self) -> Path:
        """Where the test writes artifacts; kept with its evidence, and copied to the artifact folder."""
        return self._artifact_dir

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
            attached = Attached(system)
            if attached.name in (known.name for known in self._systems):
                raise UnusableSystemError(
                    f"system {attached.name!r}: expected a name for each system of a test, saw it twice; "
                    "attach it once, or name the two apart"
                )
            self._before.extend(attached.steady_state("before"))
        except UnusableSystemError as error:
            self._fail(str(error))
        self._systems.append(attached)

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
            parts = tuple(dict.fromkeys((*known.parts, *state.parts)))
            states[key] = replace(known, parts=parts, standing_checks=self._held_to.get(state.name, ()))
        return tuple(states.values())

    def _look_at_systems(self) -> None:
        # A part that has gone by the end has played all the same.
        self._states.extend(attached.described() for attached in self._systems)

    def record(self, table: str, *rows: Row) -> None:
        """Add rows of the test's own to a table of its own; the sign-off tells how many there are in which.

        Rows hold JSON values in camelCase keys, and never a preimage, a macaroon or a token. Raises
        `EvidenceError` for a row that cannot be evidence, and for a table that a system, or a fixture of this
        package, fills: nobody could tell its rows from the test's.
        """
        Evidence({table: rows})
        self._refuse_unless_own(table, self._declared())
        self._recorded.setdefault(table, []).extend(dict(row) for row in rows)

    def _record_result(self, table: str, row: Row) -> None:
        """Add what a procedure that a fixture of this package ran has returned, to its own table.

        For those fixtures alone: a test's own rows go into `record`.
        """
        if table not in RESULTS or table in self._recorded:
            self._refuse_own(table)
        self._results.setdefault(table, []).append(dict(row))

    @property
    def own_rows(self) -> dict[str, int]:
        """How many rows the test has added itself, by table; a local artifact is one."""
        own = {table: len(rows) for table, rows in self._recorded.items()}
        return own | ({LOCAL_ARTIFACT: len(self._local_artifacts)} if self._local_artifacts else {})

    @property
    def causes(self) -> tuple[str, ...]:
        """What was told as wrong, one line for each cause."""
        return self._causes

    @property
    def expected_faults(self) -> Mapping[str, str | None]:
        """For each request that was declared to meet a fault how that showed: None if it never did.

        And what was injected for it into the systems that can tell.
        """
        return {
            request_id: shown and f"{shown}; {_told_injected(self._injected(request_id))}"
            for request_id, shown in self._expected.items()
        }

    def _injected(self, request_id: str) -> list[str] | None:
        told = [system.injected_faults(request_id) for system in self._systems]
        known = [names for names in told if names is not None]
        return [name for names in known for name in names] if known else None

    def add_local_artifact(self, path: Path) -> None:
        """Read a local-node artifact from `path` whenever evidence is collected: it may grow.

        Where it falls short of the runbook as it is now, the sign-off says so. Raises `contract.InputError`
        if it cannot be read now.
        """
        _read_local_artifact(path)
        self._local_artifacts.append(path)
        # By its name alone: where it lies on this machine is nobody's business.
        for each in shortfalls(read_incident(path)):
            self._record_result(SHORTFALLS, replace(each, file=path.name).to_row())

    def expect_fault(self, *purchases: Any) -> None:
        """Declare that these requests meet a fault on purpose: planes may disagree about them.

        Takes request ids, or anything with a `request_id`. A fault that shows at no `verify`, nor at the end,
        is a violation: it was not injected, it did not fire, or it was another request that met it. Raises
        `TypeError` for anything else.
        """
        for purchase in purchases:
            self._expected.setdefault(request_id_of(purchase), None)

    def collect(self, *, probed: bool = True) -> Evidence:
        """Return everything that is there at this moment.

        Without `probed`, all but the steady state: its probes cost more than all the rest. Raises
        `UnusableSystemError` or `EvidenceError` for a system that answers with something else than rows.
        """
        declared = self._declared()
        tables = self._tables_of_systems()
        if self._local_artifacts and tables.get(LOCAL_ARTIFACT):
            self._refuse_own(LOCAL_ARTIFACT)
        for name in tuple(self._recorded):
            self._refuse_unless_own(name, {**declared, **tables})
        for name, rows in (*self._results.items(), *self._recorded.items()):
            tables.setdefault(name, []).extend(rows)
        after = [row for system in self._systems for row in system.steady_state("after")] if probed else []
        if after:
            tables.setdefault(STEADY_STATE, []).extend([*self._before, *after])
        if self._local_artifacts:
            artifacts = [_read_local_artifact(path) for path in self._local_artifacts]
            tables.setdefault(LOCAL_ARTIFACT, []).extend(artifacts)
        try:
            cleaned = self._scan.clean(tables, self._secret_digests())
        except RecursionError:
            # A row that is nested less deeply is refused by name below.
            raise EvidenceError(
                "expected rows of a few levels, saw one without end; record it in flat rows"
            ) from None
        evidence = Evidence(cleaned, declared)
        return self._with_expected_faults(evidence) if self._expected else evidence

    def _tables_of_systems(self) -> dict[str, list[Row]]:
        """The rows of all systems; a table belongs to the first of them that fills it or declares it."""
        tables: dict[str, list[Row]] = {}
        owners = dict.fromkeys(self._results, "a fixture of this package")
        shared = []
        filled = [(system, system.tables()) for system in self._systems]
        for system, own in filled:
            for table in (*own, *(system.fields() if len(filled) > 1 else ())):
                owners.setdefault(table, system.name)
            for table, rows in own.items():
                if owners[table] == system.name or not rows:
                    tables.setdefault(table, []).extend(rows)
                    continue
                tables.setdefault(f"own_{table}"[:64], []).extend(rows)
                shared.append((system.name, table))
        for name, table in shared:
            if (name, table) not in self._kept_apart:
                # Told once: from then on nobody can take these rows for those of the other system.
                self._kept_apart.update(shared)
                raise UnusableSystemError(
                    f"system {name!r}: expected tables of its own, saw rows in {table!r}, which is of "
                    f"{owners[table]}; name its table otherwise, such as own_{table}"
                )
        return tables

    def withhold_artifacts(self) -> None:
        """Put a note in the place of each artifact that holds a secret: it is kept, and copied, as it is."""
        self._scan.withhold(self._artifact_dir, self._secret_digests())

    def _secret_digests(self) -> list[bytes]:
        return [digest for system in self._systems for digest in system.secret_digests()]

    def _with_expected_faults(self, evidence: Evidence) -> Evidence:
        for request_id, shown in self._expected.items():
            if shown is None:
                self._expected[request_id] = fault_shown(evidence, request_id, self._expected)
        rows = [
            {"requestId": request, "shownAs": shown, "injected": self._injected(request)}
            for request, shown in self._expected.items()
        ]
        return evidence.with_table(EXPECTED_FAULTS, rows)

    def _declared(self) -> dict[str, tuple[Form, ...]]:
        declared: dict[str, tuple[Form, ...]] = {}
        for system in self._systems:
            for table, form in system.fields().items():
                declared[table] = (*declared.get(table, ()), form)
        return declared

    def _refuse_unless_own(self, table: str, filled: Collection[str]) -> None:
        probed = (STEADY_STATE,) if self._systems else ()
        if table in (EXPECTED_FAULTS, SECRET_SCAN, SHORTFALLS, *self._results, *probed, *filled):
            self._refuse_own(table)

    def _refuse_own(self, table: str) -> NoReturn:
        # No row of a test's own proves what a system did; what was recorded already is kept apart.
        own = f"own_{table}"[:64]
        if table in self._recorded:
            self._recorded.setdefault(own, []).extend(self._recorded.pop(table))
        if table == LOCAL_ARTIFACT:
            self._recorded.setdefault(own, []).extend(map(_read_local_artifact, self._local_artifacts))
            self._local_artifacts.clear()
        remedy = f"record yours in a table of its own, such as {own}"
        if table == EXPECTED_FAULTS:
            remedy = "use l402_evidence.expect_fault(request)"
        raise EvidenceError(
            f"{table}: expected rows of whoever fills this table, saw rows of the test's own; {remedy}"
        )

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


def _told_injected(names: list[str] | None) -> str:
    if names is None:
        return "no system says what was injected"
    return f"injected: {', '.join(names)}" if names else "nothing was injected for it"


def _from_here(path: Path) -> str:
    """A path as it can be copied into a command; a longer one than from the root is no help."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _read_local_artifact(path: Path) -> Row:
    from pytest_l402.boundary import read_json
    from pytest_l402.contract import LocalNodeArtifact

    return LocalNodeArtifact.decode(read_json(path)).to_row()
