"""Says what was read from incident files: rows with the place they came from, and what could not be used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pytest_l402.contract.rows import Row
from pytest_l402.triage.correlation import Engine
from pytest_l402.triage.places import Place, Places


class Records(Engine, Protocol):
    """Every record that was read, by its number, and what the model makes of them."""

    places: Places

    def __len__(self) -> int:
        """How many there are; what is told again counts once."""

    def __getitem__(self, number: int, /) -> SourcedRow:
        """The record of a number, with the place where it stands; an empty one where it cannot be known."""

    def __iter__(self) -> Iterator[SourcedRow]:
        """Each of them, in the order read."""

    def broken(self) -> Iterable[Row]:
        """Those that break the contract, the first thousands of them."""

    def settle(self) -> None:
        """Run the model; nothing is added later. Raises `InputError` if there is no room for it."""


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
        return Place(self.file, self.line).where


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
    `summaries` and `artifacts` are documents whole; `flows` are the purchases of the artifacts; `notes` say
    what had to be done to read the files.
    """

    records: Records
    artifacts: tuple[SourcedRow, ...] = ()
    summaries: tuple[SourcedRow, ...] = ()
    departures: tuple[IncidentDeparture, ...] = ()
    secrets: tuple[SecretPlace, ...] = ()
    flows: tuple[SourcedRow, ...] = ()
    notes: tuple[str, ...] = ()

    def table(self, name: str) -> tuple[Row, ...]:
        """The tables that triage reads: `records` in the order of `self.records`, and `local_artifact`."""
        match name:
            case "records":
                return tuple(record.row for record in self.records)
            case "local_artifact":
                return tuple(artifact.row for artifact in self.artifacts)
        return ()

    @property
    def bad_input(self) -> tuple[IncidentDeparture, ...]:
        """The departures that no single request bears alone."""
        return tuple(item for item in self.departures if item.effect is DepartureEffect.BAD_INPUT)


_REQUEST_ID = re.compile(r'"requestId"\s*:\s*("(?:[^"\\]|\\.)*")')


def named_request(data: bytes) -> tuple[str | None, bool]:
    """Return the one request id that a refused line names, and whether the line is JSON in all else."""
    pairs: object = None
    try:
        text = data.decode("utf-8")
        pairs = json.loads(text, object_pairs_hook=_pairs)
        found = {value for key, value in pairs if key == "requestId"} if isinstance(pairs, _Pairs) else set()
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace")
        found = {json.loads(literal, strict=False) for literal in _REQUEST_ID.findall(text)}
    request_id = found.pop() if len(found) == 1 else None
    if not isinstance(request_id, str) or not request_id or not _is_unicode(request_id):
        request_id = None
    return request_id, isinstance(pairs, _Pairs)


class _Pairs(tuple[tuple[str, object], ...]):
    """Keys and values of an object, repeats included; unlike a list it cannot be taken for an array."""


def _pairs(pairs: list[tuple[str, object]]) -> _Pairs:
    return _Pairs(pairs)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
