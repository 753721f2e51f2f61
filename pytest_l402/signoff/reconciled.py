"""Decides whether the views of a run count what its document counts: each is read again, as its reader would.

A view that shows other numbers than the record is worse than none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import RehearsalState, Verdict

_CARD: Final = re.compile(rb'<tr data-rehearsal="[^"]*" data-state="([A-Z_]+)" data-killed="(\d+)">')
_COUNTED: Final = re.compile(rb'<main id="main" data-checks="(\d+)" data-killed="(\d+)" data-files="(\d+)">')
_ROW: Final = re.compile(r"^\| ([A-Z_]+) \| .* \| (\d+) \| (\d+) \|$", re.MULTILINE)
_LEFT_OUT: Final = re.compile(r"^Left out to stay below the limit: (\d+) rehearsals?\.$", re.MULTILINE)


class UnlikeError(ValueError):
    """A view counts otherwise than the document; the message is one line that names both numbers."""


def check_alike(document: SignOffDocument, views: Mapping[str, bytes]) -> None:
    """Raise `UnlikeError` for the first view that does not count what the document counts."""
    for name, view in views.items():
        for what, due, seen in _counts(document, name, view):
            if due != seen:
                raise UnlikeError(f"{name}: expected {what} {due}, as the document has them, saw {seen}")


def _counts(document: SignOffDocument, name: str, view: bytes) -> Iterator[tuple[str, Any, Any]]:
    """Yield what is counted in a view, how many there are by the document, and how many by the view."""
    if name.endswith(".html"):
        yield from _of_page(document, view)
    elif name.endswith(".md"):
        yield from _of_markdown(document, view.decode())
    elif name == "ctrf.json":
        yield from _of_ctrf(document, json.loads(view))
    elif name == "badge.json":
        required = [entry for entry in document.rehearsals if entry.need == "required"]
        passed = sum(entry.state is RehearsalState.PASSED for entry in required)
        words = f"{passed} of {len(required)}"
        yield "rehearsals", words, next(iter(re.findall(r"\d+ of \d+", json.loads(view)["message"])), None)


def _states(document: SignOffDocument, *, all_of_them: bool) -> Counter[str]:
    """The states that a view shows: a drill speaks of what it ran alone."""
    is_drill = document.verdict is Verdict.DRILL
    return Counter(
        entry.state.value
        for entry in document.rehearsals
        if entry.nodes or (not is_drill and (all_of_them or entry.need == "required"))
    )


def _of_page(document: SignOffDocument, view: bytes) -> Iterator[tuple[str, Any, Any]]:
    cards = _CARD.findall(view)
    yield (
        "rehearsals by state",
        dict(_states(document, all_of_them=False)),
        dict(Counter(state.decode() for state, _ in cards)),
    )
    counts = document.counts
    yield "mutants killed", counts.mutants_killed, sum(int(killed) for _, killed in cards)
    due = (counts.checks, counts.mutants_killed, counts.evidence_files)
    yield "totals", [due], [tuple(map(int, found)) for found in _COUNTED.findall(view)]


def _of_markdown(document: SignOffDocument, view: str) -> Iterator[tuple[str, Any, Any]]:
    rows = _ROW.findall(view)
    left_out = sum(map(int, _LEFT_OUT.findall(view)))
    due = _states(document, all_of_them=True)
    yield "rehearsals", due.total(), len(rows) + left_out
    if not left_out:
        yield "rehearsals by state", dict(due), dict(Counter(state for state, _, _ in rows))
        yield "checks", document.counts.checks, sum(int(checks) for _, checks, _ in rows)
        yield "mutants killed", document.counts.mutants_killed, sum(int(killed) for _, _, killed in rows)


def _of_ctrf(document: SignOffDocument, view: Any) -> Iterator[tuple[str, Any, Any]]:
    results = view["results"]
    nodes = sum(len(entry.nodes) for entry in document.rehearsals)
    unrun = sum(
        not entry.nodes and entry.need == "required" and document.verdict is not Verdict.DRILL
        for entry in document.rehearsals
    )
    summary = results["summary"]
    yield "tests", 1 + nodes + unrun, summary["tests"]
    by_status = Counter(test["status"] for test in results["tests"])
    told = {status: summary[status] for status in ("passed", "failed", "skipped", "pending", "other")}
    yield "tests by status", {status: by_status[status] for status in told}, told
    counts = results["extra"]["pytest-l402"]["counts"]
    yield "counts", document.counts.model_dump(mode="json"), counts
    verdicts = [test["status"] for test in results["tests"] if test["suite"] == ["l402 sign-off"]]
    yield (
        "verdicts that are green",
        [document.verdict is Verdict.SIGNED_OFF],
        [s == "passed" for s in verdicts],
    )
