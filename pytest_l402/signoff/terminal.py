"""Decides what the terminal section `l402 sign-off` says: words first, the verdict and the path last."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pytest_l402.boundary.cleaning import flat
from pytest_l402.boundary.text_safety import commandless
from pytest_l402.signoff.document_entries import NodeEntry, RehearsalEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict
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
_TOLD_BY_CAUSES: Final = frozenset(
    {
        ReasonCode.CHECK_VIOLATED,
        ReasonCode.CHECK_UNTRUSTED,
        ReasonCode.MUTANT_SURVIVED,
    }
)
_REASONS_SHOWN: Final = 5
_CHANGES_SHOWN: Final = 10
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
    node id, stays whole to be copied. `brief` leaves a line for each failed test, the verdict and the path.

    `path` is where the document is or will be and stands alone on the last line, unbroken, to be copied;
    None if nothing is written.
    """
    lines: list[TerminalLine] = []
    width = max(width, _NARROWEST)
    *before, verdict = _paragraphs(document)
    for text, tone, indent in () if brief else before:
        lines.extend(TerminalLine(part, tone) for part in _wrap(flat(text), width, indent))
    # Next to the verdict, since the screen ends with it; pytest's summary has no room behind a long node id.
    lines.extend(TerminalLine(_cut(flat(text), width), "bad") for text in _failures(document))
    lines.extend(TerminalLine(part, verdict[1]) for part in _wrap(flat(verdict[0]), width, 0))
    if path is not None:
        lines.append(TerminalLine(flat(path), "plain"))
    return tuple(TerminalLine(commandless(line.text), line.tone) for line in lines)


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
    for change in document.comparison.changes[:_CHANGES_SHOWN] if document.comparison is not None else ():
        yield f"change: {change}", "plain", 0
    if document.verdict is Verdict.DRILL:
        yield f"narrowed by: {', '.join(document.run.narrowed_by)}", "warn", 0
    yield " ".join(standing(document)), "plain", 0
    yield f"{VERDICT_WORDS[document.verdict]}: {sentence(document)}", _VERDICT_TONE[document.verdict], 0


def _failures(document: SignOffDocument) -> Iterator[str]:
    """One line for each test that failed: which line of the runbook, which test, and how."""
    for node in (node for entry in document.rehearsals for node in entry.nodes):
        if "failed" in node.phases.values():
            if node.causes:
                line, _, said = node.causes[0].partition(": ")
            else:
                line, said = "FAILED", (node.failure or "").strip().partition("\n")[0]
            yield f"{line}  {_test(node)}  {said}"


def _test(node: NodeEntry) -> str:
    return node.case or node.nodeid


def _reasons(entry: RehearsalEntry) -> Iterator[tuple[str, Tone, int]]:
    told: list[tuple[str, Tone]] = [
        (f"{_test(node)}: {cause}", "plain") for node in entry.nodes for cause in node.causes
    ]
    # What a test found wrong is told by its causes; a test that told none is told by its reasons.
    silent = any(
        check.violations
        or check.mutants_survived
        or check.mutants_wrong_reason
        or check.mutants_not_applicable
        for node in entry.nodes
        if not node.causes
        for check in node.checks
    )
    telling = tuple(f"{node.nodeid} failed in " for node in entry.nodes if node.causes)
    for reason in entry.reasons:
        if reason.waived_by:
            told.append((f"{reason.text} (waived by {reason.waived_by})", "warn"))
        elif reason.code is ReasonCode.PHASE_FAILED:
            told += [] if reason.text.startswith(telling) else [(reason.text, "plain")]
        elif silent or not telling or reason.code not in _TOLD_BY_CAUSES:
            told.append((reason.text, "plain"))
    for text, tone in told[:_REASONS_SHOWN]:
        yield text, tone, 4
    if len(told) > _REASONS_SHOWN:
        yield f"and {plural(len(told) - _REASONS_SHOWN, 'more reason')} in the report", "plain", 4


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


def _cut(text: str, width: int) -> str:
    if _columns(text) <= width:
        return text
    while text and _columns(text) > width - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
