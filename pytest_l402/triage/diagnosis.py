"""Decides, from records and the local artifact alone, which domain failed and what to do next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_l402.boundary import printable, redact_text
from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.contract.rows import Row, Tables
from pytest_l402.triage.correlation import InvalidRecord, correlated, flow_request_ids, flow_rows, flows_of
from pytest_l402.triage.rules import RULES, Domain, Rule

_BY_NAME = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with one request, by which rule, and where to go on.

    `record_index` counts within `triage_records` (the table `records`, then those that only the local
    artifact has) and is None when no single record decides. `section` and `next_step` are the runbook's.
    Of its records, `n_untimed` have a time that cannot be milliseconds; the others lie from first to last.
    """

    request_id: str
    domain: Domain
    rule: str
    deciding_field: str
    deciding_value: str | int | None
    record_index: int | None
    section: str
    next_step: str
    reason: str
    first_at_ms: int | None = None
    last_at_ms: int | None = None
    paid_msats: int = 0
    n_untimed: int = 0

    @property
    def healthy(self) -> bool:
        """Nothing failed; an incomplete request is not healthy."""
        return self.domain is Domain.HEALTHY


def triage(evidence: Tables, request_id: str | None = None) -> tuple[Diagnosis, ...]:
    """Diagnose every request that the evidence names, or the one asked for; ordered by request id.

    Reads the tables `records` and `local_artifact`, nothing else. A request id that no record names is
    incomplete, never healthy; an id that only a flow of the local artifact names (each of its calls has one)
    is answered with the requests of that flow. Bad rows raise nothing; they make a request incomplete.
    """
    records = triage_records(evidence)
    artifacts = evidence.table("local_artifact")
    flows = [row for artifact in artifacts for row in flow_rows(artifact)]
    with correlated(records, flows) as (connection, invalid):
        rules = {row["request_id"]: row["rule"] for row in connection.execute(verdict_sql())}
        stories = {row["request_id"]: row for row in connection.execute("select * from request_story")}
        planes: dict[str, list[tuple[int, str]]] = {}
        for row in connection.execute(
            "select request_id, line, plane from l402_facts order by observed_at_ms, line"
        ):
            planes.setdefault(row["request_id"], []).append((row["line"], row["plane"]))
    unattributable = sum(1 for record in invalid if record.request_id is None)
    wanted = _wanted(request_id, stories, artifacts)
    return tuple(
        _diagnosis(story, _BY_NAME[rules[name]], records, planes.get(name, []), unattributable)
        if (story := stories.get(name)) is not None
        else _unknown(name, invalid, len(records))
        for name in wanted
    )


@cache
def verdict_sql() -> str:
    """The rules as one portable SELECT over `request_story`: request_id, rule, domain."""
    rules = "\n".join(f"    when {rule.when} then '{rule.name}'" for rule in RULES)
    domains = "\n".join(f"    when {rule.when} then '{rule.domain}'" for rule in RULES)
    return (
        f"select\n  request_id,\n  case\n{rules}\n    else null\n  end as rule,\n"
        f"  case\n{domains}\n    else null\n  end as domain\nfrom request_story\norder by request_id"
    )


def triage_records(evidence: Tables) -> list[Row]:
    """The records that triage reads: the table, then what only the local artifact has of them."""
    records = list(evidence.table("records"))
    # An unreadable one is kept as an empty row: it counts as a record that names no request.
    told = [
        record if isinstance(record, dict) else {}
        for artifact in evidence.table("local_artifact")
        for flow in flows_of(artifact)
        for record in _listed(flow.get("observabilityRecords"))
    ]
    # What names another request is another record.
    requests = {str(row.get("requestId")) for row in told}
    known = {_content(record) for record in records if str(record.get("requestId")) in requests}
    return [*records, *(row for row in told if _content(row) not in known)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _content(record: Mapping[str, Any]) -> str:
    return json.dumps([record.get(key, ()) for key in REQUIRED_KEYS])


def _wanted(request_id: str | None, stories: Collection[str], artifacts: Sequence[Row]) -> list[str]:
    if request_id is None:
        return sorted(stories)
    if request_id in stories:
        return [request_id]
    for artifact in artifacts:
        for flow in flows_of(artifact):
            ids = flow_request_ids(flow)
            if request_id in ids:
                return sorted(name for name in ids if name in stories) or [request_id]
    return [request_id]


def _diagnosis(
    story: sqlite3.Row,
    rule: Rule,
    records: list[Row],
    planes: list[tuple[int, str]],
    unattributable: int,
) -> Diagnosis:
    value = story[rule.value] if rule.value else None
    index = story["first_invalid_line"] if rule.name == "invalid_record" else None
    for line, plane in planes:
        told = (not rule.planes or plane in rule.planes) and records[line].get(rule.field) == value
        if value is not None and told and (index is None or rule.last):
            index = line
            if not rule.last:
                break
    reason = rule.reason
    if "{" in reason:
        reason = reason.format_map(_Shown(zip(story.keys(), story, strict=True)))
    if unattributable and rule.domain not in (Domain.HEALTHY, Domain.INCOMPLETE):
        reason += f" (but {unattributable} invalid record(s) name no request, and may be what seems absent)"
    return Diagnosis(
        request_id=story["request_id"],
        domain=rule.domain,
        rule=rule.name,
        deciding_field=rule.field,
        deciding_value=value,
        record_index=index,
        section=rule.section,
        next_step=rule.next_step,
        reason=reason,
        first_at_ms=story["first_at_ms"],
        last_at_ms=story["last_at_ms"],
        paid_msats=story["paid_msats"] or 0,
        n_untimed=story["n_untimed"],
    )


def _unknown(request_id: str, invalid: tuple[InvalidRecord, ...], count: int) -> Diagnosis:
    unattributable = sum(1 for record in invalid if record.request_id is None)
    reason = f"none of {count} record(s) names this request"
    if unattributable:
        reason += f", and {unattributable} invalid record(s) name no request at all"
    return Diagnosis(
        request_id=request_id,
        domain=Domain.INCOMPLETE,
        rule="no_record",
        deciding_field="requestId",
        deciding_value=None,
        record_index=None,
        section="Correlation Workflow 1",
        next_step=(
            "read x-oa-request-id from the response again, search the logs by oa_req=<id>, and "
            "add the records of every plane"
        ),
        reason=reason,
    )


class _Shown(dict[str, Any]):
    """A story whose values are made safe to print when a reason asks for them."""

    def __getitem__(self, key: str) -> str:
        return _shown(super().__getitem__(key))


def _shown(value: Any) -> str:
    return "null" if value is None else printable(redact_text(str(value)))
