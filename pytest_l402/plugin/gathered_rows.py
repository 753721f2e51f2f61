"""Decides what counts as a row of one test's evidence, and whose it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pytest_l402.evidence import Evidence, EvidenceError, Row, System
from pytest_l402.evidence.checks.expected_faults import fault_shown
from pytest_l402.evidence.checks.planes import EXPECTED_FAULTS
from pytest_l402.evidence.checks.selecting import request_id_of
from pytest_l402.evidence.secret_scan import SECRET_SCAN, SecretScan
from pytest_l402.evidence.system import Attached, UnusableSystemError
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.shortfalls import shortfalls

if TYPE_CHECKING:
    from pytest_l402.evidence.fields import Form

STEADY_STATE: Final = "steady_state"
SHORTFALLS: Final = "shortfalls"
LOCAL_ARTIFACT: Final = "local_artifact"
RESULTS: Final = frozenset({SHORTFALLS, "reconcile_summary", "inspection", "reference_artifact"})
"""The tables into which fixtures of this package put what a procedure has returned."""


class GatheredRows:
    """The rows of one test: those of the systems attached to it, and what the test adds of its own.

    A table belongs to one of them, so that no row of a test's own proves what a system did.
    """

    def __init__(self, artifact_dir: Path) -> None:
        self._artifact_dir = artifact_dir
        self._systems: list[Attached] = []
        self._before: list[Row] = []
        self._recorded: dict[str, list[Row]] = {}
        self._results: dict[str, list[Row]] = {}
        self._kept_apart: set[tuple[str, str]] = set()
        self._expected: dict[str, str | None] = {}
        self._local_artifacts: list[Path] = []
        self._scan = SecretScan()

    @property
    def artifact_dir(self) -> Path:
        """Where the test writes artifacts; kept with its evidence, and copied to the artifact folder."""
        return self._artifact_dir

    def _attach(self, system: System) -> None:
        attached = Attached(system)
        if attached.name in (known.name for known in self._systems):
            raise UnusableSystemError(
                f"system {attached.name!r}: expected a name for each system of a test, saw it twice; "
                "attach it once, or name the two apart"
            )
        self._before.extend(attached.steady_state("before"))
        self._systems.append(attached)

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


def _told_injected(names: list[str] | None) -> str:
    if names is None:
        return "no system says what was injected"
    return f"injected: {', '.join(names)}" if names else "nothing was injected for it"


def _read_local_artifact(path: Path) -> Row:
    from pytest_l402.boundary import read_json
    from pytest_l402.contract import LocalNodeArtifact

    return LocalNodeArtifact.decode(read_json(path)).to_row()
