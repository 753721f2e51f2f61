"""Decides how the records of one test are shown: by request, each with its lanes, what a record tells apart
from what it does not know and from what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.boundary.pages import shown
from pytest_l402.contract.record import REQUIRED_KEYS
from pytest_l402.signoff.page.kept_rows import Kept, Row
from pytest_l402.triage.lanes import Instant, Lanes, swimlanes

_OWN_COLUMN: Final = frozenset({"requestId", "plane", "executor", "observedAtMs"})


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """One record: what it tells, the keys that are null, and the required keys that are not there."""

    anchor: str
    line: int
    at: str
    plane: str
    speaker: str
    told: tuple[tuple[str, str], ...]
    null: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """What one test left of one request; `name` is "" for records that name none."""

    name: str
    anchor: str
    lanes: Lanes | None
    records: tuple[ShownRecord, ...]


@dataclass(frozen=True, slots=True)
class ShownFault:
    """A fault, and when it came and went, in epoch ms of the system's clock; None is not known."""

    name: str
    fired: int
    injected_at_ms: int
    removed_at_ms: int | None
    request: str | None


def show_requests(
    records: Sequence[Row], faults: Sequence[ShownFault], prefix: str, limit: int
) -> tuple[ShownRequest, ...]:
    """Return the first records by request, in the order in which requests were first told of.

    `prefix` is that of the anchors; they count lines of the file from 1.
    """
    by_request: dict[str, list[tuple[int, Row]]] = {}
    for line, row in enumerate(records[:limit], start=1):
        name = row.get("requestId")
        by_request.setdefault(name if isinstance(name, str) else "", []).append((line, row))
    return tuple(
        _request(name, f"{prefix}-q{number}", lines, faults, prefix)
        for number, (name, lines) in enumerate(by_request.items(), start=1)
    )


def anchor_of(prefix: str, line: int) -> str:
    """Return the anchor of the record in a line of a test's file of records."""
    return f"{prefix}-r{line}"


def faults_of(kept: Kept) -> tuple[ShownFault, ...]:
    """Return what was injected, as far as its rows can be read."""
    return tuple(
        ShownFault(
            name=shown(row.get("fault"), 60),
            fired=row["fired"] if type(row.get("fired")) is int else 0,
            injected_at_ms=row["injectedAtMs"],
            removed_at_ms=row["removedAtMs"] if type(row.get("removedAtMs")) is int else None,
            request=row["requestId"] if isinstance(row.get("requestId"), str) else None,
        )
        for row in kept.rows
        if type(row.get("injectedAtMs")) is int
    )


def _request(
    name: str, anchor: str, lines: Sequence[tuple[int, Row]], faults: Sequence[ShownFault], prefix: str
) -> ShownRequest:
    rows = [row for _, row in lines]
    times = [row["observedAtMs"] for row in rows if type(row.get("observedAtMs")) is int]
    first = min(times, default=0)
    met = [fault for fault in faults if times and _meets(fault, name, first, max(times))]
    return ShownRequest(
        name=shown(name, 200),
        anchor=anchor,
        lanes=swimlanes(rows, [anchor_of(prefix, line) for line, _ in lines], _instants(met)),
        records=tuple(_record(row, line, first, prefix) for line, row in lines),
    )


def _meets(fault: ShownFault, request: str, first: int, last: int) -> bool:
    """Whether a fault was there while the request was told of, and was meant for it."""
    gone_before = fault.removed_at_ms is not None and fault.removed_at_ms < first
    return fault.request in (None, request) and fault.injected_at_ms <= last and not gone_before


def _instants(faults: Sequence[ShownFault]) -> list[Instant]:
    came = [Instant(f"{fault.name} injected", fault.injected_at_ms) for fault in faults]
    went = [
        Instant(f"{fault.name} removed", fault.removed_at_ms)
        for fault in faults
        if fault.removed_at_ms is not None
    ]
    return sorted([*came, *went], key=lambda each: each.at_ms)


def _record(row: Mapping[str, Any], line: int, first: int, prefix: str) -> ShownRecord:
    at = row.get("observedAtMs")
    told = [(shown(key, 60), shown(value)) for key, value in row.items() if _is_told(key, value)]
    return ShownRecord(
        anchor=anchor_of(prefix, line),
        line=line,
        at=f"+{at - first:,} ms" if type(at) is int else shown(at, 40) if at is not None else "",
        plane=_own(row, "plane"),
        speaker=_own(row, "executor"),
        told=tuple(told),
        null=tuple(shown(key, 60) for key, value in row.items() if value is None),
        missing=tuple(key for key in REQUIRED_KEYS if key not in row),
    )


def _own(row: Mapping[str, Any], key: str) -> str:
    return "" if row.get(key) is None else shown(row[key], 40)


def _is_told(key: str, value: Any) -> bool:
    if value is None:
        return False
    # What is no text stands in no column of its own.
    return key not in _OWN_COLUMN or (key == "requestId" and not isinstance(value, str))
