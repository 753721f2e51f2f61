"""Decides the words that every report of a run shares, so that no two of them say the verdict differently."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pytest_l402.signoff.document_entries import (
    CheckEntry,
    CheckState,
    LineState,
    PartEntry,
    ReasonEntry,
    RehearsalEntry,
    SystemEntry,
    WaiverEntry,
)
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict

VERDICT_WORDS: Final = {
    Verdict.SIGNED_OFF: "SIGNED OFF",
    Verdict.NOT_SIGNED_OFF: "NOT SIGNED OFF",
    Verdict.INCOMPLETE: "INCOMPLETE, NOT SIGNED OFF",
    Verdict.DRILL: "DRILL, NOT A SIGN-OFF",
}

STATE_WORDS: Final = {
    RehearsalState.PASSED: "passed",
    RehearsalState.WAIVED: "waived",
    RehearsalState.NOT_RUN: "not run",
    RehearsalState.INCOMPLETE: "incomplete",
    RehearsalState.FAILED: "failed",
}

_ELSEWHERE: Final = re.compile(r" \(from (PYTEST_ADDOPTS|addopts of [^()]+)\)$")

_COUNT: Final = re.compile(r"\d+ rehearsal tests? deselected")

_SAID_ELSEWHERE: Final = (ReasonCode.REHEARSAL_FAILED, ReasonCode.REHEARSAL_MISSING, ReasonCode.NARROWED)


def plural(number: int, noun: str) -> str:
    """Return the number with its noun, "1 check" or "2 checks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(document: SignOffDocument) -> str:
    """Return the one sentence that says why the verdict is what it is."""
    required = [entry for entry in document.rehearsals if entry.need == "required"]
    passed = sum(entry.state is RehearsalState.PASSED for entry in required)
    waived = sum(entry.state is RehearsalState.WAIVED for entry in required)
    match document.verdict:
        case Verdict.SIGNED_OFF:
            waivers = f", {waived} only by waiver" if waived else ""
            checks = [check for entry in document.rehearsals for check in checks_of(entry)]
            held = [check for check in checks if check.state is CheckState.HELD]
            killed = sum(len(check.mutants_killed) for check in held)
            return (
                f"{passed} of {plural(len(required), 'required rehearsal')} passed{waivers}; "
                f"{plural(len(held), 'check')} held and killed {plural(killed, 'mutant')}."
            )
        case Verdict.DRILL:
            ran = [entry for entry in document.rehearsals if entry.nodes]
            states = (
                ", ".join(f"{entry.id} {STATE_WORDS[entry.state]}" for entry in ran) or "no rehearsal ran"
            )
            elsewhere = narrowed_elsewhere(document)
            by = f" It was narrowed by {elsewhere}, not by its command line." if elsewhere else ""
            return f"Partial run, cannot sign off: {states}.{by}"
        case _:
            rehearsals = plural(len(required), "required rehearsal")
            return f"{passed} of {rehearsals} passed. {document.reasons[0].text}"


def narrowed_elsewhere(document: SignOffDocument) -> str:
    """Return what narrowed a run that was asked for everything, such as a variable of the environment; ""
    where the command line did.
    """
    words = [words for words in document.run.narrowed_by if not _COUNT.fullmatch(words)]
    found = [match[1] for match in map(_ELSEWHERE.search, words) if match is not None]
    return ", ".join(dict.fromkeys(found)) if len(found) == len(words) else ""


def told_of_the_run(document: SignOffDocument) -> tuple[ReasonEntry, ...]:
    """Return the reasons that are told neither by a rehearsal nor by the word DRILL."""
    return tuple(reason for reason in document.reasons if reason.code not in _SAID_ELSEWHERE)


def tally(entry: RehearsalEntry) -> str:
    """Return how much one rehearsal proved: lines, checks, mutants."""
    proven = sum(line.state is LineState.PROVEN for line in entry.lines)
    checks = checks_of(entry)
    killed = sum(len(check.mutants_killed) for check in checks)
    return (
        f"{proven} of {plural(len(entry.lines), 'line')} proven, "
        f"{plural(len(checks), 'check')}, {plural(killed, 'mutant')} killed"
    )


