"""Decides how a sign-off reads as Markdown, on one screen: the verdict first, nothing from the evidence able
to act as markup.

Text that may come from outside stands in code spans, where neither HTML, links, mentions nor math are read;
tables hold only numbers, enums and escaped text of the catalogue. Everything else is on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from pytest_l402.boundary.cleaning import flat
from pytest_l402.signoff.document_entries import LineState, RehearsalEntry, SystemEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict
from pytest_l402.signoff.manifest import MANIFEST
from pytest_l402.signoff.page.anchors import anchors_of
from pytest_l402.signoff.wording import (
    VERDICT_WORDS,
    checks_of,
    instant,
    part_words,
    plural,
    sentence,
    standing,
    waiver_sentence,
)

_PUNCTUATION: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&@]|:(?=//))")
_REASONS_SHOWN: Final = 10
_WAIVERS_SHOWN: Final = 20
_WIDTH: Final = 400
_GREEN: Final = (RehearsalState.PASSED, RehearsalState.WAIVED)


def render_markdown(document: SignOffDocument, *, page: str | None = None, limit: int | None = None) -> str:
    """Return the report; with `page`, the name of the page beside it, it links there.

    With `limit` (bytes of UTF-8) rehearsals that do not fit are left out, and counted. Those that are not
    green come first, so that it is a passed one that is left out. The verdict always stays.
    """
    head, tail = "\n".join(_head(document, page)), "\n".join(_tail(document, page))
    rows = list(_rows(document, page))
    kept = len(rows)
    if limit is not None:
        room = limit - len(f"{head}\n{tail}\n{_left_out(len(rows))}".encode())
        kept = sum(size <= room for size in accumulate(len(row.encode()) + 1 for row in rows))
    more = [_left_out(len(rows) - kept)] if kept < len(rows) else []
    return "\n".join([head, *rows[:kept], *more, tail])


def prose(text: str) -> str:
    """Return catalogue text on one line with all Markdown and HTML punctuation escaped."""
    return _PUNCTUATION.sub(r"\\\1", flat(text))


def code(text: str) -> str:
    """Return any text on one line as a code span that it cannot end."""
    content = flat(text) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", content)), default=0) + 1)
    pad = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{pad}{content}{pad}{fence}"


def _short(text: str) -> str:
    told = flat(text)
    return code(told if len(told) <= _WIDTH else f"{told[: _WIDTH - 1]}…")


def _head(document: SignOffDocument, page: str | None) -> Iterator[str]:
    run = document.run
    yield f"# L402 sign-off: {VERDICT_WORDS[document.verdict]}\n"
    yield f"{_short(sentence(document))}\n"
    yield f"- run: {code(run.id)}, mode {code(run.mode)}, seed {code(run.seed)}, teeth {run.teeth}"
    yield f"- from {instant(run.started_at_ms)} to {instant(run.finished_at_ms)}"
    yield f"- exit status of pytest: {run.exit_status}"
    families = ", ".join(map(prose, document.catalogue.families))
    yield f"- required: {families}, by {code(document.catalogue.source)}"
    yield f"- catalogue: sha256 {document.catalogue.sha256}"
    yield from (f"- {_short(text)}" for text in standing(document))
    for system in document.systems:
        yield from _foreign_parts(system)
    for waiver in document.waivers[:_WAIVERS_SHOWN]:
        yield f"- waiver: {_short(waiver_sentence(waiver))}"
    if len(document.waivers) > _WAIVERS_SHOWN:
        yield f"- and {plural(len(document.waivers) - _WAIVERS_SHOWN, 'more waiver')}"
    yield ""
    if page is not None:
        yield f"**[The page]({page})** has each rehearsal with its lines, records, triage and evidence.\n"
    # That a drill did not run the rest is what it is.
    unsaid = {ReasonCode.REHEARSAL_MISSING} if document.verdict is Verdict.DRILL else set()
    reasons = [reason for reason in document.reasons if reason.code not in unsaid]
    if reasons:
        yield "## Why not\n"
        yield from (f"- {_short(reason.text)}" for reason in reasons[:_REASONS_SHOWN])
        if len(reasons) > _REASONS_SHOWN:
            yield f"- and {len(reasons) - _REASONS_SHOWN} more"
        yield ""
    yield "## Rehearsals\n"
    yield "| state | rehearsal | section | lines | checks | mutants killed |"
    yield "|---|---|---|---:|---:|---:|"


def _foreign_parts(system: SystemEntry) -> Iterator[str]:
    """Who played and is not ours: what a reader is least likely to expect."""
    for part in system.parts:
        if not part.ours:
            yield f"  - {_short(part_words(part))}, in {plural(part.tests, 'test')}"


def _rows(document: SignOffDocument, page: str | None) -> Iterator[str]:
    named = zip(document.rehearsals, anchors_of(document.rehearsals), strict=True)
    told = [each for each in named if each[0].nodes or document.verdict is not Verdict.DRILL]
    for entry, anchor in sorted(told, key=lambda each: each[0].state in _GREEN):
        # A page has no card for what did not run and was not to.
        has_card = page is not None and (entry.nodes or entry.need == "required")
        yield _row(entry, f"[{prose(entry.id)}]({page}#{anchor})" if has_card else prose(entry.id))


def _row(entry: RehearsalEntry, name: str) -> str:
    proven = sum(line.state is LineState.PROVEN for line in entry.lines)
    checks = checks_of(entry)
    killed = sum(len(check.mutants_killed) for check in checks)
    return (
        f"| {entry.state} | {name} | {prose(entry.runbook)} {prose(entry.section)} "
        f"| {proven} of {len(entry.lines)} | {len(checks)} | {killed} |"
    )


def _left_out(number: int) -> str:
    return f"\nLeft out to stay below the limit: {plural(number, 'rehearsal')}.\n"


def _tail(document: SignOffDocument, page: str | None) -> Iterator[str]:
    counts = document.counts
    yield f"\n{plural(counts.evidence_files, 'evidence file')}, {plural(counts.evidence_bytes, 'byte')}. "
    yield f"`{document.kind}.json` is the record, this is a view of it. To see that nothing was changed:\n"
    yield f"```sh\nsha256sum -c {MANIFEST}\n```\n"
    versions = (f"{prose(name)} {code(version)}" for name, version in document.versions.items())
    yield f"Versions: {', '.join(versions)}"
    yield ""
