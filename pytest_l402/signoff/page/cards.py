"""Decides what the page says of one rehearsal: its lines, what can fail of it, its times, and each test with
its evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pytest_l402.signoff.document_entries import (
    CheckEntry,
    CheckState,
    FileEntry,
    LineEntry,
    LineState,
    NodeEntry,
    ReasonEntry,
    RehearsalEntry,
    ShortfallEntry,
    WaiverEntry,
)
from pytest_l402.signoff.judged import RehearsalState
from pytest_l402.signoff.page.kept_rows import KeptRows, records_of
from pytest_l402.signoff.page.parity_table import ParityRow, parity_of
from pytest_l402.signoff.page.shown_records import ShownFault, ShownRequest, faults_of, show_requests
from pytest_l402.signoff.page.triage_tree import MAX_RECORDS as TRIAGED
from pytest_l402.signoff.page.triage_tree import Tree, trees_of
from pytest_l402.signoff.results import PHASES
from pytest_l402.signoff.wording import checks_of

T = TypeVar("T")

MAX_TESTS: Final = 300
"""How many tests of one rehearsal the page shows; those that failed are among them."""

_MAX_FILES, _MAX_FINDINGS, _MAX_NAMES, _MAX_TREES = 60, 10, 30, 6

TONES: Final = {
    RehearsalState.PASSED: "good",
    RehearsalState.WAIVED: "warn",
    RehearsalState.NOT_RUN: "warn",
    RehearsalState.INCOMPLETE: "warn",
    RehearsalState.FAILED: "bad",
}


@dataclass(frozen=True, slots=True)
class First(Generic[T]):
    """The first of many, and how many were left out."""

    items: tuple[T, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class CheckGroup:
    """A check of one name over all tests of a rehearsal: in how many, on how many rows, what it killed."""

    name: str
    tests: int
    held: int
    rows: int
    killed: int


@dataclass(frozen=True, slots=True)
class FaultTimes:
    """A fault of a test: when it came (epoch ms), and how long after that a record told of it and it went."""

    name: str
    injected_at_ms: int
    told_after_ms: int | None
    removed_after_ms: int | None


@dataclass(frozen=True, slots=True)
class ShownTest:
    """One test of a rehearsal; `is_open` where somebody must look."""

    entry: NodeEntry
    anchor: str
    name: str
    words: str
    tone: str
    is_open: bool
    checks: tuple[CheckEntry, ...]
    broken: tuple[CheckEntry, ...]
    faults: tuple[FaultTimes, ...]
    requests: tuple[ShownRequest, ...]
    records: int
    records_shown: int
    problem: str
    trees: First[Tree]
    parity: tuple[ParityRow, ...]
    files: First[FileEntry]
    request_ids: First[str]
    tables: tuple[tuple[str, int], ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Card:
    """One rehearsal."""

    entry: RehearsalEntry
    anchor: str
    tone: str
    reasons: First[ReasonEntry]
    lines: tuple[LineEntry, ...]
    proven: int
    standing: tuple[CheckGroup, ...]
    checks: int
    killed: int
    escaped: int
    canaries: int
    took_ms: int | None
    shortfalls: tuple[ShortfallEntry, ...]
    waivers: tuple[WaiverEntry, ...]
    tests: First[ShownTest]


def card_of(
    entry: RehearsalEntry,
    anchor: str,
    kept: KeptRows,
    allowed: Callable[[NodeEntry], int],
    waivers: Sequence[WaiverEntry],
) -> Card:
    """Return the card of a rehearsal; `allowed` says how many records of a test may be shown."""
    checks = checks_of(entry)
    tests = first(entry_tests(entry), MAX_TESTS)
    used = {reason.waived_by for reason in entry.reasons}
    return Card(
        entry=entry,
        anchor=anchor,
        tone=TONES[entry.state],
        reasons=first(entry.reasons, _MAX_FINDINGS),
        lines=entry.lines,
        proven=sum(line.state is LineState.PROVEN for line in entry.lines),
        standing=_standing(checks),
        checks=len(checks),
        killed=sum(len(check.mutants_killed) for check in checks),
        escaped=sum(map(_escaped, checks)),
        canaries=sum(len(check.canaries) for check in checks),
        took_ms=sum(took) if (took := [n.took_ms for n in entry.nodes if n.took_ms is not None]) else None,
        shortfalls=tuple(noted for node in entry.nodes for noted in node.shortfalls),
        waivers=tuple(waiver for waiver in waivers if f"{waiver.target} {waiver.name}" in used),
        tests=First(
            tuple(
                _test(node, f"{anchor}-t{number}", kept, allowed(node), entry.kind == "drill")
                for number, node in enumerate(tests.items, start=1)
            ),
            tests.left_out,
        ),
    )


def entry_tests(entry: RehearsalEntry) -> list[NodeEntry]:
    """Return the tests of a rehearsal, those that somebody must look at first."""
    return sorted(entry.nodes, key=_is_green)


def first(items: Iterable[T], limit: int) -> First[T]:
    """Return the first so many of these, and how many more there are."""
    told = tuple(items)
    return First(told[:limit], max(len(told) - limit, 0))


def _escaped(check: CheckEntry) -> int:
    return len(check.mutants_survived) + len(check.mutants_wrong_reason) + len(check.mutants_not_applicable)


def _is_green(node: NodeEntry) -> bool:
    passed = node.phases == dict.fromkeys(PHASES, "passed")
    return passed and all(check.state is CheckState.HELD for check in node.checks)


def _standing(checks: Sequence[CheckEntry]) -> tuple[CheckGroup, ...]:
    """The standing checks hold of everything that was recorded, test by test: they are told once a name."""
    tests: Counter[str] = Counter()
    held: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    for check in checks:
        if check.scope == "standing":
            tests[check.name] += 1
            held[check.name] += check.state is CheckState.HELD
            rows[check.name] += check.rows
            killed[check.name] += len(check.mutants_killed)
    return tuple(CheckGroup(name, tests[name], held[name], rows[name], killed[name]) for name in tests)


def _test(node: NodeEntry, anchor: str, kept: KeptRows, allowed: int, is_drill: bool) -> ShownTest:
    records = kept.final(node, "records")
    faults = faults_of(kept.final(node, "injected_faults"))
    problem = records.problem
    trees: tuple[Tree, ...] = ()
    parity: tuple[ParityRow, ...] = ()
    requests: tuple[ShownRequest, ...] = ()
    try:
        requests = show_requests(records.rows, faults, anchor, allowed)
        trees = trees_of(node, kept, records.rows, anchor, allowed) if is_drill else ()
        parity = parity_of(node, kept)
    except (TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        # A row that breaks its contract may hold anything: it is in the file, and its test says so.
        problem = problem or f"these records cannot be drawn: {type(error).__name__}"
    if is_drill and len(records.rows) > TRIAGED:
        problem = problem or f"more than {TRIAGED} records are not triaged here: ask pytest-l402 triage"
    green = _is_green(node)
    failed = "failed" in node.phases.values()
    return ShownTest(
        entry=node,
        anchor=anchor,
        name=node.case or node.nodeid,
        words="passed" if green else "failed" if failed else "not proven",
        tone="good" if green else "bad" if failed else "warn",
        is_open=not green,
        checks=tuple(check for check in node.checks if check.scope == "asked"),
        broken=tuple(check for check in node.checks if check.state is not CheckState.HELD),
        faults=tuple(_times(fault, trees) for fault in faults),
        requests=requests,
        records=records_of(node),
        records_shown=sum(len(request.records) for request in requests),
        problem=problem,
        trees=first(trees, _MAX_TREES),
        parity=parity,
        files=first(node.evidence, _MAX_FILES),
        request_ids=first(node.request_ids, _MAX_NAMES),
        tables=tuple(
            (file.path.rpartition("/")[2].removesuffix(".jsonl"), file.rows)
            for file in node.evidence
            if file.rows is not None and file.path.rpartition("/")[0] == node.folder
        ),
        rows=sum(file.rows or 0 for file in node.evidence),
    )


def _times(fault: ShownFault, trees: Sequence[Tree]) -> FaultTimes:
    told = [
        tree.decided_at_ms - fault.injected_at_ms
        for tree in trees
        if tree.decided_at_ms is not None
        and not tree.is_healthy
        and fault.request in (None, tree.request)
        and tree.decided_at_ms >= fault.injected_at_ms
    ]
    removed = None if fault.removed_at_ms is None else fault.removed_at_ms - fault.injected_at_ms
    return FaultTimes(fault.name, fault.injected_at_ms, min(told, default=None), removed)
