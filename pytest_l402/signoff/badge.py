"""Decides what a badge says of a run: the verdict, how much passed, and the day, so that an old one looks
old.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import RehearsalState, Verdict
from pytest_l402.signoff.wording import VERDICT_WORDS

_COLOURS: Final = {
    Verdict.SIGNED_OFF: "brightgreen",
    Verdict.NOT_SIGNED_OFF: "red",
    Verdict.INCOMPLETE: "orange",
    Verdict.DRILL: "lightgrey",
}


def badge_message(document: SignOffDocument) -> str:
    """Return the words of the badge, such as "signed off, 7 of 7, 2026-12-01"."""
    required = [entry for entry in document.rehearsals if entry.need == "required"]
    passed = sum(entry.state is RehearsalState.PASSED for entry in required)
    words = VERDICT_WORDS[document.verdict].partition(",")[0].lower()
    try:
        day = datetime.fromtimestamp(document.run.finished_at_ms / 1000, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        day = f"{document.run.finished_at_ms} ms"
    return f"{words}, {passed} of {len(required)}, {day}"


def badge_bytes(document: SignOffDocument) -> bytes:
    """Return the document of a badge in the form of shields.io's endpoint, schema version 1."""
    told = {
        "schemaVersion": 1,
        "label": "l402 sign-off",
        "message": badge_message(document),
        "color": _COLOURS[document.verdict],
        "isError": document.verdict is not Verdict.SIGNED_OFF,
    }
    return json.dumps(told, indent=1).encode() + b"\n"
