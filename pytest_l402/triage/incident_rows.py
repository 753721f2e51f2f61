"""Says what was read from incident files: rows with the place they came from, and what could not be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pytest_l402.boundary import printable, tagless
from pytest_l402.contract.rows import Row
from pytest_l402.triage.correlation import flow_request_ids


class DepartureEffect(StrEnum):
    """What a departure does to the answer.

    `incomplete`: it names its request, so that request alone cannot be judged. `bad-input`: it may hide
    anything of any request, so no answer about the file can be trusted to be complete.
    """

    INCOMPLETE = "incomplete"
    BAD_INPUT = "bad-input"


@dataclass(frozen=True, slots=True)
class SourcedRow:
    """One row or whole document, and where it stands: file as given, line from 1, dotted path inside it."""

    row: Mapping[str, Any]
    file: str
    line: int
    path: str = ""

    @property
    def where(self) -> str:
        """`file:line`, safe to print."""
        return f"{tagless(printable(self.file, 400))}:{self.line}"


@dataclass(frozen=True, slots=True)
class IncidentDeparture:
    """What is wrong in a file, in one line that is safe to print; `line` and `field` may be unknown."""

    message: str
    file: str
    line: int | None
    field: str | None
    expected: str
    seen: str
    request_id: str | None
    effect: DepartureEffect


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """A line of a file that holds a secret in the clear."""

    file: str
    line: int


@dataclass(frozen=True)
class Incident:
    """Everything that one or more files told, in the order read.

    A record that breaks the contract is among `records` as it is, and one that could not even be parsed
    stands there as far as its request id could be read: triage then takes that request as incomplete.
    `summaries` and `artifacts` are documents whole; `flows` are the purchases of the artifacts.
    """

    records: tuple[SourcedRow, ...] = ()
    artifacts: tuple[SourcedRow, ...] = ()
    summaries: tuple[SourcedRow, ...] = ()
    departures: tuple[IncidentDeparture, ...] = ()
    secrets: tuple[SecretPlace, ...] = ()
    flows: tuple[SourcedRow, ...] = ()

    def table(self, name: str) -> tuple[Row, ...]:
        """The tables that triage reads: `records` in the order of `self.records`, and `local_artifact`."""
        match name:
            case "records":
                return tuple(record.row for record in self.records)
            case "local_artifact":
                return tuple(artifact.row for artifact in self.artifacts)
        return ()

    def request_ids(self) -> tuple[str, ...]:
        """Every request id that a record or a flow names, sorted."""
        named = {record.row.get("requestId") for record in self.records}
        for flow in self.flows:
            named.update(flow_request_ids(flow.row))
        return tuple(sorted(name for name in named if isinstance(name, str) and name))

    @property
    def bad_input(self) -> tuple[IncidentDeparture, ...]:
        """The departures that no single request bears alone."""
        return tuple(item for item in self.departures if item.effect is DepartureEffect.BAD_INPUT)
