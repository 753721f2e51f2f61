"""Decides what stands on the page of a run, and in which order: the verdict, what it rests on, each
rehearsal, how to verify it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_l402.boundary.pages import render
from pytest_l402.signoff.catalogue import LineSource
from pytest_l402.signoff.document_entries import LineState, NodeEntry, RehearsalEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import Verdict
from pytest_l402.signoff.manifest import MANIFEST
from pytest_l402.signoff.page.anchors import anchors_of
from pytest_l402.signoff.page.cards import MAX_TESTS, TONES, Card, card_of, entry_tests, first
from pytest_l402.signoff.page.kept_rows import MAX_RECORDS, KeptRows, allotted, records_of
from pytest_l402.signoff.wording import (
    VERDICT_WORDS,
    instant,
    mode_words,
    part_words,
    plural,
    sentence,
    signature_words,
    told_of_the_run,
    waiver_sentence,
)

_TEMPLATE: Final = "signoff/templates/signoff.html"
_MAX_REASONS: Final = 20
_LOOK: Final = {
    Verdict.SIGNED_OFF: ("good", "\u2714"),
    Verdict.NOT_SIGNED_OFF: ("bad", "\u2718"),
    Verdict.INCOMPLETE: ("bad", "\u25cc"),
    Verdict.DRILL: ("warn", "\u25c7"),
}


@dataclass(frozen=True, slots=True)
class Lines:
    """How many lines of one source were to be proven, were, and stand only by a waiver."""

    source: str
    asked: int
    proven: int
    waived: int


@dataclass(frozen=True, slots=True)
class RunbookRow:
    """One runbook: how many of its rehearsals passed, of how many."""

    id: str
    title: str
    cards: tuple[Card, ...]
    passed: int


def render_page(document: SignOffDocument, folder: Path) -> str:
    """Return the page of a run whose evidence lies below `folder`; the same bytes for the same run.

    Of evidence that cannot be read it says so. It shows at most `MAX_RECORDS` records, and says what it
    leaves out.
    """
    kept = KeptRows(folder)
    anchors = anchors_of(document.rehearsals)
    told = [entry for entry in document.rehearsals if _is_told(entry, document)]
    shown_nodes = [
        node
        for entry in sorted(told, key=lambda entry: TONES[entry.state] == "good")
        for node in entry_tests(entry)[:MAX_TESTS]
    ]
    allowed = allotted(shown_nodes)

    def allowed_of(node: NodeEntry) -> int:
        return allowed.get(node.nodeid, 0)

    cards = [
        card_of(entry, anchor, kept, allowed_of, document.waivers)
        for entry, anchor in zip(document.rehearsals, anchors, strict=True)
        if _is_told(entry, document)
    ]
    records = sum(records_of(node) for entry in document.rehearsals for node in entry.nodes)
    tone, glyph = _LOOK[document.verdict]
    return render(
        _TEMPLATE,
        document=document,
        run=document.run,
        verdict=VERDICT_WORDS[document.verdict],
        tone=tone,
        glyph=glyph,
        sentence=sentence(document),
        began=instant(document.run.started_at_ms),
        took_ms=max(document.run.finished_at_ms - document.run.started_at_ms, 0),
        reasons=first(told_of_the_run(document), _MAX_REASONS),
        red=[card for card in cards if card.tone != "good"],
        lines=_lines(document),
        runbooks=_runbooks(document, cards),
        cards=cards,
        not_told=len(document.rehearsals) - len(cards),
        tones=TONES,
        records=records,
        records_shown=sum(allowed.values()),
        max_records=MAX_RECORDS,
        manifest=MANIFEST,
        part_words=part_words,
        plural=plural,
        waiver_sentence=waiver_sentence,
        mode=mode_words(document),
        signature=signature_words(document),
        instant=instant,
        proven_by=_by_factory,
    )


def _is_told(entry: RehearsalEntry, document: SignOffDocument) -> bool:
    """A drill speaks of what it ran alone; every other run also of what it was to run."""
    return bool(entry.nodes) or (document.verdict is not Verdict.DRILL and entry.need == "required")


def _by_factory(names: Sequence[str]) -> list[tuple[str, int]]:
    """The checks of these names without what each was about, and how many there are of each."""
    return [*Counter(name.partition("(")[0] for name in names).items()]


def _lines(document: SignOffDocument) -> tuple[Lines, ...]:
    """The lines that the required rehearsals were to prove, by who asks for them; a line counts once."""
    found: dict[tuple[str, str], tuple[LineSource, list[LineState]]] = {}
    for entry in document.rehearsals:
        if _is_told(entry, document):
            for line in entry.lines:
                found.setdefault((entry.runbook, line.id), (line.source, []))[1].append(line.state)
    return tuple(
        Lines(
            source.value,
            asked=len(states := [told for asked_by, told in found.values() if asked_by is source]),
            proven=sum(all(state is LineState.PROVEN for state in told) for told in states),
            waived=sum(LineState.WAIVED in told for told in states),
        )
        for source in LineSource
    )


def _runbooks(document: SignOffDocument, cards: list[Card]) -> tuple[RunbookRow, ...]:
    by_runbook: dict[str, list[Card]] = {}
    for card in cards:
        by_runbook.setdefault(card.entry.runbook, []).append(card)
    return tuple(
        RunbookRow(
            name,
            document.catalogue.runbooks.get(name, name),
            tuple(own),
            sum(card.tone == "good" for card in own),
        )
        for name, own in by_runbook.items()
    )
