"""Decides what of an incident is told: outcome, first screen or details, text and versioned JSON."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pytest_l402.boundary import digest_reference, printable, quoted, redact_text, redact_values, tagless
from pytest_l402.boundary.columns import in_columns
from pytest_l402.triage.conclusion import Diagnosis
from pytest_l402.triage.correlation import flow_request_ids
from pytest_l402.triage.diagnosis import of_the_same_flow
from pytest_l402.triage.findings import Choice, Findings
from pytest_l402.triage.incident_rows import DepartureEffect, Incident, SourcedRow
from pytest_l402.triage.overview import Overview, first_screen
from pytest_l402.triage.request_text import (
    LONG,
    SourcedDiagnosis,
    bare_preimages,
    clean,
    names_proof,
    request_row,
    request_text,
    short_proofs,
    shown,
)
from pytest_l402.triage.rules import Domain
from pytest_l402.triage.shortfalls import Shortfall, shortfalls

_DAY_MS: Final = 86_400_000
_FEW: Final = 8
_DETAILS: Final = 20
_CAUSES: Final = 14
_NOTES: Final = 12
_COMPARED: Final = 20_000
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

    @property
    def choice(self) -> Choice:
        """Which requests are meant."""
        return Choice(self.domains, self.since_ms, self.everything)


NOTHING_ASKED: Final = Query()


@dataclass(frozen=True, slots=True)
class TriageReport:
    """The answer about one incident; `problems` say, a line each, why it may not be complete.

    `asked` are the diagnoses of the requests that were asked for by an id or a proof, None if none was.
    """

    incident: Incident
    findings: Findings
    overview: Overview
    shortfalls: tuple[Shortfall, ...]
    problems: tuple[str, ...]
    asked: tuple[Diagnosis, ...] | None = None
    query: Query = NOTHING_ASKED

    @property
    def outcome(self) -> TriageOutcome:
        """Healthy only when there was something to judge and all of it is healthy."""
        found = {*self.overview.domains} if self.asked is None else {each.domain for each in self.asked}
        if self.problems or not found:
            return TriageOutcome.BAD_INPUT
        return TriageOutcome.HEALTHY if found == {Domain.HEALTHY} else TriageOutcome.FAILED

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be done to read the files, and what of their times cannot be; each once."""
        return (*self.incident.notes, *self._notes_on_times())

    @property
    def is_short(self) -> bool:
        """Whether all that is asked for can be told in full at once."""
        return self.asked is not None or self.overview.n_requests <= _FEW

    def requests(self, limit: int | None = None) -> tuple[tuple[SourcedDiagnosis, ...], int]:
        """Return what is asked for, at most `limit` of it, and how many requests more are like these.

        In the order of their ids; of a query, the worst first.
        """
        if self.asked is not None:
            told = [each for each in self.asked if not self.query.is_narrow or self.query.choice.takes(each)]
            return self._sourced(told[:limit]), len(told[limit:]) if limit else 0
        if not self.query.is_narrow:
            return self._sourced(self.findings.diagnoses()), 0
        ids = self.findings.chosen(self.query.choice, limit)
        found = {each.request_id: each for each in self.findings.diagnoses(ids)}
        more = 0 if limit is None else self.findings.count(self.query.choice) - len(ids)
        return self._sourced(found[request_id] for request_id in ids), more

    def to_text(self) -> str:
        """The first screen, or five parts a request where there are few or some were asked for, then notes.

        Every value from outside is redacted and escaped; a proof is shown as a short digest.
        """
        departures: dict[str | None, list[str]] = {}
        for item in self.incident.departures:
            if item.effect is DepartureEffect.BAD_INPUT:
                continue  # told on standard error, once
            departures.setdefault(item.request_id, []).append(item.message)
        if not self.is_short and not self.query.is_narrow:
            blocks = [self._first_screen()]
        else:
            all_of_it = self.query.everything or self.is_short
            told, more = self.requests(None if all_of_it else self.query.limit or _DETAILS)
            blocks = [
                request_text(request, departures.get(request.diagnosis.request_id, ())) for request in told
            ]
            if more:
                blocks.append(f"{more:,} more like these: --limit N, or --all")
            elif not told and self.overview.n_requests:
                blocks.append("none of the requests is as asked for")
        if self.notes:
            blocks.append("read:\n" + "\n".join(_wrapped_note(note) for note in self.notes[:_NOTES]))
        if self.shortfalls and not self.is_short and not self.query.is_narrow:
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
        worst = [shown(cause.worst[0]) for cause in seen.causes[:_CAUSES]]
        lines: list[str] = []
        for label, text in first_screen(seen, worst, len(self.incident.records.places.files())):
            lines += in_columns(text, f"  {label:<18}" if label else "", hanging=20, whole_words=True)
        if len(seen.causes) > _CAUSES:
            lines.append(f"  and {len(seen.causes) - _CAUSES} more causes; --json names them all")
        lines += ["", "more: --request-id ID, --domain DOMAIN, --since TIME, --limit N, --all, --html FILE"]
        return "\n".join(lines)

    def to_json(self, schema: str = SCHEMA) -> str:
        """One JSON object of version 1 of its schema; enums carry every verdict."""
        limit = None if self.query.everything else self.query.limit
        document = {
            "schema": schema,
            "schemaVersion": SCHEMA_VERSION,
            "outcome": self.outcome.value,
            "exitCode": EXIT_CODES[self.outcome],
            "overview": self.overview.to_row(),
            "notes": [clean(note) for note in self.notes],
            "requests": [request_row(request) for request in self.requests(limit)[0]],
            "faults": [
                {
                    "file": printable(item.file, 400),
                    "line": item.line,
                    "field": item.field,
                    "expected": item.expected,
                    "seen": item.seen,
                    "requestId": None if item.request_id is None else clean(item.request_id),
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
                    "seen": clean(item.seen),
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
        for value in self._bare_preimages():
            text = text.replace(value, digest_reference(value))
        return text

    def _bare_preimages(self) -> set[str]:
        found: set[str] = set()
        for request_id, proof, reason in self.findings.long_texts(LONG):
            found.update(bare_preimages(proof, (request_id, reason)))
        for row in self.incident.records.broken():
            found.update(
                bare_preimages(row.get("paymentProofRef"), (row.get("requestId"), row.get("denyReason")))
            )
        return found

    def _sourced(self, diagnoses: Iterator[Diagnosis] | Sequence[Diagnosis]) -> tuple[SourcedDiagnosis, ...]:
        return tuple(SourcedDiagnosis(each, _deciding_row(each, self.incident)) for each in diagnoses)

    def _notes_on_times(self) -> Iterator[str]:
        untimed = self.findings.untimed()
        if untimed is not None:
            n_untimed, first = untimed
            record = self.incident.records[first]
            at = record.row["observedAtMs"]
            unit = {10: "seconds", 16: "microseconds"}.get(len(str(at)), "another unit")
            yield (
                f"{n_untimed} records have an observedAtMs that cannot be milliseconds, and take part "
                f"in no order; the first is {at} ({unit}?) of executor "
                f"{shown(record.row['executor'])} at {record.where}"
            )
        far = self.findings.far_apart(_DAY_MS)
        if far is not None:
            yield (
                f"{far[0]} requests have records more than a day apart, such as {shown(far[1])}: either the "
                "id is used again, or a clock is wrong"
            )


def triage_report(
    incident: Incident, request_id: str | None = None, query: Query = NOTHING_ASKED
) -> TriageReport:
    """Judge every request of the incident, or those that are meant by `request_id`: an id, the beginning of
    one, or a payment proof or its digest as it is shown.

    Raises:
        InputError: there is no room for what has to be kept meanwhile.
    """
    problems = [item.message for item in incident.bad_input]
    incident.records.settle()
    findings = Findings(incident.records)
    seen = findings.overview(len(incident.records))
    asked: tuple[Diagnosis, ...] | None = None
    if request_id is not None:
        asked = tuple(findings.diagnoses(_meant(request_id, findings, incident)))
        if not asked:
            problems.append(_unknown_request(request_id, findings, incident))
    if not seen.n_requests and not problems:
        problems.append(
            f"expected a record with a requestId, saw {len(incident.records)} records without; "
            "add the records of the request in question"
        )
    return TriageReport(incident, findings, seen, shortfalls(incident), tuple(problems), asked, query)


def _meant(asked: str, findings: Findings, incident: Incident) -> Sequence[str]:
    """The requests of this id, or of the flow that it belongs to, or whose id begins so, or that name this
    proof; none if a beginning fits too many.
    """
    if names_proof(asked):
        wanted = short_proofs(asked)
        return [request_id for request_id, proof in findings.proofs() if short_proofs(proof) == wanted]
    begun = findings.beginning(asked, _DETAILS + 1) if asked else []
    if asked in begun:
        return [asked]
    if same := of_the_same_flow(asked, incident.table("local_artifact")):
        return same
    return begun if len(begun) <= _DETAILS else []


def _wrapped_note(note: str) -> str:
    return "\n".join(in_columns(shown(note), "  ", hanging=4, whole_words=True))


def _deciding_row(diagnosis: Diagnosis, incident: Incident) -> SourcedRow | None:
    if diagnosis.record_index is not None:
        return incident.records[diagnosis.record_index]
    if diagnosis.deciding_field == "taskStatus":
        for flow in incident.flows:
            if diagnosis.request_id in flow_request_ids(flow.row):
                return flow
    return None


def _unknown_request(request_id: str, findings: Findings, incident: Incident) -> str:
    message = f"--request-id: expected a request id of the files, saw {quoted(redact_text(request_id), 120)}"
    begun = findings.count_beginning(request_id) if request_id else 0
    if begun:
        return f"{message}, with which {begun} of them begin; give more of it"
    # Comparing with every id of a large export would take longer than triage itself.
    known = {
        *findings.beginning("", _COMPARED),
        *(name for flow in incident.flows for name in flow_request_ids(flow.row)),
    }
    closest = difflib.get_close_matches(request_id[:200], sorted(known), n=1, cutoff=0.3)
    if closest:
        return f"{message}; the closest is {quoted(redact_text(closest[0]), 120)}"
    n_known = max(findings.count_beginning(""), len(known))
    return f"{message}; the files name {n_known} request id{'' if n_known == 1 else 's'}"


def _note(item: Shortfall) -> str:
    where = f"{tagless(printable(item.file, 400))}:{item.at_line}"
    text = f"[observability {item.line}] {where}: {shown(item.seen)}; {item.remedy}"
    return "\n".join(in_columns(text, "  ", hanging=6, whole_words=True))
