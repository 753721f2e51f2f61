"""Decides which violations have one cause: those about one row, field or request, or with one remedy."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pytest_l402.evidence.check import CheckResult, Finding, Subject, Violation

_IN_ORDER: Final = (
    "answers",
    "exchanges",
    "invoices",
    "node_invoices",
    "payments",
    "balances",
    "settlements",
    "conflicts",
    "tasks",
    "transitions",
    "records",
    "projection",
)
"""Tables in the order in which a purchase fills them: what is wrong in an earlier one explains a later one.
What the records say comes after what was done."""

_EXPLAINS: Final = ("quotedMsats", "credential")
"""Fields of an exchange: at which price it was sold, for which credential, explains all else of a payment."""

_TRACE: Final = frozenset({"answers", "logs"})
_PURCHASE: Final = frozenset(_IN_ORDER) - _TRACE
_IDENTITY: Final = frozenset(
    {"requestId", "plane", "executor", "paymentHash", "settlementId", "status", "stage"}
)
"""Fields that only say which row is meant."""
_LINES: Final = re.compile(r"([a-z][a-z0-9_]*)\.jsonl lines? (\d+(?:, \d+)*)|\btable ([a-z][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Cause:
    """Violations that are about one thing; the first of them tells it, and the others follow from it."""

    violations: tuple[Violation, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The ids of the runbook lines that it violates, in order, each once."""
        return tuple(dict.fromkeys(each.line for each in self.violations if each.line is not None))


def causes(results: Iterable[CheckResult], requests: Collection[str] = ()) -> tuple[Cause, ...]:
    """Return the violations of these results by cause, in the order of the results.

    A finding that does not say what it is about is read: which rows it names, and which of `requests`. What
    proves a runbook line, and what happened first, tells its cause.
    """
    violations = [violation for result in results for violation in result.violations]
    group = list(range(len(violations)))

    def root(place: int) -> int:
        while group[place] != place:
            place = group[place]
        return place

    known: dict[Hashable, int] = {}
    for place, violation in enumerate(violations):
        for fact in _facts(violation, requests):
            first, second = sorted((root(known.setdefault(fact, place)), root(place)))
            group[second] = first
    gathered: dict[int, list[Violation]] = {}
    for place, violation in enumerate(violations):
        gathered.setdefault(root(place), []).append(violation)
    found = [Cause(tuple(sorted(each, key=_telling_first))) for each in gathered.values()]
    return tuple(sorted(found, key=lambda cause: not any(map(explains, cause.violations))))


def explains(violation: Violation) -> bool:
    """Whether it is told before all that is wrong besides."""
    return any(each.table == "exchanges" and each.field in _EXPLAINS for each in violation.about)


def subjects_of(violation: Finding | Violation, requests: Collection[str] = ()) -> tuple[Subject, ...]:
    """Return what a violation says it is about, or else what its text names of rows and requests."""
    if violation.about:
        return violation.about
    said = f"{violation.expected}\n{violation.seen}\n{violation.where}"
    named: list[str | None] = [
        each for each in requests if re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", said)
    ]
    return tuple(
        Subject(table, request=request, rows=rows)
        for table, rows in tables_named(violation.where)
        for request in named or [None]
    )


def tables_named(where: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each table that a place names, with the rows; none where it names the whole table."""
    for table, numbers, whole in _LINES.findall(where):
        yield table or whole, tuple(int(number) - 1 for number in numbers.split(", ") if number)


def _facts(violation: Violation, requests: Collection[str]) -> Iterator[Hashable]:
    for subject in subjects_of(violation, requests):
        for row in subject.rows:
            yield "row", subject.table, row
        if subject.field is not None and subject.field not in _IDENTITY:
            yield "field", subject.table, subject.field
        if subject.request is not None:
            yield "request", subject.request, _story(subject.table)
        elif subject.field is None and not subject.rows:
            yield "table", _story(subject.table)
    # What is mended by doing one thing is one thing.
    yield "remedy", violation.remedy


def _story(table: str) -> str:
    """A missing log line of a request has not the cause that its second payment has."""
    return "trace" if table in _TRACE else "purchase" if table in _PURCHASE else table


def _telling_first(violation: Violation) -> tuple[bool, bool, int]:
    tables = [subject.table for subject in subjects_of(violation)]
    ranks = [_IN_ORDER.index(table) for table in tables if table in _IN_ORDER]
    return not explains(violation), violation.line is None, min(ranks, default=len(_IN_ORDER))
