"""Decides how an incident looks on one self-contained page: requests by domain over time, and the worst."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.boundary import printable
from pytest_l402.boundary.pages import render, shown
from pytest_l402.contract.rows import Row
from pytest_l402.triage.findings import Choice
from pytest_l402.triage.lanes import Lanes, swimlanes
from pytest_l402.triage.overview import Cause, clock_time
from pytest_l402.triage.report import TriageReport
from pytest_l402.triage.request_text import short_proofs
from pytest_l402.triage.rules import Domain
from pytest_l402.triage.runbook_page import place_of

_COLOURS: Final[Mapping[Domain, str]] = {
    Domain.HEALTHY: "#9fd3b4",
    Domain.POLICY: "#8ea8d8",
    Domain.GATEWAY: "#d1495b",
    Domain.SETTLEMENT: "#edae49",
    Domain.PROJECTION: "#b08ad6",
    Domain.LOCAL_NODE: "#5fb0b7",
    Domain.EXECUTOR: "#a0703c",
    Domain.UNKNOWN: "#6b6b6b",
    Domain.NOT_ENOUGH: "#b9b9b9",
    Domain.INCOMPLETE: "#303030",
}
_TEMPLATE: Final = "triage/templates/incident.html"
_WIDTH, _HEIGHT, _SLOTS = 960, 220, 60
_WORST: Final = 10
_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class _Bar:
    """The requests of one domain in one slot of time, in units of the plot."""

    x: float
    y: float
    width: float
    height: float
    domain: Domain
    title: str


@dataclass(frozen=True, slots=True)
class _Plot:
    width: int
    height: int
    highest: int
    bars: tuple[_Bar, ...]
    times: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True)
class _ShownCause:
    domain: Domain
    requests: int
    text: str
    since: str
    next_step: str
    section: str
    worst: tuple[str, ...]
    paid_msats: int


@dataclass(frozen=True, slots=True)
class _ShownRequest:
    domain: Domain
    request: str
    reason: str
    lanes: Lanes | None


def page_of(report: TriageReport) -> str:
    """Return the page; every value from outside is redacted and escaped, nothing is loaded from anywhere."""
    seen = report.overview
    page = render(
        _TEMPLATE,
        outcome=report.outcome.value,
        is_healthy=not report.problems and set(seen.domains) <= {Domain.HEALTHY},
        seen=seen,
        window=f"{clock_time(seen.first_at_ms, day=True)} to {clock_time(seen.last_at_ms, day=True)} UTC",
        problems=[_safe(problem) for problem in report.problems[:_PROBLEMS]],
        plot=_plot(report),
        colours=_COLOURS,
        causes=[_cause(each) for each in seen.causes],
        worst=list(_worst(report)),
        notes=[
            *(_safe(note) for note in report.notes),
            *(_safe(f"{item.line}: {item.seen}; {item.remedy}") for item in report.shortfalls),
        ],
    )
    return report.referring(page)


def _safe(value: Any, limit: int = 300) -> str:
    return printable(short_proofs(shown(value, 2 * limit)), limit)


def _plot(report: TriageReport) -> _Plot | None:
    first, last = report.overview.first_at_ms, report.overview.last_at_ms
    if first is None or last is None:
        return None
    slot = max((last - first) // _SLOTS + 1, 1)
    counted: dict[int, Counter[Domain]] = defaultdict(Counter)
    for place, domain, count in report.findings.slots(first, slot):
        counted[place][domain] += count
    highest = max((sum(counts.values()) for counts in counted.values()), default=1)
    width = _WIDTH / _SLOTS
    bars = []
    for place, counts in sorted(counted.items()):
        y, at = float(_HEIGHT), clock_time(first + place * slot)
        for domain in _COLOURS:
            if not counts[domain]:
                continue
            height = counts[domain] / highest * (_HEIGHT - 20)
            y -= height
            title = f"{at} {domain.value}: {counts[domain]}"
            x, top, wide, high = (round(size, 1) for size in (place * width, y, width - 1, height))
            bars.append(_Bar(x, top, wide, high, domain, title))
    times = tuple(
        (round(share * _WIDTH), anchor, clock_time(first + round((last - first) * share)))
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return _Plot(_WIDTH, _HEIGHT, highest, tuple(bars), times)


def _cause(cause: Cause) -> _ShownCause:
    where = place_of(cause.section)
    return _ShownCause(
        domain=cause.domain,
        requests=cause.n_requests,
        text=_safe(cause.text),
        since=clock_time(cause.since_ms),
        next_step=_safe(cause.next_step),
        section=f"{_safe(cause.section)}{'' if where is None else f', {where}'}",
        worst=tuple(_safe(each) for each in cause.worst[:3]),
        paid_msats=cause.paid_msats,
    )


def _worst(report: TriageReport) -> Iterable[_ShownRequest]:
    ids = report.findings.chosen(Choice(), _WORST)
    worst = {each.request_id: each for each in report.findings.diagnoses(ids)}
    told: dict[str, list[Row]] = {
        name: [row for _, row in records] for name, records in report.findings.told_of(ids).items()
    }
    for row in report.incident.records.broken():
        name = row.get("requestId")
        if isinstance(name, str) and name in told:
            told[name].append(row)
    for each in (worst[name] for name in ids):
        drawing = swimlanes(told[each.request_id], tell=_safe)
        yield _ShownRequest(each.domain, _safe(each.request_id), _safe(each.reason), drawing)
