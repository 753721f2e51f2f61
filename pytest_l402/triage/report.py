"""Decides how the answer of triage over incident files is told: outcome, text and versioned JSON."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pytest_l402.boundary import digest_reference, printable, quoted, redact_text, redact_values, tagless
from pytest_l402.boundary.columns import in_columns
from pytest_l402.contract.rows import Row
from pytest_l402.triage.correlation import flow_request_ids
from pytest_l402.triage.diagnosis import Diagnosis, triage
from pytest_l402.triage.incident_rows import DepartureEffect, Incident, SourcedRow
from pytest_l402.triage.shortfalls import Shortfall, shortfalls

# 32 bytes in hex or base64, as no reference is written.
_PREIMAGE = re.compile(r"[0-9a-fA-F]{64}|[\w+/-]{43}=?")
# In free text, unless it is called a hash.
_BARE = re.compile(r"(?<![\w:])(?<!hash[ =:])(?<!hash: )(?<!hash = )[0-9a-fA-F]{64}(?!\w)", re.IGNORECASE)
_LENGTH = 64
SCHEMA = "pytest-l402/triage"
SCHEMA_VERSION = "1"


class TriageOutcome(StrEnum):
    """What triage found, worst first: an input that cannot be judged outranks a failure."""

    BAD_INPUT = "bad-input"
    FAILED = "failed"
    HEALTHY = "healthy"


EXIT_CODES = {TriageOutcome.HEALTHY: 0, TriageOutcome.FAILED: 1, TriageOutcome.BAD_INPUT: 2}
"""The exit code of each outcome; a request with incomplete evidence counts as failed."""


@dataclass(frozen=True, slots=True)
class SourcedDiagnosis:
    """A diagnosis and the row that decided it, or None when no single one does."""

    diagnosis: Diagnosis
    row: SourcedRow | None


@dataclass(frozen=True, slots=True)
class TriageReport:
    """The answer about one incident; `problems` say, a line each, why it may not be complete."""

    requests: tuple[SourcedDiagnosis, ...]
    incident: Incident
    shortfalls: tuple[Shortfall, ...]
    problems: tuple[str, ...]

    @property
    def outcome(self) -> TriageOutcome:
        """Healthy only when there was something to judge and all of it is healthy."""
        if self.problems or not self.requests:
            return TriageOutcome.BAD_INPUT
        if all(request.diagnosis.healthy for request in self.requests):
            return TriageOutcome.HEALTHY
        return TriageOutcome.FAILED

    def to_text(self) -> str:
        """Five parts a request, then notes; every value from outside is redacted and escaped."""
        departures: dict[str | None, list[str]] = {}
        for item in self.incident.departures:
            if item.effect is DepartureEffect.BAD_INPUT:
                continue  # told on standard error, once
            departures.setdefault(item.request_id, []).append(item.message)
        blocks = [
            _request_text(request, departures.get(request.diagnosis.request_id, ()))
            for request in self.requests
        ]
        if self.shortfalls:
            blocks.append(
                "notes: what these files cannot prove\n" + "\n".join(_note(s) for s in self.shortfalls)
            )
        return self._referring("\n\n".join(blocks))

    def to_json(self) -> str:
        """One JSON object, schema `pytest-l402/triage` version 1; enums carry every verdict."""
        document = {
            "schema": SCHEMA,
            "schemaVersion": SCHEMA_VERSION,
            "outcome": self.outcome.value,
            "exitCode": EXIT_CODES[self.outcome],
            "requests": [_request_json(request) for request in self.requests],
            "faults": [
                {
                    "file": printable(item.file, 400),
                    "line": item.line,
                    "field": item.field,
                    "expected": item.expected,
                    "seen": item.seen,
                    "requestId": None if item.request_id is None else _clean(item.request_id),
                    "effect": item.effect.value,
                }
                for item in self.incident.departures
                # What no single request bears stands in `problems`, once.
                if item.effect is not DepartureEffect.BAD_INPUT
            ],
            "problems": list(self.problems),
            "shortfalls": [
                {
                    "runbookLine": item.line,
                    "file": printable(item.file, 400),
                    "line": item.at_line,
                    "seen": _clean(item.seen),
                    "remedy": item.remedy,
                }
                for item in self.shortfalls
            ],
        }
        return self._referring(tagless(json.dumps(redact_values(document), indent=2)))

    def told_problems(self) -> tuple[str, ...]:
        """`problems` as they may be shown."""
        return tuple(map(self._referring, self.problems))

    def _referring(self, text: str) -> str:
        """Put a reference where a record holds what may be a preimage itself; it can be pasted."""
        for value in {value for record in self.incident.records for value in _bare(record.row)}:
            text = text.replace(value, digest_reference(value))
        return text


def triage_report(incident: Incident, request_id: str | None = None) -> TriageReport:
    """Judge every request of the incident, or the one asked for."""
    problems = [item.message for item in incident.bad_input]
    known = incident.request_ids()
    if request_id is not None and request_id not in known:
        problems.append(_unknown_request(request_id, known))
        diagnoses: tuple[Diagnosis, ...] = ()
    else:
        diagnoses = triage(incident, request_id)
        if not diagnoses and not problems:
            problems.append(
                f"expected a record with a requestId, saw {len(incident.records)} records without; "
                "add the records of the request in question"
            )
    return TriageReport(
        requests=tuple(SourcedDiagnosis(found, _deciding_row(found, incident)) for found in diagnoses),
        incident=incident,
        shortfalls=shortfalls(incident),
        problems=tuple(problems),
    )


def _bare(record: Row) -> Iterator[str]:
    """Yield what may be a preimage in a record: its proof, and within its id or the reason of a denial."""
    proof = record.get("paymentProofRef")
    if isinstance(proof, str) and _PREIMAGE.fullmatch(proof) is not None:
        yield proof
    for text in (record.get("requestId"), record.get("denyReason")):
        if isinstance(text, str) and len(text) >= _LENGTH:
            yield from _BARE.findall(text)


def _deciding_row(diagnosis: Diagnosis, incident: Incident) -> SourcedRow | None:
    if diagnosis.record_index is not None and diagnosis.record_index < len(incident.records):
        return incident.records[diagnosis.record_index]
    if diagnosis.deciding_field == "taskStatus":
        for flow in incident.flows:
            if diagnosis.request_id in flow_request_ids(flow.row):
                return flow
    return None


def _unknown_request(request_id: str, known: tuple[str, ...]) -> str:
    message = f"--request-id: expected a request id of the files, saw {quoted(redact_text(request_id), 120)}"
    # Comparing with every id of a large export would take longer than triage itself.
    closest = difflib.get_close_matches(request_id[:200], known[:20_000], n=1, cutoff=0.3)
    if closest:
        return f"{message}; the closest is {quoted(redact_text(closest[0]), 120)}"
    return f"{message}; the files name {len(known)} request id{'' if len(known) == 1 else 's'}"


def _request_text(request: SourcedDiagnosis, departures: Sequence[str]) -> str:
    diagnosis = request.diagnosis
    where = "no single record" if request.row is None else request.row.where
    if request.row is not None and request.row.path:
        where += f" {request.row.path}"
    decided = f"{diagnosis.deciding_field}={_shown(diagnosis.deciding_value)} at {where}"
    parts = [
        ("why", _shown(diagnosis.reason)),
        ("decided", f"{decided} (rule {diagnosis.rule})"),
        ("runbook", _section(diagnosis.section)),
        ("next", diagnosis.next_step),
        *(("fault", item) for item in departures),
    ]
    lines = in_columns(f"{_shown(diagnosis.request_id)}: {diagnosis.domain.value}", whole_words=True)
    for label, text in parts:
        lines += in_columns(text, f"  {label:<9} ", whole_words=True)
    return "\n".join(lines)


def _request_json(request: SourcedDiagnosis) -> dict[str, Any]:
    diagnosis, row = request.diagnosis, request.row
    value = diagnosis.deciding_value
    return {
        "requestId": _clean(diagnosis.request_id),
        "domain": diagnosis.domain.value,
        "rule": diagnosis.rule,
        "decidingField": diagnosis.deciding_field,
        "decidingValue": _clean(value) if isinstance(value, str) else value,
        "record": None
        if row is None
        else {"file": printable(row.file, 400), "line": row.line, "path": row.path},
        "section": diagnosis.section,
        "nextStep": diagnosis.next_step,
        "reason": _clean(diagnosis.reason),
    }


def _note(item: Shortfall) -> str:
    where = f"{tagless(printable(item.file, 400))}:{item.at_line}"
    text = f"[observability {item.line}] {where}: {_shown(item.seen)}; {item.remedy}"
    return "\n".join(in_columns(text, "  ", hanging=6, whole_words=True))


def _section(section: str) -> str:
    return f"observability, section {section}" if section[:1].isdigit() else f"observability, {section}"


def _clean(text: str) -> str:
    return printable(redact_text(text), 600)


def _shown(value: object) -> str:
    """Return a foreign value for the terminal: nothing in it can colour, move the cursor or open a tag."""
    if value is None:
        return "null"
    text = redact_text(value) if isinstance(value, str) else printable(value)
    return tagless(printable(text, 600))
