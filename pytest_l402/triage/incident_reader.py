"""Decides what one parsed document is, takes its records, and says of each departure what it spoils."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_l402.boundary import InputError, redact_text
from pytest_l402.boundary.json_positions import line_of, member_offsets
from pytest_l402.boundary.text_safety import seen
from pytest_l402.contract import REQUIRED_KEYS, Departure, DocumentError, LocalNodeArtifact, record_departures
from pytest_l402.triage.incident_rows import (
    DepartureEffect,
    Incident,
    IncidentDeparture,
    SecretPlace,
    SourcedRow,
)

_FORMS = "a record, a list of records, a snapshot, a local-node artifact or an observability summary"
_SECRET_PLACES_A_FILE = 20


class IncidentReader:
    """Gathers an incident document by document; `start_file` and `finish_file` frame those of one file."""

    def __init__(self, several_files: bool = False) -> None:
        self._several_files = several_files
        self._records: list[SourcedRow] = []
        self._artifacts: list[SourcedRow] = []
        self._summaries: list[SourcedRow] = []
        self._flows: list[SourcedRow] = []
        self._departures: list[IncidentDeparture] = []
        self._secrets: list[SecretPlace] = []
        self._told: set[int] = set()
        self.start_file("")

    def start_file(self, file: str) -> None:
        """Begin with the file of this name."""
        self._file = file
        self._first_departure = len(self._departures)
        self._first_record = len(self._records)
        self._first_secret = len(self._secrets)
        self._usable = 0

    def finish_file(self) -> None:
        """End the file: one without anything valid in it is bad input as a whole."""
        if self._several_files:
            self._told.update(_fingerprint(record.row) for record in self._records[self._first_record :])
        if self._usable:
            return
        if len(self._departures) == self._first_departure:
            self._add_departure(
                InputError.at(self._file, expected="at least one record", seen="none"),
                DepartureEffect.BAD_INPUT,
                None,
            )
        for index in range(self._first_departure, len(self._departures)):
            self._departures[index] = replace(self._departures[index], effect=DepartureEffect.BAD_INPUT)

    def incident(self) -> Incident:
        """Return what was gathered."""
        return Incident(
            records=tuple(self._records),
            artifacts=tuple(self._artifacts),
            summaries=tuple(self._summaries),
            departures=tuple(self._departures),
            secrets=tuple(self._secrets),
            flows=tuple(self._flows),
        )

    def refuse(
        self,
        error: InputError,
        effect: DepartureEffect = DepartureEffect.BAD_INPUT,
        request_id: str | None = None,
        line: int | None = None,
    ) -> None:
        """Note what cannot be used; with `line`, a row stands in for it, and its request is incomplete."""
        self._add_departure(error, effect, request_id)
        if line is not None:
            stand_in = {} if request_id is None else {"requestId": request_id}
            self._records.append(SourcedRow(stand_in, self._file, line))

    def take(self, value: object, text: str, first_line: int) -> None:
        """Take a parsed document; `text` is what it was parsed from, its first line is `first_line`."""
        place = _Lines(text, first_line)
        self._look_for_secrets(text, first_line)
        if isinstance(value, list):
            self._take_records(value, "", place)
        elif not isinstance(value, dict):
            self._refuse_value(f"an object: {_FORMS}", seen(value), "", place)
        elif "flows" in value:
            self._take_artifact(value, place)
        elif "records" in value:
            self._take_collection(value, place)
        elif not value.keys() & set(REQUIRED_KEYS) or "coverage" in value or "stage" in value:
            self._refuse_value(_FORMS, _what_it_is(value), "", place)
        else:
            self._take_record(value, "", place)

    def _take_collection(self, value: dict[str, Any], place: _Lines) -> None:
        """Take a snapshot or an observability summary."""
        records = value["records"]
        if not isinstance(records, list):
            self._refuse_value("a list of records", seen(records), "records", place)
            return
        if "recordCount" in value or "requiredFieldKeys" in value:
            self._summaries.append(SourcedRow(value, self._file, place.first_line))
        self._take_records(records, "records", place)

    def _take_artifact(self, value: dict[str, Any], place: _Lines) -> None:
        flows = value["flows"] if isinstance(value["flows"], list) else []
        for index, flow in enumerate(flows):
            inner = flow.get("observabilityRecords") if isinstance(flow, dict) else None
            if isinstance(inner, list):
                self._take_records(inner, f"flows[{index}].observabilityRecords", place)
        try:
            # The records were judged one by one above; here only what holds them is.
            LocalNodeArtifact.decode({**value, "flows": _without_records(value["flows"])})
        except DocumentError as error:
            for departure in error.departures:
                self._refuse_value(departure.expected, departure.seen, departure.field, place)
            return
        self._artifacts.append(SourcedRow(value, self._file, place.first_line))
        for index, flow in enumerate(flows):
            path = f"flows[{index}]"
            self._flows.append(SourcedRow(flow, self._file, place.of_item(path), path))
            self._usable += 1

    def _take_records(self, values: list[Any], path: str, place: _Lines) -> None:
        for index, value in enumerate(values):
            self._take_record(value, f"{path}[{index}]", place)

    def _take_record(self, value: object, path: str, place: _Lines) -> None:
        departures = record_departures(value)
        row = value if isinstance(value, dict) else {}
        if not departures and self._told and _fingerprint(row) in self._told:
            self._usable += 1
            return
        self._records.append(SourcedRow(row, self._file, place.of_item(path), path))
        if departures:
            self._refuse_record(departures, row, path, place)
        else:
            self._usable += 1

    def _refuse_record(
        self, departures: tuple[Departure, ...], row: Mapping[str, Any], path: str, place: _Lines
    ) -> None:
        departure = departures[0]
        field = ".".join(part for part in (path, departure.field) if part)
        others = ", ".join(other.field for other in departures[1:4])
        more = (
            f" (and {len(departures) - 1} more: {others}{', …' if len(departures) > 4 else ''})"
            if others
            else ""
        )
        error = InputError.at(
            self._file,
            line=place.of_field(field, path),
            field=field or None,
            expected=departure.expected,
            seen=departure.seen + more,
        )
        request_id = row.get("requestId")
        named = isinstance(request_id, str) and bool(request_id)
        effect = DepartureEffect.INCOMPLETE if named else DepartureEffect.BAD_INPUT
        self._add_departure(error, effect, str(request_id) if named else None)

    def _refuse_value(self, expected: str, saw: str, field: str, place: _Lines) -> None:
        self._add_departure(
            InputError.at(
                self._file, line=place.of_field(field, ""), field=field or None, expected=expected, seen=saw
            ),
            DepartureEffect.BAD_INPUT,
            None,
        )

    def _add_departure(self, error: InputError, effect: DepartureEffect, request_id: str | None) -> None:
        self._departures.append(
            IncidentDeparture(
                message=str(error),
                file=self._file,
                line=error.line,
                field=error.field,
                expected=error.expected or "",
                seen=error.seen or "",
                request_id=request_id,
                effect=effect,
            )
        )

    def _look_for_secrets(self, text: str, first_line: int) -> None:
        if redact_text(text) == text:
            return
        for offset, line in enumerate(text.split("\n")):
            if len(self._secrets) - self._first_secret >= _SECRET_PLACES_A_FILE:
                return
            if redact_text(line) != line:
                self._secrets.append(SecretPlace(self._file, first_line + offset))


def _without_records(flows: object) -> object:
    if not isinstance(flows, list):
        return flows
    return [
        {**flow, "observabilityRecords": []}
        if isinstance(flow, dict) and isinstance(flow.get("observabilityRecords"), list)
        else flow
        for flow in flows
    ]


class _Lines:
    """On which line of a document its records and their fields stand."""

    def __init__(self, text: str, first_line: int) -> None:
        self.first_line = first_line
        self._text = text
        self._one_line = "\n" not in text.strip()
        self._items: dict[str, tuple[int, int]] | None = None
        self._walks_left = 50

    def of_item(self, path: str) -> int:
        """The line of a record or flow; the first call finds those of all."""
        return self._item(path)[0]

    def of_field(self, path: str, item: str) -> int:
        """The line of a field of an item; each costs a walk, so after fifty it is that of the item itself."""
        line, offset = self._item(item)
        if self._one_line or not path or self._walks_left == 0:
            return line
        self._walks_left -= 1
        end = len(self._text) if not item else json.JSONDecoder().raw_decode(self._text, offset)[1]
        return line_of(self._text[offset:end], path[len(item) :].removeprefix("."), line)

    def _item(self, path: str) -> tuple[int, int]:
        if self._one_line or not path:
            return self.first_line, 0
        if self._items is None:
            self._items = dict(self._find_items())
        return self._items.get(path, (self.first_line, 0))

    def _find_items(self) -> Iterator[tuple[str, tuple[int, int]]]:
        line, counted = self.first_line, 0
        for path, offset in _items(self._text):
            line += self._text.count("\n", counted, offset)
            counted = offset
            yield path, (line, offset)


def _items(text: str) -> Iterator[tuple[str, int]]:
    """Yield path and offset of each record and each flow of a document, in document order."""
    if text.lstrip()[:1] == "[":
        for index, offset in member_offsets(text):
            yield f"[{index}]", offset
        return
    for key, start in member_offsets(text):
        if key not in ("records", "flows"):
            continue
        for index, offset in member_offsets(text, start):
            yield f"{key}[{index}]", offset
            if key == "flows" and text[offset] == "{":
                for inner, inner_start in member_offsets(text, offset):
                    if inner == "observabilityRecords" and text[inner_start] == "[":
                        for number, at in member_offsets(text, inner_start):
                            yield f"flows[{index}].observabilityRecords[{number}]", at


def _what_it_is(value: Mapping[str, Any]) -> str:
    if "coverage" in value:
        return "a full-flow summary, which holds no records"
    if "stage" in value:
        return "a full-flow event, which is no record"
    return f"an object of {len(value)} keys, none of them a record's"


def _fingerprint(row: Mapping[str, Any]) -> int:
    return hash(json.dumps(row, sort_keys=True))
