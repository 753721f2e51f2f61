"""Decides what one rehearsal node and one run leave behind for the verdict, and how that crosses a process
border.

Under xdist only exact builtins pass the wire, so `to_json` yields text. That text is redacted already,
because what travels in a report's `user_properties` also reaches JUnit and JSON reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pytest_l402.boundary.cleaning import clean_text
from pytest_l402.evidence.check import CheckResult, MutantResult, Violation
from pytest_l402.evidence.parts import Part
from pytest_l402.evidence.system import AttachedSystem

PHASES: Final = ("setup", "call", "teardown")
"""The phases that a node must have passed, each exactly once."""


class ResultError(ValueError):
    """A serialised result does not have the form that `to_json` writes."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One evidence file: its path below the run folder (POSIX separators), SHA-256 in lower hex, and size
    in bytes.
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class NotedShortfall:
    """One line of the runbook that a file, judged as reference, does not bear out: where, what was seen, what
    to do. It fails nothing; it says how far the file can be relied on.
    """

    line: str
    where: str
    seen: str
    remedy: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> NotedShortfall:
        """Read a row of the table `shortfalls`."""
        return cls(
            str(row["line"]), f"{row['file']} line {row['atLine']}", str(row["seen"]), str(row["remedy"])
        )


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What one pytest node of a rehearsal did.

    `phases` maps "setup", "call", "teardown" to pytest's outcome ("passed", "failed", "skipped", "rerun");
    a phase that never ran is absent. `skipped` and `xfail` hold the reason given (may be ""), or None if
    neither applies; an unexpected pass counts as `xfail` too. `reran` counts repeated attempts. `checks`
    are those that the test asked for, `standing` those that its systems brought. `systems` is empty if none
    was attached. `line` counts from 1.
    """

    nodeid: str
    rehearsal: str
    case: str | None = None
    phases: Mapping[str, str] = field(default_factory=dict)
    skipped: str | None = None
    xfail: str | None = None
    reran: int = 0
    failed_subtests: int = 0
    skipped_subtests: int = 0
    checks: tuple[CheckResult, ...] = ()
    standing: tuple[CheckResult, ...] = ()
    systems: tuple[AttachedSystem, ...] = ()
    request_ids: tuple[str, ...] = ()
    shortfalls: tuple[NotedShortfall, ...] = ()
    evidence_files: tuple[RecordedFile, ...] = ()
    failure: str | None = None
    file: str | None = None
    line: int | None = None

    def to_json(self) -> str:
        """Return one line of JSON, redacted, that `from_json` reads back."""
        return json.dumps(
            {
                "nodeid": self.nodeid,
                "rehearsal": self.rehearsal,
                "case": self.case,
                "phases": dict(self.phases),
                "skipped": _clean(self.skipped),
                "xfail": _clean(self.xfail),
                "reran": self.reran,
                "failed_subtests": self.failed_subtests,
                "skipped_subtests": self.skipped_subtests,
                "checks": [_check_to_plain(check) for check in self.checks],
                "standing": [_check_to_plain(check) for check in self.standing],
                "systems": [_system_to_plain(system) for system in self.systems],
                "request_ids": [clean_text(request_id) for request_id in self.request_ids],
                "shortfalls": [
                    {name: clean_text(value) for name, value in asdict(shortfall).items()}
                    for shortfall in self.shortfalls
                ],
                "evidence_files": [
                    {"path": recorded.path, "sha256": recorded.sha256, "bytes": recorded.bytes}
                    for recorded in self.evidence_files
                ],
                "failure": _clean(self.failure),
                "file": self.file,
                "line": self.line,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> NodeResult:
        """Read what `to_json` wrote; raises `ResultError` for anything else."""
        plain = _load(text, "node result")
        try:
            return cls(
                **{
                    **plain,
                    "checks": tuple(_check_from_plain(check) for check in plain["checks"]),
                    "standing": tuple(_check_from_plain(check) for check in plain["standing"]),
                    "systems": tuple(_system_from_plain(system) for system in plain["systems"]),
                    "request_ids": tuple(plain["request_ids"]),
                    "shortfalls": tuple(NotedShortfall(**noted) for noted in plain["shortfalls"]),
                    "evidence_files": tuple(RecordedFile(**recorded) for recorded in plain["evidence_files"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ResultError(
                f"expected a node result as to_json writes it, saw a misfit: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of the whole pytest run, apart from its nodes.

    `narrowed_by` says in words why fewer rehearsals were selected than the catalogue requires (empty = a
    full run), e.g. "-k cache". `collected` and `deselected` map node ids of rehearsal items to their
    rehearsal id. `exit_status` is pytest's own, before the plugin adds its veto. `interrupted` covers
    Ctrl-C and `pytest.exit`. Instants are epoch milliseconds of the machine's clock.
    """

    run_id: str
    seed: str
    mode: str
    started_at_ms: int
    finished_at_ms: int
    exit_status: int
    teeth: bool = True
    interrupted: bool = False
    narrowed_by: tuple[str, ...] = ()
    collected: Mapping[str, str] = field(default_factory=dict)
    deselected: Mapping[str, str] = field(default_factory=dict)
    collect_errors: tuple[str, ...] = ()
    worker_crashes: tuple[str, ...] = ()
    internal_errors: tuple[str, ...] = ()
    evidence_faults: tuple[str, ...] = ()

    @property
    def narrowed(self) -> bool:
        """Whether this is a drill: it selected less than the catalogue requires, so it can never sign off."""
        return bool(self.narrowed_by)

    def to_json(self) -> str:
        """Return one line of JSON that `from_json` reads back."""
        return json.dumps(
            {
                "run_id": self.run_id,
                "seed": self.seed,
                "mode": self.mode,
                "started_at_ms": self.started_at_ms,
                "finished_at_ms": self.finished_at_ms,
                "exit_status": self.exit_status,
                "teeth": self.teeth,
                "interrupted": self.interrupted,
                "narrowed_by": _clean_all(self.narrowed_by),
                "collected": dict(self.collected),
                "deselected": dict(self.deselected),
                "collect_errors": _clean_all(self.collect_errors),
                "worker_crashes": _clean_all(self.worker_crashes),
                "internal_errors": _clean_all(self.internal_errors),
                "evidence_faults": _clean_all(self.evidence_faults),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> RunFacts:
        """Read what `to_json` wrote; raises `ResultError` for anything else."""
        plain = _load(text, "run facts")
        lists = ("narrowed_by", "collect_errors", "worker_crashes", "internal_errors", "evidence_faults")
        try:
            return cls(**{**plain, **{name: tuple(plain[name]) for name in lists}})
        except (KeyError, TypeError) as error:
            raise ResultError(f"expected run facts as to_json writes them, saw a misfit: {error}") from error


def _clean(text: str | None) -> str | None:
    return None if text is None else clean_text(text)


def _clean_all(texts: Sequence[str]) -> list[str]:
    return [clean_text(text) for text in texts]


def _load(text: str, what: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise ResultError(
            f"expected {what} as JSON text, saw {len(text)} characters that are not: {error}"
        ) from error
    if not isinstance(plain, dict):
        raise ResultError(f"expected {what} as a JSON object, saw {type(plain).__name__}")
    return plain


def _check_to_plain(check: CheckResult) -> dict[str, Any]:
    return {
        "name": clean_text(check.name),
        "line": check.line,
        "rows": check.rows,
        "violations": [
            {
                "check": clean_text(violation.check),
                "line": violation.line,
                "expected": clean_text(violation.expected),
                "seen": clean_text(violation.seen),
                "where": clean_text(violation.where),
                "remedy": clean_text(violation.remedy),
            }
            for violation in check.violations
        ],
        "mutants": [
            {"name": clean_text(mutant.name), "killed": mutant.killed, "detail": clean_text(mutant.detail)}
            for mutant in check.mutants
        ],
    }


def _check_from_plain(plain: dict[str, Any]) -> CheckResult:
    return CheckResult(
        name=plain["name"],
        line=plain["line"],
        rows=plain["rows"],
        violations=tuple(Violation(**violation) for violation in plain["violations"]),
        mutants=tuple(MutantResult(**mutant) for mutant in plain["mutants"]),
    )


def _system_to_plain(system: AttachedSystem) -> dict[str, Any]:
    return {
        "name": clean_text(system.name),
        "version": clean_text(system.version),
        "digest": _clean(system.digest),
        "parts": [
            {
                name: clean_text(value) if isinstance(value, str) else value
                for name, value in asdict(part).items()
            }
            for part in system.parts
        ],
        "standing_checks": _clean_all(system.standing_checks),
    }


def _system_from_plain(plain: dict[str, Any]) -> AttachedSystem:
    return AttachedSystem(
        name=plain["name"],
        version=plain["version"],
        digest=plain["digest"],
        parts=tuple(Part(**part) for part in plain["parts"]),
        standing_checks=tuple(plain["standing_checks"]),
    )
