"""Decides what an on-call sees first: totals, the time window, and what went wrong, by cause, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pytest_l402.triage.diagnosis import Diagnosis
from pytest_l402.triage.rules import RULES, Domain

_CAUSES: Final = {rule.name: rule.cause for rule in RULES} | {"no_record": "no record names the request"}


@dataclass(frozen=True, slots=True)
class Cause:
    """What many requests have in common; times in epoch ms, money in msats, the worst requests first."""

    domain: Domain
    rule: str
    requests: tuple[Diagnosis, ...]

    @property
    def text(self) -> str:
        """In short, what went wrong."""
        return _CAUSES[self.rule]

    @property
    def since_ms(self) -> int | None:
        """When the first of them began; None if no time of them is known."""
        return min((each.first_at_ms for each in self.requests if each.first_at_ms is not None), default=None)

    @property
    def paid_msats(self) -> int:
        """What was paid for all of them: the money at stake."""
        return sum(each.paid_msats for each in self.requests)

    def to_row(self) -> dict[str, Any]:
        """Return the entry of the JSON document."""
        return {
            "domain": self.domain.value,
            "rule": self.rule,
            "cause": self.text,
            "requests": len(self.requests),
            "paidMsats": self.paid_msats,
            "sinceMs": self.since_ms,
            "worst": [each.request_id for each in self.requests[:5]],
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """An incident on one screen; the window is in epoch ms, None where no record has a time."""

    n_records: int
    domains: dict[Domain, int]
    causes: tuple[Cause, ...]
    first_at_ms: int | None
    last_at_ms: int | None

    @property
    def n_requests(self) -> int:
        """All requests, whatever their domain."""
        return sum(self.domains.values())

    def to_row(self) -> dict[str, Any]:
        """Return the part of the JSON document."""
        return {
            "records": self.n_records,
            "requests": self.n_requests,
            "fromMs": self.first_at_ms,
            "toMs": self.last_at_ms,
            "domains": {domain.value: count for domain, count in self.domains.items()},
            "causes": [cause.to_row() for cause in self.causes],
        }


def overview(diagnoses: Iterable[Diagnosis], n_records: int) -> Overview:
    """Group what was diagnosed; the cause with the most money at stake first, then the most frequent."""
    found = list(diagnoses)
    by_cause: dict[tuple[Domain, str], list[Diagnosis]] = {}
    for each in found:
        if not each.healthy:
            by_cause.setdefault((each.domain, each.rule), []).append(each)
    causes = [
        Cause(domain, rule, tuple(worst_first(requests))) for (domain, rule), requests in by_cause.items()
    ]
    counted = Counter(each.domain for each in found)
    times = [at for each in found for at in (each.first_at_ms, each.last_at_ms) if at is not None]
    return Overview(
        n_records,
        {domain: counted[domain] for domain in Domain if counted[domain]},
        tuple(sorted(causes, key=lambda cause: (-cause.paid_msats, -len(cause.requests), cause.rule))),
        min(times, default=None),
        max(times, default=None),
    )


def worst_first(diagnoses: Iterable[Diagnosis]) -> list[Diagnosis]:
    """What failed before what is healthy, then by what was paid, then the earliest."""
    return sorted(
        diagnoses,
        key=lambda each: (each.healthy, -each.paid_msats, each.first_at_ms or 0, each.request_id),
    )


def clock_time(at_ms: int | None, *, day: bool = False) -> str:
    """`02:14:07` in UTC, with `day` also the date; `?` for an unknown time."""
    if at_ms is None:
        return "?"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def first_screen(seen: Overview, shown_ids: Sequence[str], n_files: int) -> list[tuple[str, str]]:
    """The lines of the first screen, each with the label before it; `shown_ids` are the ids, safe to print.

    `shown_ids` holds for each cause its worst request.
    """
    files = f"{n_files} file{'' if n_files == 1 else 's'}"
    window = f"{clock_time(seen.first_at_ms, day=True)} to {clock_time(seen.last_at_ms, day=True)} UTC"
    lines = [
        ("", f"{seen.n_requests:,} requests in {seen.n_records:,} records of {files}, {window}"),
        ("", ", ".join(f"{count:,} {domain.value}" for domain, count in seen.domains.items())),
    ]
    for cause, worst in zip(seen.causes, shown_ids, strict=False):
        n = len(cause.requests)
        money = f"; {cause.paid_msats:,} msats paid" if cause.paid_msats else ""
        lines.append(
            (
                cause.domain.value,
                f"{n:,} request{'' if n == 1 else 's'}: {cause.text}, since {clock_time(cause.since_ms)}"
                f"{money}; such as {worst} (rule {cause.rule})",
            )
        )
    return lines
