"""Decides how the answer of triage over incident files is told: outcome, text and versioned JSON."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pytest_l402.boundary import digest_reference, printable, quoted, redact_text, redact_values, tagless
from pytest_l402.boundary.columns import in_columns
from pytest_l402.contract.rows import Row
from pytest_l402.triage.correlation import flow_request_ids
from pytest_l402.triage.diagnosis import Diagnosis, triage
from pytest_l402.triage.incident_rows import DepartureEffect, Incident, SourcedRow
from pytest_l402.triage.overview import Overview, first_screen, overview, worst_first
from pytest_l402.triage.rules import Domain
from pytest_l402.triage.runbook_page import place_of
from pytest_l402.triage.shortfalls import Shortfall, shortfalls

# 32 bytes in hex or base64, as no reference is written.
_PREIMAGE = re.compile(r"[0-9a-fA-F]{64}|[\w+/-]{43}=?")
# In free text, unless it is called a hash.
_BARE = re.compile(r"(?<![\w:])(?<!hash[ =:])(?<!hash: )(?<!hash = )[0-9a-fA-F]{64}(?!\w)", re.IGNORECASE)
_LENGTH = 64
_PROOF = re.compile(r"\b(?:lightning_)?preimage:([0-9a-f]{16,24})\b")
_PROOF_DIGEST: Final = "proof:"
_DAY_MS: Final = 86_400_000
_FEW: Final = 8
_DETAILS: Final = 20
_CAUSES: Final = 14
_NOTES: Final = 12
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
class Query:
    """What of an answer is told: these domains, what lasted until `since_ms` (epoch ms) or later, so many.

    With `everything`, also what is healthy, and without a limit.
    """

    domains: tuple[Domain, ...] = ()
    since_ms: int | None = None
    limit: int | None = None
    everything: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether anything was asked for but the first screen."""
        return self != Query()

    def of(self, requests: Iterable[SourcedDiagnosis]) -> list[SourcedDiagnosis]:
        """Return what is asked for, the worst first."""
        by_diagnosis = {id(each.diagnosis): each for each in requests}
        ordered = worst_first(each.diagnosis for each in by_diagnosis.values())
        return [by_diagnosis[id(each)] for each in ordered if self._asks_for(each)]

    def _asks_for(self, diagnosis: Diagnosis) -> bool:
        if self.domains and diagnosis.domain not in self.domains:
            return False
        if not self.domains and not self.everything and diagnosis.healthy:
            return False
        last = diagnosis.last_at_ms
        return self.since_ms is None or last is None or last >= self.since_ms


NOTHING_ASKED: Final = Query()


