"""Decides how the records of one request are drawn: a lane a plane, a mark a record, a rule where a fault
came or went.

What is told in order of time stands at equal distances: a retry after a minute is not to push all that came
before it into one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.boundary.pages import shown
from pytest_l402.contract.proof_reference import proof_join_key
from pytest_l402.contract.record import Plane
from pytest_l402.triage.overview import clock_time

MAX_MARKS: Final = 60
"""How many records are drawn; a page says how many were not."""

Tell = Callable[[object, int], str]
"""Returns a value from outside as text for a page, cut to so many characters."""

_LEFT, _RIGHT, _TOP, _TOP_OF_RULES, _PITCH, _WIDTH = 104, 24, 6, 36, 30, 960
_TOLD: Final = (
    *("quotedCostMsats", "paidAmountMsats", "paymentProofRef", "cacheHit"),
    *("denyReason", "nodeSyncStatus"),
)


@dataclass(frozen=True, slots=True)
class Instant:
    """A fault that came or went: what is written beside its rule, and when (epoch ms)."""

    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One plane; `absent` says who told nothing there, which may be the finding."""

    name: str
    y: int
    absent: str
    is_empty: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """One record: `kind` is denied, proven or told; `target` is the anchor of the record, "" without one."""

    x: float
    y: int
    kind: str
    is_desktop: bool
    title: str
    target: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault that came or went; `row` keeps the words of neighbours apart."""

    x: float
    text: str
    row: int
    anchor: str


@dataclass(frozen=True, slots=True)
class Lanes:
    """A drawing of records, in units of its own view box."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    rules: tuple[Rule, ...]
    threads: tuple[str, ...]
    label: str
    begins: str
    ends: str
    left_out: int


def swimlanes(
    records: Sequence[Mapping[str, Any]],
    targets: Sequence[str] = (),
    faults: Sequence[Instant] = (),
    tell: Tell = shown,
) -> Lanes | None:
    """Return the drawing of the records of one request; None if none of them has a plane and a time.

    `targets` are the anchors of the records, in their order, `tell` shows a value of one. A broken record may
    have anything anywhere: it is not drawn. A fault that came before the first record, or went after the
    last, stands at the edge.
    """
    planes = [plane.value for plane in Plane]
    drawable = [
        (row["observedAtMs"], row, targets[place] if place < len(targets) else "")
        for place, row in enumerate(records)
        if type(row.get("observedAtMs")) is int and row.get("plane") in planes
    ]
    if not drawable:
        return None
    # Of two at the same instant the first told stays the first: the rows are in the order of their telling.
    drawable.sort(key=lambda told: told[0])
    kept, first = drawable[:MAX_MARKS], drawable[0][0]
    # A fault is there before what it changes, and gone before what it no longer changes.
    slots = sorted(
        [(at.at_ms, 0, n) for n, at in enumerate(faults)] + [(t, 1, n) for n, (t, _, _) in enumerate(kept)]
    )
    places = {(kind, number): place for place, (_, kind, number) in enumerate(slots)}
    step = min((_WIDTH - _LEFT - _RIGHT) / max(len(slots), 1), 72.0)

    def x(kind: int, number: int) -> float:
        return round(_LEFT + step * (places[kind, number] + 0.5), 1)

    top = _TOP_OF_RULES if faults else _TOP
    y = {plane: top + _PITCH * place + _PITCH // 2 for place, plane in enumerate(planes)}
    marks = tuple(
        Mark(
            x=x(1, n),
            y=y[row["plane"]],
            kind=_kind(row),
            is_desktop=row.get("executor") == "desktop",
            title=_title(row, first, tell),
            target=target,
        )
        for n, (_, row, target) in enumerate(kept)
    )
    lanes = tuple(_lane(plane, y[plane], [mark for mark in marks if mark.y == y[plane]]) for plane in planes)
    told = ", ".join(f"{each.name}: {each.absent or 'told'}" for each in lanes)
    injected = f"; {', '.join(shown(each.text, 60) for each in faults)}" if faults else ""
    last = kept[-1][0]
    return Lanes(
        width=_WIDTH,
        height=top + _PITCH * len(planes) + 22,
        lanes=lanes,
        marks=marks,
        rules=tuple(
            Rule(x(0, n), shown(each.text, 60), n % 2, "end" if x(0, n) > _WIDTH * 0.7 else "start")
            for n, each in enumerate(faults)
        ),
        threads=_threads(kept, marks),
        label=f"records by plane, in order of time: {told}{injected}",
        begins=clock_time(first, day=True) if 10**12 <= first < 10**13 else f"{shown(first, 40)} ms",
        ends=f"{last - first:,} ms later",
        left_out=len(drawable) - len(kept),
    )


def _lane(plane: str, y: int, marks: Sequence[Mark]) -> Lane:
    if not marks:
        return Lane(plane, y, "no record seen", True)
    return Lane(plane, y, "only the buyer tells" if all(mark.is_desktop for mark in marks) else "", False)


def _kind(row: Mapping[str, Any]) -> str:
    denied = row.get("denyReason")
    if isinstance(denied, str) and denied.strip():
        return "denied"
    return "proven" if row.get("paymentProofRef") else "told"


def _title(row: Mapping[str, Any], first: int, tell: Tell) -> str:
    parts = [f"{key}={tell(row[key], 80)}" for key in _TOLD if row.get(key) is not None]
    speaker = tell(row.get("executor"), 20)
    return f"+{row['observedAtMs'] - first} ms, {speaker}{': ' if parts else ''}{', '.join(parts)}"


def _threads(kept: Sequence[tuple[int, Mapping[str, Any], str]], marks: Sequence[Mark]) -> tuple[str, ...]:
    """The lines that join the records that name one proof, in order of time."""
    joined: dict[str, list[str]] = {}
    for (_, row, _), mark in zip(kept, marks, strict=True):
        named = row.get("paymentProofRef")
        proof = proof_join_key(named) if isinstance(named, str) else None
        if proof is not None:
            joined.setdefault(proof, []).append(f"{mark.x},{mark.y}")
    return tuple(" ".join(points) for points in joined.values() if len(points) > 1)
