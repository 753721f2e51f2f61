"""Decides how the way to a diagnosis is shown: which rules were passed over, which one held, and by which
field of which record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pytest_l402.boundary.pages import shown
from pytest_l402.signoff.document_entries import NodeEntry
from pytest_l402.signoff.page.kept_rows import KeptRows, Row, as_tables
from pytest_l402.signoff.page.shown_records import anchor_of
from pytest_l402.triage.diagnosis import Diagnosis, triage
from pytest_l402.triage.rules import RULES, Rule

MAX_RECORDS: Final = 500
"""The most records of one test that are triaged for the page."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Rules of one domain that follow each other and did not hold."""

    domain: str
    causes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """One request as triage judges it from the records alone, at one moment of a test."""

    request: str
    moment: str
    domain: str
    is_healthy: bool
    passed_over: tuple[Branch, ...]
    cause: str
    reason: str
    field: str
    value: str
    record: str
    decided_at_ms: int | None
    section: str
    next_step: str
    not_asked: int


def trees_of(
    node: NodeEntry, kept: KeptRows, records: Sequence[Row], prefix: str, shown_lines: int
) -> tuple[Tree, ...]:
    """Return the diagnosis of each request of a test, as its records stood when the test first verified.

    `records` are those at the end, of which the first lines are shown below anchors of this prefix.
    """
    moment = next(iter(node.moments), None)
    if moment is None or not records or len(records) > MAX_RECORDS:
        return ()
    then = kept.at(node, moment, "records")
    artifact = kept.at(node, moment, "local_artifact")
    if not then.rows or then.problem or artifact.problem:
        return ()
    lines: dict[str, int] = {}
    for line, row in enumerate(records[:shown_lines], start=1):
        lines.setdefault(repr(row), line)
    found = triage(as_tables(records=then.rows, local_artifact=artifact.rows))
    trees = []
    for each in sorted(found, key=lambda each: each.healthy):
        deciding = _deciding(each, then.rows)
        line = 0 if deciding is None else lines.get(repr(deciding), 0)
        trees.append(_tree(each, moment, deciding, anchor_of(prefix, line) if line else ""))
    return tuple(trees)


def _deciding(diagnosis: Diagnosis, records: Sequence[Row]) -> Row | None:
    index = diagnosis.record_index
    return records[index] if index is not None and index < len(records) else None


def _tree(diagnosis: Diagnosis, moment: str, deciding: Row | None, record: str) -> Tree:
    at_ms = None if deciding is None else deciding.get("observedAtMs")
    place = next((place for place, rule in enumerate(RULES) if rule.name == diagnosis.rule), None)
    before: tuple[Rule, ...] = () if place is None else RULES[:place]
    value = diagnosis.deciding_value
    return Tree(
        request=shown(diagnosis.request_id, 200),
        moment=moment,
        domain=diagnosis.domain.value,
        is_healthy=diagnosis.healthy,
        passed_over=tuple(
            Branch(domain.value, tuple(rule.cause for rule in rules))
            for domain, rules in groupby(before, key=lambda rule: rule.domain)
        ),
        cause="no record names the request" if place is None else RULES[place].cause,
        reason=shown(diagnosis.reason, 400),
        field=diagnosis.deciding_field if diagnosis.deciding_field else "",
        value="" if value is None else shown(value, 120),
        record=record,
        decided_at_ms=at_ms if type(at_ms) is int else None,
        section=diagnosis.section,
        next_step=shown(diagnosis.next_step, 400),
        not_asked=0 if place is None else len(RULES) - place - 1,
    )
