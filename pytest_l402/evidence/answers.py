"""Decides what a judge has answered: findings, or what is no answer; and what a finding concerns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.mutants import Altered
from pytest_l402.evidence.tables import Evidence

MOST_FINDINGS: Final = 10_000
"""So many findings of one check are taken for a judge that never ends."""


_MOST_NAMED: Final = 2
"""So many tables any finding may name."""

_WORDS: Final = re.compile(r"[\w-]+")
"""The words of a text, of which the name of a table may be one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge said of one evidence; `fault` says why it cannot be taken for an answer, if it cannot.

    With `decided` the last finding was enough.
    """

    findings: tuple[Finding, ...] = ()
    fault: Finding | None = None
    decided: bool = False


def ask(check: Check, evidence: Evidence, enough: Callable[[Finding], bool] | None = None) -> Answer:
    """Let the check judge; with `enough`, until a finding is.

    A judge is anybody's code, and must not end the run: whatever it raises is a fault of its answer, and so
    is anything that is no finding. Only the interrupt of a person is passed on.
    """
    findings: list[Finding] = []
    try:
        told = check.judge(evidence)
        if told is None:
            return Answer((), _fault(check, "None", "return the findings, or [] for none"))
        # One at a time, so that what was found before a fault is kept.
        for finding in told:
            if not _is_finding(finding):
                seen = f"{type(finding).__name__} instead of a Finding with four texts"
                return Answer(
                    tuple(findings), _fault(check, seen, "return Finding objects, and nothing else")
                )
            findings.append(finding)
            if enough is not None and enough(finding):
                return Answer(tuple(findings), decided=True)
            if len(findings) > MOST_FINDINGS:
                seen = f"more than {MOST_FINDINGS} findings"
                return Answer(tuple(findings[:10]), _fault(check, seen, "let it end: nobody reads them"))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also exits, skips and cancellations: they are none of a judge's business
        seen = f"it raised {type(error).__name__}: {error}"
        return Answer(tuple(findings), _fault(check, seen, "mend the check, or the row it could not read"))
    return Answer(tuple(findings))


def concerns(
    finding: Finding, altered: Collection[Altered], compared: Collection[str], known: Collection[str] = ()
) -> bool:
    """Whether a finding is about something that was altered.

    By what it says it is `about`: a table and, if it names one, a field or what is in that field. One that
    does not say is about each table that its `where` names as a word; if that is one of the tables that its
    check `compared`, then about all of these, since what is wrong in one may show in another. One that names
    most of three or more `known` tables, and more than its check compared, is about none: it would be about
    any.
    """
    if finding.about:
        return any(_is_of(subject, table, key) for subject in finding.about for table, key in altered)
    named = set(_WORDS.findall(finding.where))
    # A few of many, to which the reader is sent, are not all.
    most = max(_MOST_NAMED, len(compared), len(known) // 2)
    if len(named.intersection(known)) > most:
        return False
    tables = {table for table, _ in altered}
    return not named.isdisjoint(tables if tables.isdisjoint(compared) else tables.union(compared))


def told_about(finding: Finding) -> str:
    """What a finding is about, in a few words."""
    if not finding.about:
        return f"where it says {finding.where!r}"
    names = (each.table if each.field is None else f"{each.table}.{each.field}" for each in finding.about)
    return ", ".join(dict.fromkeys(names))


def _is_of(subject: Subject, table: str, key: str | None) -> bool:
    if subject.table != table or None in (subject.field, key):
        return subject.table == table
    return f"{subject.field}.".startswith(f"{key}.") or f"{key}.".startswith(f"{subject.field}.")


def _is_finding(finding: object) -> bool:
    if not isinstance(finding, Finding) or not isinstance(finding.about, tuple):
        return False
    texts = (finding.expected, finding.seen, finding.where, finding.remedy)
    strange: list[object] = [text for text in texts if not isinstance(text, str)]
    strange += [subject for subject in finding.about if not isinstance(subject, Subject)]
    return not strange


def _fault(check: Check, seen: str, remedy: str) -> Finding:
    return Finding("a check that can read its evidence", seen, f"check {check.name}", remedy)
