"""Decides which failures may stand for now: who accepted them, why, and until which day.

A waivers file is a YAML list. Each entry names exactly one of `rehearsal`, `check` or `line`
("runbook/line"), and `owner`, `reason` and `until` (a date, at most 30 days ahead). A waiver never hides a
failure: the reason stays in the report, with the waiver beside it. One that has ended turns the run red
until someone removes or renews it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, TypeAdapter

from pytest_l402.boundary.strict_yaml import YamlError, read_yaml
from pytest_l402.boundary.text_safety import seen, suggestion
from pytest_l402.boundary.yaml_entries import Entries, OneLine, YamlEntry, departure, validated
from pytest_l402.signoff.catalogue import Catalogue

MAX_DAYS: Final = 30
"""How many days ahead a waiver may end."""

LOCAL_ARTIFACT_LINE: Final = "observability/2.reference-only"
"""The line that `--allow-missing-local-artifact` waives (runbook observability, section 2)."""


class WaiverError(ValueError):
    """The waivers cannot be used; the message is one line that names the file and the place in it."""


class WaiverTarget(StrEnum):
    """What a waiver covers: all of a rehearsal, a check wherever it runs, or one runbook line
    ("runbook/line").
    """

    REHEARSAL = "rehearsal"
    CHECK = "check"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Waiver:
    """An accepted gap. `until` is the last day on which it counts (UTC); `source` says where it was given."""

    target: WaiverTarget
    name: str
    owner: str
    reason: str
    until: date
    source: str

    def expired(self, today: date) -> bool:
        """Whether its last day has passed."""
        return today > self.until

    def covers(
        self, *, rehearsal: str, runbook: str, check: str | None = None, line: str | None = None
    ) -> bool:
        """Whether it is about this rehearsal, or this check, or this line of the runbook."""
        match self.target:
            case WaiverTarget.REHEARSAL:
                return self.name == rehearsal
            case WaiverTarget.CHECK:
                return self.name == check
            case WaiverTarget.LINE:
                return line is not None and self.name == f"{runbook}/{line}"


def load_waivers(path: Path, catalogue: Catalogue, today: date) -> tuple[Waiver, ...]:
    """Read a waivers file; raises `WaiverError` for the first entry that is incomplete, unknown or too long.

    An entry that has ended is returned, not refused: it is for the verdict to turn red.
    """
    try:
        document, _ = read_yaml(path)
        if document is None or document == []:
            return ()
        entries = validated(_FILE, document)
        for place, what in _contradictions(entries, catalogue, today):
            raise YamlError(f"{place}: expected {what}")
    except YamlError as error:
        raise WaiverError(f"{path}: {error}") from error
    return tuple(
        Waiver(target, name, entry.owner, entry.reason, entry.until, path.as_posix())
        for entry in entries
        for target, name in entry.named.items()
    )


def covering_waiver(
    waivers: Sequence[Waiver],
    today: date,
    *,
    rehearsal: str,
    runbook: str,
    check: str | None = None,
    line: str | None = None,
) -> Waiver | None:
    """Return the first waiver that is still valid and covers this, or None."""
    return next(
        (
            waiver
            for waiver in waivers
            if not waiver.expired(today)
            and waiver.covers(rehearsal=rehearsal, runbook=runbook, check=check, line=line)
        ),
        None,
    )


def missing_local_artifact_waiver(today: date, owner: str = "the operator of this run") -> Waiver:
    """Return what `--allow-missing-local-artifact` means: one line waived, for the day of this run only."""
    return Waiver(
        target=WaiverTarget.LINE,
        name=LOCAL_ARTIFACT_LINE,
        owner=owner,
        reason="no historical local-node artifact was given",
        until=today,
        source="--allow-missing-local-artifact",
    )


def _day(value: object) -> date:
    with suppress(ValueError):
        day = date.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(day, date) and not isinstance(day, datetime):
            return day
    raise departure("a date (YYYY-MM-DD)", seen(value))


class _WaiverEntry(YamlEntry):
    owner: OneLine
    reason: OneLine
    until: Annotated[date, BeforeValidator(_day)]
    rehearsal: OneLine | None = None
    check: OneLine | None = None
    line: OneLine | None = None

    @property
    def named(self) -> dict[WaiverTarget, str]:
        """What it names, by what that is: it must be exactly one thing."""
        found = {target: getattr(self, target) for target in WaiverTarget}
        return {target: name for target, name in found.items() if name is not None}


_FILE: Final = TypeAdapter(Entries[_WaiverEntry])


def _contradictions(
    entries: Sequence[_WaiverEntry], catalogue: Catalogue, today: date
) -> Iterator[tuple[str, str]]:
    known = {
        WaiverTarget.REHEARSAL: [rehearsal.id for rehearsal in catalogue.rehearsals],
        WaiverTarget.LINE: [f"{book.id}/{line.id}" for book in catalogue.runbooks for line in book.lines],
    }
    for index, entry in enumerate(entries):
        if len(entry.named) != 1:
            named = " and ".join(entry.named) or "none"
            yield f"[{index}]", f"exactly one of {', '.join(WaiverTarget)}, saw {named}"
        for target, name in entry.named.items():
            if target in known and name not in known[target]:
                hint = suggestion(name, known[target])
                yield f"[{index}].{target}", f"a {target} of {catalogue.source}, saw {name!r}{hint}"
        if (entry.until - today).days > MAX_DAYS:
            yield (
                f"[{index}].until",
                f"a day at most {MAX_DAYS} days ahead, saw {entry.until.isoformat()}; "
                "a waiver that lasts longer is a decision about the catalogue",
            )
        for target, name in entry.named.items():
            if any(other.named == entry.named for other in entries[:index]):
                yield f"[{index}]", f"one waiver for {target} {name!r}, saw another"
