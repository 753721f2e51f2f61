"""Decides how one diagnosis is shown: on a terminal and in JSON, with nothing secret or harmful in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.boundary import printable, redact_text, tagless
from pytest_l402.boundary.columns import in_columns
from pytest_l402.triage.conclusion import Diagnosis
from pytest_l402.triage.incident_rows import SourcedRow
from pytest_l402.triage.runbook_page import place_of

# 32 bytes in hex or base64, as no reference is written.
_PREIMAGE = re.compile(r"[0-9a-fA-F]{64}|[\w+/-]{43}=?")
# In free text, unless it is called a hash.
_BARE = re.compile(r"(?<![\w:])(?<!hash[ =:])(?<!hash: )(?<!hash = )[0-9a-fA-F]{64}(?!\w)", re.IGNORECASE)
LONG: Final = 43
"""How long, in characters, a text is at least that may hold a preimage itself."""
_PROOF: Final = re.compile(r"\b(?:lightning_)?preimage:([0-9a-f]{16,24})\b")
_PROOF_DIGEST: Final = "proof:"


@dataclass(frozen=True, slots=True)
class SourcedDiagnosis:
    """A diagnosis and the row that decided it, or None when no single one does."""

    diagnosis: Diagnosis
    row: SourcedRow | None


def request_text(request: SourcedDiagnosis, departures: Sequence[str]) -> str:
    """The five parts of a diagnosis, and what is wrong with the records of the request."""
    diagnosis = request.diagnosis
    where = "no single record" if request.row is None else request.row.where
    if request.row is not None and request.row.path:
        where += f" {request.row.path}"
    decided = f"{diagnosis.deciding_field}={shown(diagnosis.deciding_value)} at {where}"
    parts = [
        ("why", shown(diagnosis.reason)),
        ("decided", f"{decided} (rule {diagnosis.rule})"),
        ("runbook", _section(diagnosis.section)),
        ("next", diagnosis.next_step),
        *(("fault", item) for item in departures),
    ]
    lines = in_columns(f"{shown(diagnosis.request_id)}: {diagnosis.domain.value}", whole_words=True)
    for label, text in parts:
        lines += in_columns(text, f"  {label:<9} ", whole_words=True)
    return "\n".join(lines)


def request_row(request: SourcedDiagnosis) -> dict[str, Any]:
    """The entry of the JSON document."""
    diagnosis, row = request.diagnosis, request.row
    value = diagnosis.deciding_value
    return {
        "requestId": clean(diagnosis.request_id),
        "domain": diagnosis.domain.value,
        "rule": diagnosis.rule,
        "decidingField": diagnosis.deciding_field,
        "decidingValue": clean(value) if isinstance(value, str) else value,
        "record": None
        if row is None
        else {"file": printable(row.file, 400), "line": row.line, "path": row.path},
        "section": diagnosis.section,
        "nextStep": diagnosis.next_step,
        "reason": clean(diagnosis.reason),
        "paidMsats": diagnosis.paid_msats,
        "firstAtMs": diagnosis.first_at_ms,
        "lastAtMs": diagnosis.last_at_ms,
        "runbookPage": place_of(diagnosis.section),
    }


def _section(section: str) -> str:
    name = f"observability, section {section}" if section[:1].isdigit() else f"observability, {section}"
    place = place_of(section)
    return name if place is None else f"{name} ({place})"


def short_proofs(text: str) -> str:
    """Return `text` with each proof reference as a short digest, which the next query takes; both forms of a
    proof have the same.
    """
    return _PROOF.sub(_digested, text)


def _digested(match: re.Match[str]) -> str:
    return _PROOF_DIGEST + hashlib.sha256(match[1][:16].encode()).hexdigest()[:10]


def names_proof(text: str) -> bool:
    """Whether a query asks for a payment: by a proof, or by its digest as it is shown."""
    return _PROOF.fullmatch(text) is not None or text.startswith(_PROOF_DIGEST)


def bare_preimages(proof: object, texts: Iterable[object]) -> Iterator[str]:
    """Yield what may be a preimage in a record: its proof, and within its id or the reason of a denial."""
    if isinstance(proof, str) and _PREIMAGE.fullmatch(proof) is not None:
        yield proof
    for text in texts:
        if isinstance(text, str) and len(text) >= LONG:
            yield from _BARE.findall(text)


def clean(text: str) -> str:
    """Return a foreign text for a document: without secrets, and nothing in it that cannot be seen."""
    return printable(redact_text(text), 600)


def shown(value: object) -> str:
    """Return a foreign value for the terminal: nothing in it can colour, move the cursor or open a tag."""
    if value is None:
        return "null"
    text = redact_text(value) if isinstance(value, str) else printable(value)
    return short_proofs(tagless(printable(text, 600)))
