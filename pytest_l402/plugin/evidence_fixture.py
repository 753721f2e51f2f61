"""Decides what counts as the evidence of one test, and what `l402_evidence` does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pytest

from pytest_l402.evidence import Check, CheckResult, Evidence, Row, run_check, standing_checks
from pytest_l402.triage.diagnosis import triage, triage_records
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.shortfalls import shortfalls

if TYPE_CHECKING:
    from pytest_l402.evidence import RunbookLine
    from pytest_l402.triage.diagnosis import Diagnosis

Tables: TypeAlias = Callable[[], Mapping[str, Iterable[Row]]]
"""Something that can say, at any moment, which rows it has left so far."""

Probe: TypeAlias = Callable[[Literal["before", "after"]], Iterable[Row]]
"""Something that can say, "before" or "after", whether the system is in its steady state."""


def _nothing_waived(result: CheckResult) -> bool:
    return False


STEADY_STATE: Final = "steady_state"


class EvidenceCollector:
    """The evidence of one test, from the stack and from the test itself.

    A rehearsal drives its system, then calls `verify` with one check for each "Verify" line of the runbook.
    The standing checks of the plugin come after it and run over everything that was recorded.
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
        self._sources: list[Tables] = []
        self._probes: list[Probe] = []
        self._before: list[Row] = []
        self._recorded: dict[str, list[Row]] = {}
        self._local_artifacts: list[Path] = []
        self._faulty: set[str] = set()
        self._checks: list[CheckResult] = []
        self._standing: tuple[CheckResult, ...] = ()
        self._final: Evidence | None = None
        self._refusal: BaseException | None = None

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
        """What the plugin's own checks said; empty until the test has ended."""
        return self._standing

    @property
    def refusal(self) -> BaseException | None:
        """The failure that `verify` raised, if it did."""
        return self._refusal

    @property
    def nothing_stands(self) -> bool:
        """Whether there is no telemetry to hold to anything.

        Either no system was attached and no record of one was added, as when a pure function is rehearsed; or
        nothing was recorded at all, and every check so far fails under a waiver.
        """
        without_system = not (self._sources or self._local_artifacts or "records" in self._recorded)
        waived = bool(self._checks) and all(not each.passed and self._waived(each) for each in self._checks)
        return without_system or (waived and not triage_records(self.collect(probed=False)))

    def attach(self, tables: Tables, steady_state: Probe | None = None) -> None:
        """Take evidence from a system: `tables()` is asked each time evidence is collected.

        `steady_state("before")` is asked now, `steady_state("after")` whenever evidence with it is collected.
        """
        self._sources.append(tables)
        if steady_state is not None:
            self._probes.append(steady_state)
            self._before.extend(steady_state("before"))

    def record(self, table: str, *rows: Row) -> None:
        """Add rows of the test's own to a table, after those of the attached systems.

        Rows hold JSON values in camelCase keys, and never a preimage, a macaroon or a token. Raises
        `EvidenceError` for a row that cannot be evidence.
        """
        Evidence({table: rows})
        self._recorded.setdefault(table, []).extend(dict(row) for row in rows)

    def add_local_artifact(self, path: Path) -> None:
        """Read a local-node artifact from `path` whenever evidence is collected: it may grow.

        Where it falls short of the runbook as it is now, the sign-off says so. Raises `contract.InputError`
        if it cannot be read now.
        """
        _read_local_artifact(path)
        self._local_artifacts.append(path)
        # By its name alone: where it lies on this machine is nobody's business.
        for each in shortfalls(read_incident(path)):
            self.record("shortfalls", replace(each, file=path.name).to_row())

    def expect_fault(self, *purchases: Any) -> None:
        """Declare that these requests meet a fault on purpose: planes may disagree about them.

        Takes request ids, or anything with a `request_id`.
        """
        self._faulty.update(_request_id(purchase) for purchase in purchases)

    def collect(self, *, probed: bool = True) -> Evidence:
        """Return everything that is there at this moment.

        Without `probed`, all but the steady state: its probes cost more than all the rest.
        """
        tables: dict[str, list[Row]] = {}
        for source in self._sources:
            for name, rows in source().items():
                tables.setdefault(name, []).extend(rows)
        for name, rows in self._recorded.items():
            tables.setdefault(name, []).extend(rows)
        if self._probes and probed:
            after = [row for probe in self._probes for row in probe("after")]
            tables.setdefault(STEADY_STATE, []).extend([*self._before, *after])
        if self._local_artifacts:
            artifacts = [_read_local_artifact(path) for path in self._local_artifacts]
            tables.setdefault("local_artifact", []).extend(artifacts)
        return Evidence(tables)

    def final(self) -> Evidence:
        """Return the evidence that is kept: what the standing checks were held to, if they ran."""
        return self.collect() if self._final is None else self._final

    def triage(self, request: Any) -> Diagnosis:
        """Diagnose one request from what an operator has: records and local artifact, nothing else.

        Takes a request id, or anything with a `request_id`.
        """
        evidence = self.collect(probed=False).only("records", "local_artifact")
        return triage(evidence, _request_id(request))[0]

    def verify(self, *checks: Check) -> tuple[CheckResult, ...]:
        """Judge the evidence by these checks, each also on every mutant of it; return what they said.

        All checks are run before the test is failed, so that everything that is wrong is told at once. A
        check that a waiver covers does not fail it: the sign-off shows both, what is wrong and the waiver.
        """
        if not checks:
            raise ValueError("verify() takes at least one check; without one nothing is proven")
        for check in checks:
            self._refuse_unknown_line(check)
        evidence = self.collect(probed=any(STEADY_STATE in check.tables for check in checks))
        results = tuple(run_check(check, evidence, self._teeth) for check in checks)
        self._checks.extend(results)
        problem = self.describe(results)
        if problem:
            self._fail(problem)
        return results

    def judge_standing(self) -> tuple[CheckResult, ...]:
        """Run the plugin's own checks over everything that was recorded, and keep what they said.

        Records that only a local artifact holds are among it.
        """
        # Probed, although no standing check looks at the steady state: this is what is kept.
        evidence = self._final = self.collect()
        evidence = evidence.with_table("records", triage_records(evidence))
        checks = standing_checks(expected_faulty=frozenset(self._faulty))
        self._standing = tuple(run_check(check, evidence, self._teeth) for check in checks)
        return self._standing

    def request_ids(self, evidence: Evidence) -> tuple[str, ...]:
        """Return the requests that the records name, in order of appearance."""
        found = (row.get("requestId") for row in evidence.table("records"))
        return tuple(dict.fromkeys(value for value in found if isinstance(value, str) and value))

    def describe(self, results: Iterable[CheckResult]) -> str:
        """Return, for people, what is wrong with these results and not waived; empty if nothing is."""
        wrong = [result for result in results if not result.passed and not self._waived(result)]
        if not wrong:
            return ""
        noun = "check does" if len(wrong) == 1 else "checks do"
        lines = self._lines or {}
        texts = (result.render(lines.get(result.line or "")) for result in wrong)
        return "\n\n".join([f"{self._title}: {len(wrong)} {noun} not hold", *texts])

    def _fail(self, problem: str) -> None:
        try:
            pytest.fail(problem, pytrace=False)
        except pytest.fail.Exception as failure:
            self._refusal = failure
            raise

    def _refuse_unknown_line(self, check: Check) -> None:
        if self._lines is None or check.line is None or check.line in self._lines:
            return
        from pytest_l402.boundary.text_safety import suggestion

        pytest.fail(
            f"{self._title}: {check.name} is to prove {check.line!r}, which is no line of the runbook"
            f"{suggestion(check.line, list(self._lines))}",
            pytrace=False,
        )


def _request_id(purchase: Any) -> str:
    return purchase if isinstance(purchase, str) else str(purchase.request_id)


def _read_local_artifact(path: Path) -> Row:
    from pytest_l402.boundary import read_json
    from pytest_l402.contract import LocalNodeArtifact

    return LocalNodeArtifact.decode(read_json(path)).to_row()
