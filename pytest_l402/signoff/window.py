"""Decides how long a sign-off may be relied on, and whether that time is over."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from pytest_l402.signoff.document_entries import WindowEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import SignOff, Verdict
from pytest_l402.signoff.wording import plural

VALID_DAYS: Final = 30
"""How many days a sign-off may be relied on, unless a run says otherwise."""

MAX_VALID_DAYS: Final = 366

_SKEW_MS: Final = 300_000
"""How far the clock of who reads a sign-off may be behind that of who made it."""


class Currency(StrEnum):
    """Whether a sign-off counts at an instant; NOT_YET means that one of two clocks is wrong."""

    CURRENT = "current"
    STALE = "stale"
    NOT_YET = "not-yet"
    ENDLESS = "endless"
    NO_SIGN_OFF = "no-sign-off"


def window_of(sign_off: SignOff, valid_days: int = VALID_DAYS) -> WindowEntry | None:
    """Return from when to when a sign-off may be relied on; None for anything else.

    It ends after `valid_days` days, or with the last day of the first waiver that it stands on, in UTC.
    """
    if sign_off.verdict is not Verdict.SIGNED_OFF:
        return None
    begin = sign_off.facts.finished_at_ms
    ends = {begin + valid_days * 86_400_000: f"its {plural(valid_days, 'day')}"}
    required = (outcome for outcome in sign_off.outcomes if outcome.required)
    for waiver in (reason.waiver for outcome in required for reason in outcome.reasons):
        if waiver is not None:
            ends.setdefault(max(begin, _end_of(waiver.until)), f"the waiver of {waiver.target} {waiver.name}")
    end = min(ends)
    return WindowEntry(not_before_ms=begin, not_after_ms=end, ended_by=ends[end])


def currency(document: SignOffDocument, now_ms: int) -> Currency:
    """Return whether a document is a sign-off that counts now; `now_ms` is epoch ms."""
    if document.verdict is not Verdict.SIGNED_OFF:
        return Currency.NO_SIGN_OFF
    window = document.window
    if window is None:
        return Currency.ENDLESS
    if now_ms < window.not_before_ms - _SKEW_MS:
        return Currency.NOT_YET
    return Currency.STALE if now_ms > window.not_after_ms else Currency.CURRENT


def _end_of(day: date) -> int:
    next_day = datetime.combine(day + timedelta(days=1), time(), UTC)
    return int(next_day.timestamp()) * 1000 - 1
