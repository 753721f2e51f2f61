"""Decides the form of each entry of `signoff.json`.

Instants are epoch milliseconds, sizes bytes, digests SHA-256 in lower hex. What may be absent is null, never
left out. No verdict is a bare boolean.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from pytest_l402.boundary.cleaning import CleanText
from pytest_l402.evidence.check import AtFault, Fate
from pytest_l402.signoff.catalogue import LineSource, RehearsalKind
from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict
from pytest_l402.signoff.waivers import WaiverTarget

_LEAVES: Final = re.compile(r"\A[./]*\Z|\A/|(?:\A|/)\.\.(?:/|\Z)|\0")


class SignerStanding(StrEnum):
    """Whether whoever signs has a part in what was tested; nobody can tell but the signer."""

    PARTY = "party"
    OUTSIDER = "outsider"
    UNSTATED = "unstated"


class CheckState(StrEnum):
    """Whether a check held, was violated, or held without having been shown able to fail."""

    HELD = "HELD"
    """Nothing was found wrong with the evidence, and every alteration of it was noticed."""
    VIOLATED = "VIOLATED"
    """The evidence is not as the check expects, or the check cannot be trusted."""
    TOOTHLESS = "TOOTHLESS"
    """Nothing was found wrong, and nothing shows that the check is able to fail."""


class LineState(StrEnum):
    """Whether a runbook line was proven, is covered by a waiver, or neither."""

    PROVEN = "PROVEN"
    """Every check that is tied to the line held."""
    WAIVED = "WAIVED"
    """The line is not proven, and a waiver covers that."""
    UNPROVEN = "UNPROVEN"
    """No check that is tied to the line held, or not every one."""


def _inside(path: str) -> str:
    if _LEAVES.search(path) is not None:
        raise ValueError("expected a path below the run folder")
    return path


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
InsidePath = Annotated[str, AfterValidator(_inside)]
Count = Annotated[int, Field(ge=0)]


class Entry(BaseModel):
    """What all entries are: exact, closed, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, from_attributes=True)


class ReasonEntry(Entry):
    """Why something is not green; `waived_by` names the waiver that covers it ("<target> <name>")."""

    code: ReasonCode
    text: CleanText
    rehearsal: str | None
    check: CleanText | None
    line: str | None
    waived_by: CleanText | None


class LineEntry(Entry):
    """One runbook line that a rehearsal must prove, and the checks that proved it."""

    id: str
    section: CleanText
    text: CleanText
    source: LineSource
    state: LineState
    proven_by: tuple[CleanText, ...]


class CitedLine(Entry):
    """The runbook line that a check says it proves."""

    id: CleanText
    section: CleanText
    text: CleanText


class ViolationEntry(Entry):
    """What a check found: what it expected, what it saw, where, and what to do.

    It is about the evidence, or about the check, which then cannot be trusted.
    """

    expected: CleanText
    seen: CleanText
    where: CleanText
    remedy: CleanText
    at_fault: AtFault = AtFault.EVIDENCE


class SurvivorEntry(Entry):
    """Altered evidence that a check did not notice, or not for what was altered."""

    name: CleanText
    detail: CleanText


class CanaryEntry(Entry):
    """Evidence of which it is known what an honest check makes of it: what is due, and what was seen."""

    name: CleanText
    due: Fate
    seen: Fate
    detail: CleanText


class RecipeEntry(Entry):
    """The call that builds a check: a factory of `pytest_l402.evidence`, or "module:function"."""

    factory: CleanText
    arguments: tuple[JsonValue, ...]
    named: dict[str, JsonValue]


class CheckEntry(Entry):
    """One check on one node: asked for by the test, or standing (brought by a system, and
    run over everything recorded).

    `moment` is one of the node's moments, whose tables it was judged on. `read` has the files of those that
    it needs, each with its number of rows; together these are `rows`. Without a `recipe` it cannot be built,
    and judged, again. Of its mutants, those of a wrong reason were killed by findings about something else
    than what was altered, and those that were not applicable altered nothing: one such is as bad as a
    survivor.
    """

    name: CleanText
    scope: Literal["asked", "standing"]
    line: CitedLine | None
    state: CheckState
    rows: Count
    moment: CleanText | None = None
    read: dict[InsidePath, Count] = {}
    recipe: RecipeEntry | None = None
    violations: tuple[ViolationEntry, ...]
    mutants_killed: tuple[CleanText, ...]
    mutants_wrong_reason: tuple[SurvivorEntry, ...] = ()
    mutants_survived: tuple[SurvivorEntry, ...]
    mutants_not_applicable: tuple[SurvivorEntry, ...] = ()
    canaries: tuple[CanaryEntry, ...] = ()


class ShortfallEntry(Entry):
    """One line of the runbook that a file, judged as reference, does not bear out."""

    line: CitedLine
    where: CleanText
    seen: CleanText
    remedy: CleanText


class FileEntry(Entry):
    """One evidence file below the run folder; `rows` is null where it is no table."""

    path: InsidePath
    sha256: Digest
    bytes: Count
    rows: Count | None = None