@dataclass(frozen=True, slots=True)
class TriageReport:
    """The answer about one incident; `problems` say, a line each, why it may not be complete."""

    requests: tuple[SourcedDiagnosis, ...]
    incident: Incident
    shortfalls: tuple[Shortfall, ...]
    problems: tuple[str, ...]
    query: Query = NOTHING_ASKED
    about_one: bool = False

    @property
    def outcome(self) -> TriageOutcome:
        """Healthy only when there was something to judge and all of it is healthy."""
        if self.problems or not self.requests:
            return TriageOutcome.BAD_INPUT
        if all(request.diagnosis.healthy for request in self.requests):
            return TriageOutcome.HEALTHY
        return TriageOutcome.FAILED

    @property
    def overview(self) -> Overview:
        """Everything on one screen."""
        return overview((each.diagnosis for each in self.requests), len(self.incident.records))

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be done to read the files, and what of their times cannot be; each once."""
        return (*self.incident.notes, *_notes_on_times(self.requests, self.incident))

    def to_text(self) -> str:
        """The first screen, or five parts a request where there are few or some were asked for, then notes.

        Every value from outside is redacted and escaped; a proof is shown as a short digest.
        """
        departures: dict[str | None, list[str]] = {}
        for item in self.incident.departures:
            if item.effect is DepartureEffect.BAD_INPUT:
                continue  # told on standard error, once
            departures.setdefault(item.request_id, []).append(item.message)
        few = self.about_one or len(self.requests) <= _FEW
        if not few and not self.query.is_narrow:
            blocks = [self._first_screen()]
        else:
            told = self.requests if not self.query.is_narrow else tuple(self.query.of(self.requests))
            limit = len(told) if self.query.everything or few else (self.query.limit or _DETAILS)
            blocks = [
                _request_text(request, departures.get(request.diagnosis.request_id, ()))
                for request in told[:limit]
            ]
            if len(told) > limit:
                blocks.append(f"{len(told) - limit:,} more like these: --limit N, or --all")
            elif not told and self.requests:
                blocks.append("none of the requests is as asked for")
        if self.notes:
            blocks.append("read:\n" + "\n".join(_wrapped_note(note) for note in self.notes[:_NOTES]))
        if self.shortfalls and not few and not self.query.is_narrow:
            counted = Counter(item.line for item in self.shortfalls)
            told_lines = ", ".join(f"{line} ({count})" for line, count in counted.items())
            blocks.append(
                "\n".join(in_columns(f"not proven by these files: {told_lines}; --json says why", hanging=2))
            )
        elif self.shortfalls:
            blocks.append(
                "notes: what these files cannot prove\n" + "\n".join(_note(s) for s in self.shortfalls)
            )
        return short_proofs(self.referring("\n\n".join(blocks)))

    def _first_screen(self) -> str:
        seen = self.overview
        worst = [_shown(cause.requests[0].request_id) for cause in seen.causes[:_CAUSES]]
        files = {record.file for record in self.incident.records}
        lines: list[str] = []
        for label, text in first_screen(seen, worst, len(files)):
            lines += in_columns(text, f"  {label:<18}" if label else "", hanging=20, whole_words=True)
        if len(seen.causes) > _CAUSES:
            lines.append(f"  and {len(seen.causes) - _CAUSES} more causes; --json names them all")
        lines += ["", "more: --request-id ID, --domain DOMAIN, --since TIME, --limit N, --all, --html FILE"]
        return "\n".join(lines)

    def to_json(self) -> str:
        """One JSON object, schema `pytest-l402/triage` version 1; enums carry every verdict."""
        document = {
            "schema": SCHEMA,
            "schemaVersion": SCHEMA_VERSION,
            "outcome": self.outcome.value,
            "exitCode": EXIT_CODES[self.outcome],
            "overview": self.overview.to_row(),
            "notes": [_clean(note) for note in self.notes],
            "requests": [
                _request_json(request)
                for request in (self.query.of(self.requests) if self.query.is_narrow else self.requests)
            ],
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
        return self.referring(tagless(json.dumps(redact_values(document), indent=2)))

    def told_problems(self) -> tuple[str, ...]:
        """`problems` as they may be shown."""
        return tuple(map(self.referring, self.problems))

    def referring(self, text: str) -> str:
        """Put a reference where a record holds what may be a preimage itself; it can be pasted."""
        for value in {value for record in self.incident.records for value in _bare(record.row)}:
            text = text.replace(value, digest_reference(value))
        return text


def triage_report(
    incident: Incident, request_id: str | None = None, query: Query = NOTHING_ASKED
) -> TriageReport:
    """Judge every request of the incident, or those that are meant by `request_id`: an id, the beginning of
    one, or a payment proof or its digest as it is shown.
    """
    problems = [item.message for item in incident.bad_input]
    known = incident.request_ids()
    diagnoses: tuple[Diagnosis, ...] = ()
    if request_id is None:
        diagnoses = triage(incident)
    elif request_id in known:
        diagnoses = triage(incident, request_id)
    elif meant := _meant(request_id, known, incident):
        diagnoses = tuple(each for each in triage(incident) if each.request_id in meant)
    else:
        problems.append(_unknown_request(request_id, known))
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
        query=query,
        about_one=request_id is not None,
    )


def _meant(asked: str, known: Sequence[str], incident: Incident) -> set[str]:
    """The requests whose id begins so, or that name this proof; none if a beginning fits too many."""
    if _PROOF.fullmatch(asked) or asked.startswith(_PROOF_DIGEST):
        wanted = short_proofs(asked)
        rows = (record.row for record in incident.records)
        return {
            row["requestId"]
            for row in rows
            if isinstance(row.get("paymentProofRef"), str)
            and isinstance(row.get("requestId"), str)
            and short_proofs(row["paymentProofRef"]) == wanted
        }
    begun = {name for name in known if asked and name.startswith(asked)}
    return begun if len(begun) <= _DETAILS else set()


def short_proofs(text: str) -> str:
    """Return `text` with each proof reference as a short digest, which the next query takes; both forms of a
    proof have the same.
    """
    return _PROOF.sub(_digested, text)


def _digested(match: re.Match[str]) -> str:
    return _PROOF_DIGEST + hashlib.sha256(match[1][:16].encode()).hexdigest()[:10]


def _notes_on_times(requests: Iterable[SourcedDiagnosis], incident: Incident) -> Iterator[str]:
    n_untimed = sum(each.diagnosis.n_untimed for each in requests)
    if n_untimed:
        for record in incident.records:
            at = record.row.get("observedAtMs")
            if isinstance(at, int) and not 10**12 <= at < 10**13:
                unit = {10: "seconds", 16: "microseconds"}.get(len(str(at)), "another unit")
                yield (
                    f"{n_untimed} records have an observedAtMs that cannot be milliseconds, and take part "
                    f"in no order; the first is {at} ({unit}?) of executor "
                    f"{_shown(record.row.get('executor'))} at {record.where}"
                )
                break
    far = [
        each.diagnosis.request_id
        for each in requests
        if (each.diagnosis.last_at_ms or 0) - (each.diagnosis.first_at_ms or 0) > _DAY_MS
    ]
    if far:
        yield (
            f"{len(far)} requests have records more than a day apart, such as {_shown(far[0])}: either the "
            "id is used again, or a clock is wrong"
        )


def _wrapped_note(note: str) -> str:
    return "\n".join(in_columns(_shown(note), "  ", hanging=4, whole_words=True))


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
    begun = sum(1 for name in known if name.startswith(request_id)) if request_id else 0
    if begun:
        return f"{message}, with which {begun} of them begin; give more of it"
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
        "paidMsats": diagnosis.paid_msats,
        "firstAtMs": diagnosis.first_at_ms,
        "lastAtMs": diagnosis.last_at_ms,
        "runbookPage": place_of(diagnosis.section),
    }


def _note(item: Shortfall) -> str:
    where = f"{tagless(printable(item.file, 400))}:{item.at_line}"
    text = f"[observability {item.line}] {where}: {_shown(item.seen)}; {item.remedy}"
    return "\n".join(in_columns(text, "  ", hanging=6, whole_words=True))


def _section(section: str) -> str:
    name = f"observability, section {section}" if section[:1].isdigit() else f"observability, {section}"
    place = place_of(section)
    return name if place is None else f"{name} ({place})"


def _clean(text: str) -> str:
    return printable(redact_text(text), 600)


def _shown(value: object) -> str:
    """Return a foreign value for the terminal: nothing in it can colour, move the cursor or open a tag."""
    if value is None:
        return "null"
    text = redact_text(value) if isinstance(value, str) else printable(value)
    return short_proofs(tagless(printable(text, 600)))
