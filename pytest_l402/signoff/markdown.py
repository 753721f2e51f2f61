"""Decides how a sign-off reads as Markdown: the verdict first, nothing from the evidence able to act as
markup.

Text that may come from outside stands in code spans, where neither HTML, links, mentions nor math are read;
tables hold only numbers, enums and escaped text of the catalogue.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Final

from pytest_l402.boundary.cleaning import flat
from pytest_l402.signoff.document_entries import CheckEntry, FileEntry, NodeEntry, RehearsalEntry, SystemEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import RehearsalState
from pytest_l402.signoff.manifest import MANIFEST
from pytest_l402.signoff.wording import (
    VERDICT_WORDS,
    instant,
    part_words,
    plural,
    sentence,
    standing,
    tally,
    waiver_sentence,
)

_PUNCTUATION: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@]|:(?=//))")
_REASONS_SHOWN: Final = 50
_GREEN: Final = (RehearsalState.PASSED, RehearsalState.WAIVED)


def render_markdown(document: SignOffDocument, *, limit: int | None = None) -> str:
    """Return the report; with `limit` (bytes of UTF-8) sections that do not fit are left out, and named.

    Rehearsals that are not green come first, so that it is a passed one that is left out. The verdict
    always stays.
    """
    head = "\n".join(_head(document))
    sections = [(entry.id, "\n".join(_rehearsal(entry))) for entry in _reds_first(document)]
    tail = "\n".join(_tail(document))
    left_out: list[str] = []
    kept: list[str] = []
    # Every name might have to be listed as left out: room for that is kept from the start.
    notice = "".join(f"{name}, " for name, _ in sections)
    used = len(f"{head}\n{tail}\nLeft out to stay below the limit: {notice}\n".encode())
    for name, section in sections:
        size = len(section.encode()) + 1
        if limit is not None and used + size > limit:
            left_out.append(name)
            continue
        kept.append(section)
        used += size
    if left_out:
        kept.append(f"Left out to stay below the limit: {', '.join(left_out)}\n")
    return "\n".join([head, *kept, tail])


def prose(text: str) -> str:
    """Return catalogue text on one line with all Markdown and HTML punctuation escaped."""
    return _PUNCTUATION.sub(r"\\\1", flat(text))


def code(text: str) -> str:
    """Return any text on one line as a code span that it cannot end."""
    content = flat(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", content)), default=0) + 1)
    pad = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{pad}{content}{pad}{fence}"


def _reds_first(document: SignOffDocument) -> list[RehearsalEntry]:
    return sorted(document.rehearsals, key=lambda entry: entry.state in _GREEN)


def _head(document: SignOffDocument) -> Iterator[str]:
    run = document.run
    yield f"# L402 sign-off: {VERDICT_WORDS[document.verdict]}\n"
    yield f"{code(sentence(document))}\n"
    yield f"- run: {code(run.id)}, mode {code(run.mode)}, seed {code(run.seed)}, teeth {run.teeth}"
    yield f"- from {instant(run.started_at_ms)} to {instant(run.finished_at_ms)}"
    yield f"- exit status of pytest: {run.exit_status}"
    yield f"- required: {', '.join(document.catalogue.families)}, by {code(document.catalogue.source)}"
    yield f"- catalogue: sha256 {document.catalogue.sha256}"
    yield from (f"- {code(text)}" for text in standing(document))
    yield ""
    if document.systems:
        yield "## Tested systems\n"
        for system in document.systems:
            yield from _system(system)
        yield ""
    if document.reasons:
        yield "## Why not\n"
        yield from (f"- {code(reason.text)}" for reason in document.reasons[:_REASONS_SHOWN])
        if len(document.reasons) > _REASONS_SHOWN:
            yield f"- and {len(document.reasons) - _REASONS_SHOWN} more"
        yield ""
    if document.waivers:
        yield "## Waivers\n"
        yield from (f"- {code(waiver_sentence(waiver))}" for waiver in document.waivers)
        yield ""
    yield "## Rehearsals\n"
    yield "| rehearsal | runbook | section | state | proven |"
    yield "|---|---|---|---|---|"
    for entry in document.rehearsals:
        yield f"| {entry.id} | {entry.runbook} | {prose(entry.section)} | {entry.state} | {tally(entry)} |"
    yield ""


def _system(system: SystemEntry) -> Iterator[str]:
    pinned = code(system.digest or "") if system.pinned == "by-digest" else "not pinned"
    tests = plural(system.tests, "test")
    yield f"- {code(system.name)} {code(system.version)}, {pinned}, in {tests}"
    checks = ", ".join(code(name) for name in system.standing_checks) or "none"
    yield f"  - standing checks: {checks}"
    for part in system.parts:
        yield f"  - {code(part_words(part))}, in {plural(part.tests, 'test')}"


def _rehearsal(entry: RehearsalEntry) -> Iterator[str]:
    yield f"## {entry.id}: {entry.state}\n"
    yield f"{prose(entry.title)} ({entry.kind}, runbook {entry.runbook}, section {prose(entry.section)})\n"
    for reason in entry.reasons:
        waived = f" (waived by {code(reason.waived_by)})" if reason.waived_by else ""
        yield f"- {reason.code}: {code(reason.text)}{waived}"
    if entry.reasons:
        yield ""
    for line in entry.lines:
        by = f", by {', '.join(code(name) for name in line.proven_by)}" if line.proven_by else ""
        yield f"- {line.state} {code(line.id)} (section {prose(line.section)}): {prose(line.text)}{by}"
    yield ""
    for node in entry.nodes:
        yield from _node(node)


def _node(node: NodeEntry) -> Iterator[str]:
    phases = ", ".join(f"{phase} {outcome}" for phase, outcome in node.phases.items())
    yield f"### {code(node.nodeid)}\n"
    yield f"- phases: {code(phases)}"
    if node.request_ids:
        yield f"- request ids: {', '.join(code(request_id) for request_id in node.request_ids)}"
    if node.own_rows:
        own = (f"{code(table)} {plural(rows, 'row')}" for table, rows in node.own_rows.items())
        yield f"- recorded by the test itself: {', '.join(own)}"
    for request_id, shown in node.expected_faults.items():
        how = "did not show" if shown is None else f"showed as {code(shown)}"
        yield f"- fault expected for {code(request_id)}: {how}"
    for check in node.checks:
        yield from _check(check)
    for noted in node.shortfalls:
        yield f"- falls short of {code(noted.line.id)}: {code(noted.seen)}, in {code(noted.where)}"
        yield f"  - do {code(noted.remedy)}"
    if node.evidence:
        yield f"- evidence: {_files(node.evidence)}"
    yield ""


def _files(recorded: Sequence[FileEntry]) -> str:
    folder = posixpath.commonpath(posixpath.dirname(file.path) for file in recorded)
    total = sum(file.bytes for file in recorded)
    return f"{plural(len(recorded), 'file')} in {code(folder)}, {plural(total, 'byte')}"


def _check(check: CheckEntry) -> Iterator[str]:
    cited = f" for {code(check.line.id)}" if check.line else ""
    killed = plural(len(check.mutants_killed), "mutant")
    rows = plural(check.rows, "row") + (f" of {code(check.moment)}" if check.moment else "")
    yield f"- {check.state} {code(check.name)}{cited}, {rows}, {killed} killed"
    for violation in check.violations:
        yield f"  - expected {code(violation.expected)}"
        yield f"  - seen {code(violation.seen)}"
        yield f"  - where {code(violation.where)}"
        yield f"  - do {code(violation.remedy)}"
    for ended, mutants in (
        ("not noticed", check.mutants_survived),
        ("noticed for another reason", check.mutants_wrong_reason),
        ("not applicable", check.mutants_not_applicable),
    ):
        for mutant in mutants:
            yield f"  - mutant {ended}: {code(mutant.name)} ({code(mutant.detail)})"
    for canary in check.canaries:
        if canary.seen is not canary.due:
            yield f"  - canary {canary.seen}, where it ought to be one that {canary.due}: {code(canary.name)}"


def _tail(document: SignOffDocument) -> Iterator[str]:
    yield "## Evidence\n"
    counts = document.counts
    yield f"{plural(counts.evidence_files, 'evidence file')}, {plural(counts.evidence_bytes, 'byte')}. "
    yield "This page is a view; the JSON beside it is the record, and names every mutant and file."
    yield "To see that nothing was changed since:\n"
    yield f"```sh\nsha256sum -c {MANIFEST}\n```\n"
    yield f"Versions: {', '.join(f'{name} {code(version)}' for name, version in document.versions.items())}"
    yield ""
