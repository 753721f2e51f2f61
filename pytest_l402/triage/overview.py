"""Decides what an on-call sees first: totals, the time window, and what went wrong, by cause, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pytest_l402.triage.rules import RULES, Domain

_CAUSES: Final = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Cause:
    """What many requests have in common.

    `paid_msats` is what was paid for all of them, the money at stake; `since_ms` when the first of them
    began, in epoch ms, None if no time of them is known; `worst` are the ids of some, the worst first.
    """

    domain: Domain
    rule: str
    n_requests: int
    paid_msats: int
    since_ms: int | None
    worst: tuple[str, ...]

    @property
    def text(self) -> str:
        """In short, what went wrong."""
        return _CAUSES[self.rule].cause

    @property
    def section(self) -> str:
        """Where the runbook tells of it."""
        return _CAUSES[self.rule].section

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return _CAUSES[self.rule].next_step

    def to_row(self) -> dict[str, Any]:
        """Return the entry of the JSON document."""
        return {
            "domain": self.domain.value,
            "rule": self.rule,
            "cause": self.text,
            "requests": self.n_requests,
            "paidMsats": self.paid_msats,
            "sinceMs": self.since_ms,
            "worst": list(self.worst),
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
        n = cause.n_requests
        money = f"; {cause.paid_msats:,} msats paid" if cause.paid_msats else ""
        lines.append(
            (
                cause.domain.value,
                f"{n:,} request{'' if n == 1 else 's'}: {cause.text}, since {clock_time(cause.since_ms)}"
                f"{money}; such as {worst} (rule {cause.rule})",
            )
        )
    return lines
