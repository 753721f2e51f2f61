"""Decides how an incident looks on one self-contained page: requests by domain over time, and the worst."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from pytest_l402.boundary import printable, redact_text
from pytest_l402.contract.rows import Row
from pytest_l402.triage.findings import Choice
from pytest_l402.triage.overview import Overview, clock_time
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
_PLANES: Final = ("control", "gateway", "settlement", "ui")
_WIDTH, _HEIGHT, _SLOTS = 960, 220, 60
_WORST: Final = 10
_SHOWN_RECORDS: Final = 40
_TOLD: Final = (
    *("quotedCostMsats", "paidAmountMsats", "paymentProofRef", "cacheHit"),
    *("denyReason", "nodeSyncStatus"),
)
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1c1c1c;
background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ddd}
svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#444}
.mark{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
.number{text-align:right}code{font-size:.9em;overflow-wrap:anywhere}.step{color:#444}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#181818}td,th{border-color:#444}
svg text{fill:#bbb}.step{color:#bbb}}
"""


def page_of(report: TriageReport) -> str:
    """Return the page; every value from outside is redacted and escaped, nothing is loaded from anywhere."""
    seen = report.overview
    window = f"{clock_time(seen.first_at_ms, day=True)} to {clock_time(seen.last_at_ms, day=True)} UTC"
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width"><title>Incident</title>',
        f"<style>{_STYLE}</style></head><body><h1>Incident: {report.outcome.value}</h1>",
        f"<p>{seen.n_requests:,} requests in {seen.n_records:,} records, {window}.</p>",
        _problems(report),
        f"<h2>Requests by domain over time</h2>{_plot(report)}{_legend(seen)}",
        f"<h2>What went wrong, the most money first</h2>{_causes(seen)}",
        "<h2>The worst requests, plane by plane</h2>",
        *_timelines(report),
        _notes(report),
        "</body></html>\n",
    ]
    return report.referring("".join(parts))


def _safe(value: Any) -> str:
    text = value if isinstance(value, str) else printable(value)
    return escape(printable(short_proofs(redact_text(text)), 300))


def _problems(report: TriageReport) -> str:
    if not report.problems:
        return ""
    told = "".join(f"<li>{_safe(problem)}" for problem in report.problems[:20])
    return f"<h2>What could not be read</h2><ul>{told}</ul>"


def _plot(report: TriageReport) -> str:
    first, last = report.overview.first_at_ms, report.overview.last_at_ms
    if first is None or last is None:
        return "<p>No record has a time that can be drawn.</p>"
    slot = max((last - first) // _SLOTS + 1, 1)
    counted: dict[int, Counter[Domain]] = defaultdict(Counter)
    for place, domain, count in report.findings.slots(first, slot):
        counted[place][domain] += count
    highest = max((sum(counts.values()) for counts in counted.values()), default=1)
    width = _WIDTH / _SLOTS
    bars = []
    for place, counts in sorted(counted.items()):
        y = float(_HEIGHT)
        at = clock_time(first + place * slot)
        for domain in _COLOURS:
            if not counts[domain]:
                continue
            height = counts[domain] / highest * (_HEIGHT - 20)
            y -= height
            bars.append(
                f'<rect x="{place * width:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}" '
                f'fill="{_COLOURS[domain]}"><title>{at} {domain.value}: {counts[domain]}</title></rect>'
            )
    marks = "".join(
        f'<text x="{share * _WIDTH:.0f}" y="{_HEIGHT + 16}" text-anchor="{anchor}">'
        f"{clock_time(first + round((last - first) * share))}</text>"
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 22}" role="img" aria-label="requests by domain over time">'
        f'<text x="0" y="12">{highest:,} requests</text>{"".join(bars)}{marks}</svg>'
    )


def _mark(domain: Domain) -> str:
    return f'<span class=mark style="background:{_COLOURS[domain]}"></span>'


def _legend(seen: Overview) -> str:
    told = (f"{_mark(domain)}{domain.value} {count:,}" for domain, count in seen.domains.items())
    return f"<p>{' &nbsp; '.join(told)}</p>"


