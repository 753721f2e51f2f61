"""Decides what the terminal section `l402 sign-off` says: words first, the verdict and the path last."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pytest_l402.boundary.cleaning import flat
from pytest_l402.signoff.document_model import RehearsalEntry, SignOffDocument
from pytest_l402.signoff.judged import RehearsalState, Verdict
from pytest_l402.signoff.wording import (
    VERDICT_WORDS,
    plural,
    sentence,
    standing,
    tally,
    told_of_the_run,
    waiver_sentence,
)

Tone = Literal["good", "bad", "warn", "plain"]

_STATE_TONE: Final[dict[RehearsalState, Tone]] = {
    RehearsalState.PASSED: "good",
    RehearsalState.WAIVED: "warn",
    RehearsalState.NOT_RUN: "warn",
    RehearsalState.INCOMPLETE: "warn",
    RehearsalState.FAILED: "bad",
}
_VERDICT_TONE: Final[dict[Verdict, Tone]] = {
    Verdict.SIGNED_OFF: "good",
    Verdict.NOT_SIGNED_OFF: "bad",
    Verdict.INCOMPLETE: "bad",
    Verdict.DRILL: "warn",
}
_REASONS_SHOWN: Final = 5
_NARROWEST: Final = 40


@dataclass(frozen=True, slots=True)
class TerminalLine:
    """One line and how to tint it."""

    text: str
    tone: Tone


def terminal_lines(
    document: SignOffDocument, *, width: int, path: str | None, brief: bool = False
) -> tuple[TerminalLine, ...]:
    """Return the lines of the section, at most `width` columns wide (40 at least); a longer word, such as a
    node id, stays whole to be copied. `brief` leaves the verdict and the path.

    `path` is where the document is or will be and stands alone on the last line, unbroken, to be copied;
    None if nothing is written.
    """
    lines: list[TerminalLine] = []
    width = max(width, _NARROWEST)
    paragraphs = tuple(_paragraphs(document))
    for text, tone, indent in paragraphs[-1:] if brief else paragraphs:
        lines.extend(TerminalLine(part, tone) for part in _wrap(flat(text), width, indent))
    if path is not None:
        lines.append(TerminalLine(flat(path), "plain"))
    return tuple(lines)


def _paragraphs(document: SignOffDocument) -> Iterator[tuple[str, Tone, int]]:
    for entry in document.rehearsals:
        if entry.nodes:
            yield f"{entry.state}  {entry.id}  {tally(entry)}", _STATE_TONE[entry.state], 0
            yield from _reasons(entry)
            yield from _shortfalls(entry)
        elif document.verdict is not Verdict.DRILL:
            required = entry.need == "required"
            tone = _STATE_TONE[entry.state] if required else "plain"
            yield f"{entry.state}  {entry.id}  {entry.need}, no result", tone, 0
            if required:
                yield from _reasons(entry)
    for waiver in document.waivers:
        yield f"waiver: {waiver_sentence(waiver)}", "bad" if waiver.effect == "expired" else "warn", 0
    for reason in told_of_the_run(document):
        yield reason.text, "bad", 0
    if document.verdict is Verdict.DRILL:
        yield f"narrowed by: {', '.join(document.run.narrowed_by)}", "warn", 0
    yield " ".join(standing(document)), "plain", 0
    yield f"{VERDICT_WORDS[document.verdict]}: {sentence(document)}", _VERDICT_TONE[document.verdict], 0


def _reasons(entry: RehearsalEntry) -> Iterator[tuple[str, Tone, int]]:
    for reason in entry.reasons[:_REASONS_SHOWN]:
        waived = f" (waived by {reason.waived_by})" if reason.waived_by else ""
        yield f"{reason.text}{waived}", "warn" if reason.waived_by else "plain", 4
    if len(entry.reasons) > _REASONS_SHOWN:
        more = plural(len(entry.reasons) - _REASONS_SHOWN, "more reason")
        yield f"and {more} in the report", "plain", 4


def _shortfalls(entry: RehearsalEntry) -> Iterator[tuple[str, Tone, int]]:
    for noted in (noted for node in entry.nodes for noted in node.shortfalls):
        yield f"falls short of {noted.line.id}: {noted.seen}, in {noted.where}", "warn", 4


def _wrap(text: str, width: int, indent: int) -> Iterator[str]:
    """Indent and break at spaces; later lines hang by 4."""
    line, hanging = " " * indent, " " * (indent + 4)
    for word in text.split(" "):
        candidate = f"{line} {word}" if line.strip() else f"{line}{word}"
        if _columns(candidate) <= width:
            line = candidate
            continue
        if line.strip():
            yield line.rstrip()
            line = hanging
        line += word
    yield line.rstrip()


def _columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