class NodeEntry(Entry):
    """One pytest node of a rehearsal.

    `moments` is the evidence of each moment at which checks were run: the files below `folder`, one a table.
    `own_rows` counts the rows that the test itself recorded, by table; all others are those of systems. For
    each request that was declared to meet a fault `expected_faults` has how that showed; null: it did not.
    `causes` has what its failure says, one line for each cause. `took_ms` is by the machine's clock; null
    where nobody measured.
    """

    nodeid: CleanText
    case: CleanText | None
    phases: dict[CleanText, CleanText]
    failure: CleanText | None
    file: CleanText | None
    line: int | None
    took_ms: Count | None = None
    checks: tuple[CheckEntry, ...]
    request_ids: tuple[CleanText, ...]
    shortfalls: tuple[ShortfallEntry, ...]
    folder: InsidePath | None = None
    moments: dict[CleanText, tuple[InsidePath, ...]] = {}
    own_rows: dict[CleanText, Count] = {}
    expected_faults: dict[CleanText, CleanText | None] = {}
    causes: tuple[CleanText, ...] = ()
    evidence: tuple[FileEntry, ...]


class RehearsalEntry(Entry):
    """One rehearsal of the catalogue."""

    id: str
    title: CleanText
    runbook: str
    family: str
    section: CleanText
    kind: RehearsalKind
    need: Literal["required", "optional"]
    state: RehearsalState
    reasons: tuple[ReasonEntry, ...]
    lines: tuple[LineEntry, ...]
    nodes: tuple[NodeEntry, ...]


class RunEntry(Entry):
    """The pytest run. Who started it and where is what the machine or its build service says of itself."""

    id: CleanText
    seed: CleanText
    mode: CleanText
    teeth: Literal["on", "off"]
    selection: Literal["full", "narrowed"]
    narrowed_by: tuple[CleanText, ...]
    exit_status: int
    started_at_ms: int
    finished_at_ms: int
    time_source: Literal["clock of the machine, self-asserted"]
    ran_by: CleanText | None = None
    ran_on: CleanText | None = None


class WindowEntry(Entry):
    """From when to when a sign-off may be relied on; `ended_by` says what ends it: its days, or a waiver."""

    not_before_ms: int
    not_after_ms: int
    ended_by: CleanText


class PreviousEntry(Entry):
    """The run before this one in the same output folder, by the SHA-256 of its `SHA256SUMS`.

    `found` says whether it was there: kept as it was, removed by the limit on what is kept, gone, or changed
    since. The last two are a gap in the chain of runs.
    """

    run_id: CleanText
    verdict: Verdict
    manifest_sha256: Digest
    found: Literal["kept", "removed", "gone", "changed"]


class ComparisonEntry(Entry):
    """The run that this one was compared with, what is less than it was then, and what else is different."""

    run_id: CleanText
    verdict: Verdict
    regressions: tuple[CleanText, ...]
    changes: tuple[CleanText, ...]


class PartEntry(Entry):
    """Who played a role, and in how many tests: its class, or its host when it is reached over a network.

    `distribution` is null for what is in no installed package; `file` says where that is written. `ours`
    means that it belongs to pytest-l402. `held_by` names the part that it was found in, `requests` counts how
    often it was asked for something; null where nobody counted.
    """

    role: CleanText
    name: CleanText
    distribution: CleanText | None
    version: CleanText | None
    ours: bool
    file: CleanText | None
    held_by: CleanText | None
    requests: Count | None = None
    tests: Count


class SystemEntry(Entry):
    """A system that was rehearsed, in how many tests, and what always held for it.

    `pinned` is "by-digest" only where `digest` is one that names content: sha256:<hex> or git:<commit>.
    """

    name: CleanText
    version: CleanText
    digest: CleanText | None
    pinned: Literal["by-digest", "no"]
    tests: Count
    standing_checks: tuple[CleanText, ...]
    parts: tuple[PartEntry, ...]


class ProjectEntry(Entry):
    """The project that holds the rehearsals: the commit that pins it, or why none does."""

    digest: CleanText | None
    not_pinned_because: CleanText | None


class CatalogueEntry(Entry):
    """The catalogue that says what was required, and its runbooks by title."""

    source: CleanText
    sha256: Digest
    families: tuple[str, ...]
    runbooks: dict[str, CleanText]


class WaiverEntry(Entry):
    """An accepted gap, and whether anything was waived by it in this run."""

    target: WaiverTarget
    name: CleanText
    owner: CleanText
    reason: CleanText
    until: str
    source: CleanText
    effect: Literal["waived", "unused", "expired"]


class CountsEntry(Entry):
    """Totals over the document, which must agree with it."""

    rehearsals: dict[RehearsalState, Count]
    checks: Count
    violations: Count
    mutants_killed: Count
    mutants_wrong_reason: Count = 0
    mutants_survived: Count
    mutants_not_applicable: Count = 0
    canaries: Count = 0
    evidence_files: Count
    evidence_bytes: Count