def _causes(seen: Overview) -> str:
    if not seen.causes:
        return "<p>Nothing.</p>"
    rows = []
    for cause in seen.causes:
        where = place_of(cause.section)
        section = f"{_safe(cause.section)}{'' if where is None else f', {where}'}"
        ids = ", ".join(f"<code>{_safe(each)}</code>" for each in cause.worst[:3])
        rows.append(
            f"<tr><td>{_mark(cause.domain)}{cause.domain.value}<td class=number>{cause.n_requests:,}"
            f"<td>{_safe(cause.text)}, since {clock_time(cause.since_ms)}<div class=step>next: "
            f"{_safe(cause.next_step)} ({section})</div>{ids}<td class=number>{cause.paid_msats:,}"
        )
    return f"<table><tr><th>domain<th>requests<th>cause<th>msats paid{''.join(rows)}</table>"


def _timelines(report: TriageReport) -> Iterable[str]:
    ids = report.findings.chosen(Choice(), _WORST)
    worst = {each.request_id: each for each in report.findings.diagnoses(ids)}
    told: dict[str, list[Row]] = {
        name: [row for _, row in records] for name, records in report.findings.told_of(ids).items()
    }
    for row in report.incident.records.broken():
        name = row.get("requestId")
        if isinstance(name, str) and name in told and isinstance(row.get("observedAtMs"), int):
            told[name].append(row)
    for each in (worst[name] for name in ids):
        yield (
            f"<h3>{_mark(each.domain)}<code>{_safe(each.request_id)}</code>: {each.domain.value}</h3>"
            f"<p>{_safe(each.reason)}</p>{_timeline(told[each.request_id])}"
        )
    if not worst:
        yield "<p>None: every request is healthy.</p>"


def _timeline(records: list[Row]) -> str:
    shown = sorted(records, key=lambda row: row["observedAtMs"])[:_SHOWN_RECORDS]
    if not shown:
        return ""
    first, last = shown[0]["observedAtMs"], shown[-1]["observedAtMs"]
    lanes = {plane: 18 + 26 * place for place, plane in enumerate(_PLANES)}
    drawn = [
        f'<text x="0" y="{y + 4}">{plane}</text>'
        f'<line x1="90" y1="{y}" x2="{_WIDTH}" y2="{y}" stroke="#8886"/>'
        for plane, y in lanes.items()
    ]
    for row in shown:
        plane = row.get("plane")
        # A broken record may have anything anywhere.
        if not isinstance(plane, str) or plane not in lanes:
            continue
        x = 100 + (row["observedAtMs"] - first) / max(last - first, 1) * (_WIDTH - 120)
        denied = isinstance(row.get("denyReason"), str) and row["denyReason"].strip()
        colour = "#d1495b" if denied else "#2e8b57" if row.get("paymentProofRef") else "#7a7a7a"
        parts = [f"{key}={row[key]}" for key in _TOLD if row.get(key) is not None]
        title = _safe(f"+{row['observedAtMs'] - first} ms, {row.get('executor')}: {', '.join(parts)}")
        shape = "5" if row.get("executor") == "desktop" else "7"
        drawn.append(
            f'<circle cx="{x:.1f}" cy="{lanes[plane]}" r="{shape}" fill="{colour}">'
            f"<title>{title}</title></circle>"
        )
    begun = clock_time(first, day=True) if 10**12 <= first < 10**13 else str(first)
    drawn.append(f'<text x="90" y="126">{begun}</text>')
    drawn.append(f'<text x="{_WIDTH}" y="126" text-anchor="end">{last - first:,} ms later</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} 130" role="img" aria-label="what each plane told">{"".join(drawn)}</svg>'
    )


def _notes(report: TriageReport) -> str:
    told = [_safe(note) for note in report.notes]
    told += [_safe(f"{item.line}: {item.seen}; {item.remedy}") for item in report.shortfalls]
    return f"<h2>Notes</h2><ul>{''.join(f'<li>{each}' for each in told)}</ul>" if told else ""
