"""Decides the form of `signoff.json`, and refuses a document whose parts contradict its verdict.

The form is versioned (`schema_version`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import model_validator

from pytest_l402.signoff.document_entries import (
    CatalogueEntry,
    CheckEntry,
    CheckState,
    ComparisonEntry,
    CountsEntry,
    Digest,
    Entry,
    LineState,
    NodeEntry,
    PreviousEntry,
    ProjectEntry,
    ReasonEntry,
    RehearsalEntry,
    RunEntry,
    SignerStanding,
    SystemEntry,
    WaiverEntry,
    WindowEntry,
)
from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict
from pytest_l402.signoff.results import PHASES

SCHEMA_VERSION: Final = "3"

_PINNING: Final = re.compile(r"sha256:[0-9a-f]{64}|git:([0-9a-f]{40}|[0-9a-f]{64})")


class DocumentKind(StrEnum):
    """What a document is; also the stem of its file name, so that a sign-off is never named by anything
    else.
    """

    SIGNOFF = "signoff"
    REFUSAL = "refusal"
    DRILL = "drill"

    @classmethod
    def of(cls, verdict: Verdict) -> DocumentKind:
        """Return the kind that belongs to a verdict."""
        kinds = {Verdict.SIGNED_OFF: cls.SIGNOFF, Verdict.DRILL: cls.DRILL}
        return kinds.get(verdict, cls.REFUSAL)


class SignOffDocument(Entry):
    """Everything that a verdict rests on. Construction fails if verdict, states and evidence contradict
    each other.

    `signed_by` is the key id of the signature beside it, `signer` whether whoever signs has a part in what
    was tested. `battery_sha256` pins the package that held the checks. Version 2 had none of these, and no
    `window`, so that its sign-offs have no end.
    """

    schema_version: Literal["2", "3"]
    kind: DocumentKind
    verdict: Verdict
    signature: Literal["UNSIGNED", "SIGNED"]
    signed_by: Digest | None = None
    signer: SignerStanding = SignerStanding.UNSTATED
    window: WindowEntry | None = None
    previous: PreviousEntry | None = None
    comparison: ComparisonEntry | None = None
    battery_sha256: Digest | None = None
    reasons: tuple[ReasonEntry, ...]
    run: RunEntry
    systems: tuple[SystemEntry, ...]
    project: ProjectEntry
    catalogue: CatalogueEntry
    versions: dict[str, str]
    counts: CountsEntry
    rehearsals: tuple[RehearsalEntry, ...]
    waivers: tuple[WaiverEntry, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        faults = [*_contradictions(self)]
        if faults:
            raise ValueError(f"the document contradicts itself: {'; '.join(faults)}")
        return self


def is_pinning(digest: str | None) -> bool:
    """Whether a digest names content, and so cannot be of two things: sha256:<64 hex> or git:<commit>."""
    return digest is not None and _PINNING.fullmatch(digest) is not None


def count(rehearsals: tuple[RehearsalEntry, ...]) -> CountsEntry:
    """Return the totals of these rehearsals; states that do not occur count 0."""
    states = Counter(entry.state for entry in rehearsals)
    nodes = [node for entry in rehearsals for node in entry.nodes]
    checks = [check for node in nodes for check in node.checks]
    return CountsEntry(
        rehearsals={state: states[state] for state in RehearsalState},
        checks=len(checks),
        violations=sum(len(check.violations) for check in checks),
        mutants_killed=sum(len(check.mutants_killed) for check in checks),
        mutants_wrong_reason=sum(len(check.mutants_wrong_reason) for check in checks),
        mutants_survived=sum(len(check.mutants_survived) for check in checks),
        mutants_not_applicable=sum(len(check.mutants_not_applicable) for check in checks),
        canaries=sum(len(check.canaries) for check in checks),
        evidence_files=sum(len(node.evidence) for node in nodes),
        evidence_bytes=sum(recorded.bytes for node in nodes for recorded in node.evidence),
    )


def _contradictions(document: SignOffDocument) -> list[str]:
    faults = []
    if document.kind is not DocumentKind.of(document.verdict):
        faults.append(f"kind {document.kind} with verdict {document.verdict}")
    if document.counts != count(document.rehearsals):
        faults.append("the counts are not those of the rehearsals")
    faults.extend(
        f"system {system.name} is said to be pinned {system.pinned} with digest {system.digest}"
        for system in document.systems
        if (system.pinned == "by-digest") != is_pinning(system.digest)
    )
    if (document.project.digest is None) == (document.project.not_pinned_because is None):
        faults.append("the project is pinned and is not, or neither")
    if (document.verdict is Verdict.DRILL) != (document.run.selection == "narrowed"):
        faults.append(f"verdict {document.verdict} for a {document.run.selection} run")
    if (document.signature == "SIGNED") != (document.signed_by is not None):
        faults.append(f"{document.signature} by {document.signed_by or 'no key'}")
    faults.extend(_wrong_window(document))
    less = () if document.comparison is None else document.comparison.regressions
    if less and all(reason.code is not ReasonCode.REGRESSION for reason in document.reasons):
        faults.append("regressions that are no reason")
    if document.verdict is Verdict.SIGNED_OFF:
        faults.extend(_against_sign_off(document))
    elif not document.reasons:
        faults.append(f"verdict {document.verdict} without a reason")
    for entry in document.rehearsals:
        faults.extend(fault for node in entry.nodes for fault in _misread(node))
        faults.extend(_proven_in_spite(entry))
        if entry.state is RehearsalState.PASSED:
            faults.extend(f"{entry.id} is PASSED but {fault}" for fault in _against_passed(entry))
        if entry.state is RehearsalState.WAIVED and not all(reason.waived_by for reason in entry.reasons):
            faults.append(f"{entry.id} is WAIVED but has a reason that no waiver covers")
    return faults


def _wrong_window(document: SignOffDocument) -> Iterator[str]:
    """A sign-off has an end, and nothing else has."""
    window = document.window
    if window is None:
        if document.verdict is Verdict.SIGNED_OFF and document.schema_version != "2":
            yield "SIGNED_OFF without an end"
        return
    if document.verdict is not Verdict.SIGNED_OFF:
        yield f"verdict {document.verdict} with an end"
    if not document.run.finished_at_ms == window.not_before_ms <= window.not_after_ms:
        yield (
            f"a window from {window.not_before_ms} to {window.not_after_ms} "
            f"after a run that ended at {document.run.finished_at_ms}"
        )


def _proven_in_spite(entry: RehearsalEntry) -> Iterator[str]:
    """A line is proven only if every check that is tied to it held, of whatever test."""
    checks = [check for node in entry.nodes for check in node.checks if not _held(check)]
    against = {check.line.id: check.name for check in checks if check.line is not None}
    for line in entry.lines:
        if line.state is LineState.PROVEN and line.id in against:
            yield f"line {line.id} of {entry.id} is PROVEN although {against[line.id]} did not hold"


def _misread(node: NodeEntry) -> Iterator[str]:
    """What the checks of a node are said to have read must be what is kept of that moment, row by row."""
    rows = {recorded.path: recorded.rows for recorded in node.evidence}
    kept = {name: {f"{node.folder}/{path}" for path in paths} for name, paths in node.moments.items()}
    for name, paths in kept.items():
        lost = sorted(path for path in paths if rows.get(path) is None)
        if lost:
            yield f"{node.nodeid} has no table {', '.join(lost)} of {name}"
    for check in node.checks:
        if check.moment is None and not check.read:
            continue
        if check.moment not in kept or not check.read.keys() <= kept[check.moment]:
            yield f"check {check.name} read what is not of {check.moment}"
        elif any(rows.get(path) != seen for path, seen in check.read.items()):
            yield f"check {check.name} read other rows than those of the evidence"
        elif check.rows != sum(check.read.values()):
            yield f"check {check.name} judged {check.rows} rows and read {sum(check.read.values())}"


def _against_sign_off(document: SignOffDocument) -> list[str]:
    faults = [f"SIGNED_OFF in spite of: {reason.text}" for reason in document.reasons]
    if document.run.exit_status != 0:
        faults.append(f"SIGNED_OFF with exit status {document.run.exit_status}")
    if document.run.teeth == "off":
        faults.append("SIGNED_OFF with teeth off")
    required = [entry for entry in document.rehearsals if entry.need == "required"]
    if not any(entry.state is RehearsalState.PASSED for entry in required):
        faults.append("SIGNED_OFF without a required rehearsal that passed")
    faults.extend(
        f"SIGNED_OFF though {entry.id} is {entry.state}"
        for entry in required
        if entry.state not in {RehearsalState.PASSED, RehearsalState.WAIVED}
    )
    faults.extend(
        f"SIGNED_OFF with a waiver that has ended: {waiver.target} {waiver.name}"
        for waiver in document.waivers
        if waiver.effect == "expired"
    )
    return faults


def _against_passed(entry: RehearsalEntry) -> list[str]:
    faults = [f"there is a reason against it: {reason.text}" for reason in entry.reasons]
    if not entry.nodes:
        faults.append("no node ran")
    for node in entry.nodes:
        if node.phases != dict.fromkeys(PHASES, "passed"):
            faults.append(f"{node.nodeid} did not pass setup, call and teardown")
        if not any(check.scope == "asked" for check in node.checks):
            faults.append(f"{node.nodeid} asked for no check")
        faults.extend(f"check {check.name} is not HELD" for check in node.checks if not _held(check))
    proven = {(check.line.id, check.name) for node in entry.nodes for check in node.checks if check.line}
    for line in entry.lines:
        if line.state is not LineState.PROVEN or not line.proven_by:
            by = " and ".join(line.proven_by) or "nobody"
            faults.append(f"line {line.id} is {line.state}, proven by {by}")
        faults.extend(
            f"line {line.id} is said to be proven by {name}, which did not run for it"
            for name in line.proven_by
            if (line.id, name) not in proven
        )
    return faults


def _held(check: CheckEntry) -> bool:
    return (
        check.state is CheckState.HELD
        and check.rows > 0
        and bool(check.mutants_killed)
        and not check.violations
        and not (check.mutants_survived or check.mutants_wrong_reason or check.mutants_not_applicable)
        and all(canary.seen is canary.due for canary in check.canaries)
    )