def checks_of(entry: RehearsalEntry) -> tuple[CheckEntry, ...]:
    """Return every check of every node of a rehearsal."""
    return tuple(check for node in entry.nodes for check in node.checks)


def standing(document: SignOffDocument) -> tuple[str, ...]:
    """Return what a reader must not assume: who signed, what was tested and whether that is pinned, what the
    clock is.
    """
    project = document.project
    tested = [f"Tested system: {system_words(system)}." for system in document.systems]
    return (
        signature_words(document),
        *(tested or ["Tested system: none was attached."]),
        f"Rehearsals pinned by {project.digest}."
        if project.digest is not None
        else f"Rehearsals not pinned: {project.not_pinned_because}.",
        "Times come from the clock of the machine; no one else attests them.",
        *_life_words(document),
    )


def signature_words(document: SignOffDocument) -> str:
    """Return whether a key has signed, and what its owner says of their part in what was tested."""
    if document.signed_by is None:
        return "UNSIGNED: nobody has put a signature on this document."
    return (
        f"SIGNED by key {document.signed_by}, of a signer whose part in what was tested is {document.signer}."
    )


def _life_words(document: SignOffDocument) -> Iterator[str]:
    window, previous = document.window, document.previous
    if window is not None:
        yield f"It counts until {instant(window.not_after_ms)}, the end of {window.ended_by}."
    compared = document.comparison
    if compared is not None:
        yield (
            f"Compared with run {compared.run_id} ({compared.verdict}): "
            f"{plural(len(compared.regressions), 'regression')}, {plural(len(compared.changes), 'change')}."
        )
    if previous is not None and previous.found in ("gone", "changed"):
        yield f"GAP: the run before, {previous.run_id} ({previous.verdict}), is {previous.found}."


def mode_words(document: SignOffDocument) -> str:
    """Return what the mode of a run means for what is deployed, as far as the run can know it."""
    if document.run.mode != "mock":
        return f"{document.run.mode}: a deployed system was rehearsed"
    foreign = (part for system in document.systems for part in system.parts if not part.ours)
    alone = [f"{part.role} {part.name}" for part in foreign]
    alone += [system.name for system in document.systems if not system.parts]
    if not alone:
        return "mock: no deployed system was touched"
    named = ", ".join(dict.fromkeys(alone))
    return f"mock: pytest-l402 touched no deployed system; what these reach, they alone can say: {named}"


def system_words(system: SystemEntry) -> str:
    """Return who a system is, what pins it, and which of its parts are not ours."""
    pinned = f"pinned by {system.digest}" if system.pinned == "by-digest" else "not pinned by a digest"
    words = [f"{system.name} {system.version}, {pinned}"]
    words += [part_words(part) for part in system.parts if not part.ours]
    if not system.standing_checks and system.tests:
        words.append("no standing checks")
    return "; ".join(words)


def part_words(part: PartEntry) -> str:
    """Return who plays a role, where that comes from, in what it was found, and how often it was asked."""
    if part.distribution is not None:
        source = f" of {part.distribution} {part.version}"
    else:
        source = "" if part.file is None else f" ({part.file}, in no installed package)"
    held = "" if part.held_by is None else f", in {part.held_by}"
    asked = "" if part.requests is None else f", {plural(part.requests, 'request')}"
    return f"{part.role}: {part.name}{source}{held}{asked}"


def waiver_sentence(waiver: WaiverEntry) -> str:
    """Return one waiver in words."""
    effect = {"waived": "in use", "unused": "not needed in this run", "expired": "ENDED, remove or renew it"}
    return (
        f"{waiver.target} {waiver.name}, until {waiver.until}, by {waiver.owner}: {waiver.reason} "
        f"({effect[waiver.effect]}; from {waiver.source})"
    )


def instant(epoch_ms: int) -> str:
    """Return an instant in UTC as RFC 3339 with milliseconds; outside the years 1 to 9999, the number
    itself.
    """
    try:
        moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{epoch_ms} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
