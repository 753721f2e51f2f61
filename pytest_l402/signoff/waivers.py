"""Decides which failures may stand for now: who accepted them, why, and until which day.

A waivers file is a YAML list. Each entry names exactly one of `rehearsal`, `check` or `line`
("runbook/line"), and `owner`, `reason` and `until` (a date, at most 30 days ahead). A waiver never hides a
failure: the reason stays in the report, with the waiver beside it. One that has ended turns the run red
until someone removes or renews it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pytest_l402.boundary.strict_yaml import YamlError, items, kind_of, mapping, read_yaml, text
from pytest_l402.boundary.text_safety import suggestion
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
        waivers = [
            _waiver(entry, f"[{index}]", path.as_posix(), catalogue, today)
            for index, entry in enumerate(items(document, "the file"))
        ]
        for index, waiver in enumerate(waivers):
            if any((waiver.target, waiver.name) == (other.target, other.name) for other in waivers[:index]):
                raise YamlError(
                    f"[{index}]: expected one waiver for {waiver.target} {waiver.name!r}, saw another"
                )
    except YamlError as fault:
        raise WaiverError(f"{path}: {fault}") from fault
    return tuple(waivers)


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


def _waiver(entry: object, where: str, source: str, catalogue: Catalogue, today: date) -> Waiver:
    targets = [target.value for target in WaiverTarget]
    fields = mapping(entry, where, ("owner", "reason", "until"), optional=targets)
    named = [target for target in WaiverTarget if target.value in fields]
    if len(named) != 1:
        seen = " and ".join(named) or "none"
        raise YamlError(f"{where}: expected exactly one of {', '.join(targets)}, saw {seen}")
    target = named[0]
    name = text(fields[target.value], f"{where}.{target.value}")
    known = _known_names(target, catalogue)
    if known is not None and name not in known:
        raise YamlError(
            f"{where}.{target.value}: expected a {target.value} of {catalogue.source}, "
            f"saw {name!r}{suggestion(name, known)}"
        )
    return Waiver(
        target=target,
        name=name,
        owner=text(fields["owner"], f"{where}.owner"),
        reason=text(fields["reason"], f"{where}.reason"),
        until=_until(fields["until"], f"{where}.until", today),
        source=source,
    )


def _known_names(target: WaiverTarget, catalogue: Catalogue) -> list[str] | None:
    match target:
        case WaiverTarget.REHEARSAL:
            return [rehearsal.id for rehearsal in catalogue.rehearsals]
        case WaiverTarget.LINE:
            return [f"{runbook.id}/{line.id}" for runbook in catalogue.runbooks for line in runbook.lines]
        case WaiverTarget.CHECK:
            return None


def _until(value: object, where: str, today: date) -> date:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError as error:
            raise YamlError(f"{where}: expected a date (YYYY-MM-DD), saw {kind_of(value)}") from error
    if not isinstance(value, date) or isinstance(value, datetime):
        raise YamlError(f"{where}: expected a date (YYYY-MM-DD), saw {kind_of(value)}")
    if (value - today).days > MAX_DAYS:
        raise YamlError(
            f"{where}: expected a day at most {MAX_DAYS} days ahead, saw {value.isoformat()}; "
            "a waiver that lasts longer is a decision about the catalogue"
        )
    return value
