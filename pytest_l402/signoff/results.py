"""Decides what one rehearsal node and one run leave behind for the verdict, and how that crosses a process
border.

Under xdist only exact builtins pass the wire, so `to_json` yields text. That text is redacted already,
because what travels in a report's `user_properties` also reaches JUnit and JSON reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from pytest_l402.boundary.cleaning import CleanedWhenWritten
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.system import AttachedSystem
from pytest_l402.evidence.told_forms import ToldForms

PHASES: Final = ("setup", "call", "teardown")
"""The phases that a node must have passed, each exactly once."""

RESULT_FILE: Final = "node.json"
"""The file in the evidence of a node that holds its result."""


class ResultError(ValueError):
    """A serialised result does not have the form that `to_json` writes."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One evidence file: its path below the run folder (POSIX separators), SHA-256 in lower hex, and size
    in bytes; of a table how many rows.
    """

    path: str
    sha256: str
    bytes: int
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class NotedShortfall:
    """One line of the runbook that a file, judged as reference, does not bear out: where, what was seen, what
    to do. It fails nothing; it says how far the file can be relied on.
    """

    line: CleanedWhenWritten
    where: CleanedWhenWritten
    seen: CleanedWhenWritten
    remedy: CleanedWhenWritten

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> NotedShortfall:
        """Read a row of the table `shortfalls`."""
        return cls(
            str(row["line"]), f"{row['file']} line {row['atLine']}", str(row["seen"]), str(row["remedy"])
        )


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class NodeResult:
    """What one pytest node of a rehearsal did.

    `phases` maps "setup", "call", "teardown" to pytest's outcome ("passed", "failed", "skipped", "rerun");
    a phase that never ran is absent. `skipped` and `xfail` hold the reason given (may be ""), or None if
    neither applies; an unexpected pass counts as `xfail` too. `reran` counts repeated attempts. `checks`
    are those that the test asked for, `standing` those that its systems brought. `systems` is empty if none
    was attached. `folder` is that of its evidence, below the run folder. `moments` says for each moment at
    which checks were run which files below `folder` hold its tables. `own_rows` counts by table what the test
    recorded itself. `expected_faults` maps requests that were to meet a fault to how it showed. `terms` are
    those under which it ran (`terms_of`), `declared` is what each system says of its tables (`told_forms`);
    None where that was not kept. `line` counts from 1. `took_ms` is
    how long setup, call and teardown took together.
    """

    nodeid: str
    rehearsal: str
    case: str | None = None
    phases: Mapping[str, str] = field(default_factory=dict)
    skipped: CleanedWhenWritten | None = None
    xfail: CleanedWhenWritten | None = None
    reran: int = 0
    failed_subtests: int = 0
    skipped_subtests: int = 0
    checks: tuple[CheckResult, ...] = ()
    standing: tuple[CheckResult, ...] = ()
    systems: tuple[AttachedSystem, ...] = ()
    request_ids: tuple[CleanedWhenWritten, ...] = ()
    shortfalls: tuple[NotedShortfall, ...] = ()
    evidence_files: tuple[RecordedFile, ...] = ()
    folder: str | None = None
    moments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own_rows: Mapping[str, int] = field(default_factory=dict)
    expected_faults: Mapping[CleanedWhenWritten, CleanedWhenWritten | None] = field(default_factory=dict)
    causes: tuple[CleanedWhenWritten, ...] = ()
    failure: CleanedWhenWritten | None = None
    file: str | None = None
    line: int | None = None
    took_ms: int | None = None
    terms: Mapping[CleanedWhenWritten, CleanedWhenWritten] = field(default_factory=dict)
    declared: ToldForms | None = None

    version: Literal[1] = 1

    def to_json(self) -> str:
        """Return one line of JSON, redacted, that `from_json` reads back."""
        return _NODE.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> NodeResult:
        """Read what `to_json` wrote; raises `ResultError` for anything else."""
        try:
            return _NODE.validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ResultError(
                f"expected a node result as to_json writes it, saw a misfit: {place}: {first['msg']}"
            ) from None


class _CitedLine(Protocol):
    """A line as catalogue and document have it."""

    @property
    def id(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def source(self) -> str: ...


def terms_of(
    *, mode: str, seed: str, catalogue: str, title: str, lines: Iterable[_CitedLine]
) -> dict[str, str]:
    """Return what a test was to do, and how, by the name of each term: what no evidence shows.

    `catalogue` is the SHA-256 of the catalogue, `title` that of the rehearsal, `lines` what it must prove.
    """
    terms = {"mode": mode, "seed": seed, "catalogue": catalogue, "title": title}
    for line in lines:
        terms |= {f"{line.id} {name}": str(getattr(line, name)) for name in ("section", "text", "source")}
    return terms


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of the whole pytest run, apart from its nodes.

    `narrowed_by` says in words why fewer rehearsals were selected than the catalogue requires (empty = a
    full run), e.g. "-k cache". `collected` and `deselected` map node ids of rehearsal items to their
    rehearsal id. `exit_status` is pytest's own, before the plugin adds its veto. `interrupted` covers
    Ctrl-C and `pytest.exit`. `distrust` says why nothing that the run says can be believed, `regressions`
    what is less than in the run that it was to be compared with. `ran_by` and
    `ran_on` are who started it, and where. Instants are epoch milliseconds of the machine's clock.
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
    distrust: tuple[str, ...] = ()
    regressions: tuple[str, ...] = ()
    ran_by: str | None = None
    ran_on: str | None = None

    @property
    def narrowed(self) -> bool:
        """Whether this is a drill: it selected less than the catalogue requires, so it can never sign off."""
        return bool(self.narrowed_by)


_NODE: Final = TypeAdapter(NodeResult)
