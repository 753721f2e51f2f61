"""Decides whether a finding may be there because a client, by its clock, takes each invoice for expired."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from pytest_l402.evidence.causes import subjects_of, tables_named
from pytest_l402.evidence.check import Finding
from pytest_l402.evidence.tables import Evidence, Row

_IN_THE_PAST_MS: Final = 1_764_000_000_000
"""November 2025: no machine that runs this has a clock that stands before it."""
_ENDED_OTHERWISE: Final = ("blocked", "completed", "paid", "cached")
_BY_TRIAGE: Final = "triage says"
_NOT_DONE: Final = frozenset({"injected_faults", "flow_summary"})
"""Tables in which a row tells what did not come about."""


def remedy_for(finding: Finding, evidence: Evidence) -> str:
    """Return what to do about a finding: look at the clock first, where that may be its cause."""
    if not _is_of_something_absent(finding):
        return finding.remedy
    unpaid = _unpaid(evidence)
    if not unpaid:
        return finding.remedy
    known = {row.get("requestId") for row in evidence.table("exchanges")}
    requests = [name for name in known if isinstance(name, str)]
    named = {each.request for each in subjects_of(finding, requests)} - {None}
    if named and not named & unpaid.keys():
        return finding.remedy
    return _clock_remedy(unpaid.values()) or finding.remedy


def _clock_remedy(challenges: Iterable[Row]) -> str | None:
    """Return what to do about challenges that nobody paid; None where the stack's clock is no reason."""
    last = max((at for row in challenges if isinstance(at := row.get("atMs"), int)), default=None)
    if last is None or last >= _IN_THE_PAST_MS:
        return None
    return (
        f"the clock of the stack stands at {_day(last)}: a client that holds an invoice's expiry against "
        "the machine's clock takes it for expired, and never pays; run with --l402-clock=now. For any "
        "other reason see its records (denyReason)"
    )


def _unpaid(evidence: Evidence) -> dict[str, Row]:
    """The last challenge of each purchase that was asked to pay, and of which no wallet heard."""
    ended = {row.get("requestId") for row in evidence.table("tasks") if row.get("status") in _ENDED_OTHERWISE}
    bought = {row.get("requestId") for row in evidence.table("tasks")} - ended
    tried = {row.get("paymentHash") for row in evidence.table("payments")}
    found: dict[str, Row] = {}
    for row in evidence.table("exchanges"):
        request_id = row.get("requestId")
        if not isinstance(request_id, str) or request_id not in bought:
            continue
        if row.get("credential") != "absent" or row.get("paymentHash") in tried - {None}:
            bought.discard(request_id)
            found.pop(request_id, None)
        elif row.get("challenge") == "issued":
            found[request_id] = row
    return found


def _is_of_something_absent(finding: Finding) -> bool:
    """Whether it tells what is not there, and not what somebody else did wrong."""
    named = tables_named(finding.where)
    done = {table for table, rows in named if rows} | {each.table for each in finding.about if each.rows}
    if finding.remedy.startswith(_BY_TRIAGE):
        return done <= {"records"}
    return bool(named or finding.about) and done <= _NOT_DONE


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).date().isoformat()
