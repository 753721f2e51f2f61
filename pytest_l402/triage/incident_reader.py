"""Decides what one parsed document is, takes its records, and says of each departure what it spoils."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_l402.boundary import InputError, parse_json, printable, quoted, redact_text, tagless
from pytest_l402.boundary.json_positions import line_of, member_offsets
from pytest_l402.boundary.text_safety import seen
from pytest_l402.contract import (
    ENUM_VALUES,
    REQUIRED_KEYS,
    Departure,
    DocumentError,
    LocalNodeArtifact,
    record_departures,
)
from pytest_l402.triage.correlation import flow_rows, whole_cells
from pytest_l402.triage.incident_rows import (
    DepartureEffect,
    Incident,
    IncidentDeparture,
    SecretPlace,
    SourcedRow,
    named_request,
)
from pytest_l402.triage.places import Place
from pytest_l402.triage.record_gate import Run, cells_of
from pytest_l402.triage.record_row import in_doubt, record_cells, surely_harmless
from pytest_l402.triage.record_store import RecordStore
from pytest_l402.triage.wrappers import is_document, unwrapped

_FORMS = "a record, a list of records, a snapshot, a local-node artifact or an observability summary"
_SECRET_PLACES_A_FILE = 20
_ALIKE = 3
_LOG_KEYS = ("log", "MESSAGE", "message", "msg")


class IncidentReader:
    """Gathers an incident document by document; `start_file` and `finish_file` frame those of one file.

    A record that is told again, value by value, counts once.
    """

    def __init__(self) -> None:
        self.store = RecordStore()
        self._artifacts: list[SourcedRow] = []
        self._summaries: list[SourcedRow] = []
        self._flows: list[SourcedRow] = []
        self._departures: list[IncidentDeparture] = []
        self._secrets: list[SecretPlace] = []
        self._notes: list[str] = []
        self.suspicious: dict[str, str] = {}
        self._recordless: list[str] = []
        self._known = {value: value for values in ENUM_VALUES.values() for value in values}
        self.start_file("")

    def start_file(self, file: str, *, may_hold_none: bool = False) -> None:
        """Begin with the file of this name; `may_hold_none` for one that only its folder brought in."""
        self._file = file
        self._may_hold_none = may_hold_none
        self._first_departure = len(self._departures)
        self._first_secret = len(self._secrets)
        self._first_stand_in = len(self.store)
        self._usable = 0
        self._unwrapped: Counter[str] = Counter()
        self._without_record = 0
        self._alike: Counter[tuple[str, str]] = Counter()

    def finish_file(self, notes: Iterable[str] = ()) -> None:
        """End the file: one without anything valid in it is bad input as a whole."""
        name = tagless(printable(self._file, 400))
        if not self._usable and self._may_hold_none:
            del self._departures[self._first_departure :]
            self.store.forget_broken_from(self._first_stand_in)
            self._recordless.append(name)
            return
        for note in notes:
            self._notes.append(f"{name}: {note}")
        for who, count in self._unwrapped.items():
            self._notes.append(f"{name}: {count} records were taken out of what {who} has put around them")
        for (expected, saw), count in self._alike.items():
            if count > _ALIKE:
                more = f"{count - _ALIKE} more lines where {expected} was expected: {saw}"
                self._notes.append(f"{name}: {more}")
        if self._usable:
            if self._without_record:
                self._notes.append(f"{name}: {self._without_record} lines of a log are no records")
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
        if self._recordless:
            files = (
                f"{len(self._recordless)} files of a folder hold no records, such as {self._recordless[0]}"
            )
            self._notes.append(files)
        if self.store.n_told_again:
            self._notes.append(f"{self.store.n_told_again} records are told more than once; each counts once")
        return Incident(
            records=self.store,
            artifacts=tuple(self._artifacts),
            summaries=tuple(self._summaries),
            departures=tuple(self._departures),
            secrets=tuple(self._secrets),
            flows=tuple(self._flows),
            notes=tuple(self._notes),
        )

    def note(self, text: str) -> None:
        """Say something of the file that is read."""
        note = f"{tagless(printable(self._file, 400))}: {text}"
        if note not in self._notes[-20:]:
            self._notes.append(note)

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
            self.store.add_broken(self._file, line, "", stand_in)

    def take_plain(self, row: dict[str, Any], line: int) -> bool:
        """Take a line that is a valid record and nothing else; return whether it surely was one."""
        cells = record_cells(row)
        return cells is not None and len(row) == len(cells) and self.take_cells(cells, line)

    def take_cells(self, cells: tuple[Any, ...], line: int) -> bool:
        """Take the values of a valid record, unless one of them may be a secret; return whether it did."""
        if not surely_harmless(cells, self._known):
            return False
        self._add_record(cells, line, "")
        return True

    def take_run(self, first_line: int, run: Run) -> None:
        """Take lines that are valid records; one by one where a value may be a secret."""
        begin = 0
        for doubtful in [*in_doubt(run.columns, self._known), len(run)]:
            if doubtful > begin:
                self._usable += doubtful - begin
                self.store.add_run(self._file, first_line + begin, run.between(begin, doubtful))
            if doubtful < len(run):
                row = dict(
                    zip(REQUIRED_KEYS, cells_of([each[doubtful] for each in run.columns]), strict=True)
                )
                self._take_record(row, "", _Lines("", first_line + doubtful))
            begin = doubtful + 1

    def note_valid(self, count: int) -> None:
        """Count valid records that somebody else keeps."""
        self._usable += count

    def look_for_unusual(self, texts: Iterable[str]) -> None:
        """Note which texts of those records may be secrets; where they stand is asked later."""
        for text in texts:
            if text not in self._known and redact_text(text) == text:
                self._known[text] = text
            elif text not in self._known:
                self.suspicious.setdefault(text, self._file)

    def note_secrets(self, places: Iterable[Place]) -> None:
        """Note where records of others hold a secret in the clear, the first of each file."""
        noted: Counter[str] = Counter()
        for place in places:
            noted[place.file] += 1
            if noted[place.file] <= _SECRET_PLACES_A_FILE:
                self._secrets.append(SecretPlace(place.file, place.line))

    def take(self, value: object, text: str, first_line: int) -> None:
        """Take a parsed document; `text` is what it was parsed from, its first line is `first_line`."""
        place = _Lines(text, first_line)
        if isinstance(value, list):
            self._take_records(value, "", place)
        elif not isinstance(value, dict):
            self._refuse_value(f"an object: {_FORMS}", seen(value), "", place)
        elif "flows" in value:
            self._look_for_secrets(text, first_line)
            self._take_artifact(value, place)
        elif "records" in value:
            self._look_for_secrets(json.dumps({**value, "records": []}), first_line)
            self._take_collection(value, place)
        elif is_document(value):
            self._take_record(value, "", place)
        else:
            self._take_other(value, text, place)

    def _take_other(self, value: dict[str, Any], text: str, place: _Lines) -> None:
        """Take what is wrapped in something, or say what it is."""
        inner = list(unwrapped(value))
        if inner:
            for wrapped, who in inner:
                self._take_wrapped(wrapped, who, place)
            return
        self._look_for_secrets(text, place.first_line)
        if any(key in value for key in _LOG_KEYS):
            self._without_record += 1
        elif (what := _what_it_is(value)) is not None:
            self._refuse_value(_FORMS, what, "", place)
        elif value.keys() & set(REQUIRED_KEYS):
            self._take_record(value, "", place)
        else:
            saw = f"an object of {len(value)} keys, none of them a record's"
            self._alike[_FORMS, saw] += 1
            if self._alike[_FORMS, saw] <= _ALIKE:
                self._refuse_value(_FORMS, saw, "", place)

    def _take_wrapped(self, wrapped: object, who: str, place: _Lines) -> None:
        if not isinstance(wrapped, str):
            self._unwrapped[who] += 1
            self.take(wrapped, json.dumps(wrapped), place.first_line)
            return
        try:
            value = parse_json(wrapped, self._file, place.first_line)
        except InputError as error:
            request_id, parses = named_request(wrapped.encode("utf-8", "surrogatepass"))
            effect = DepartureEffect.INCOMPLETE if parses and request_id else DepartureEffect.BAD_INPUT
            self.refuse(error, effect, request_id, place.first_line)
            return
        self._unwrapped[who] += 1
        self.take(value, wrapped, place.first_line)

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
        self.store.add_flows(flow_rows(value))
        for index, flow in enumerate(flows):
            path = f"flows[{index}]"
            self._flows.append(SourcedRow(flow, self._file, place.of_item(path), path))
            self._usable += 1

    def _take_records(self, values: list[Any], path: str, place: _Lines) -> None:
        for index, value in enumerate(values):
            if isinstance(value, dict) and not is_document(value) and not value.keys() & set(REQUIRED_KEYS):
                self._take_other(value, json.dumps(value), _Lines("", place.of_item(f"{path}[{index}]")))
            else:
                self._take_record(value, f"{path}[{index}]", place)

    def _take_record(self, value: object, path: str, place: _Lines) -> None:
        row = value if isinstance(value, dict) else {}
        cells = record_cells(row)
        departures = () if cells is not None else record_departures(value)
        line = place.of_item(path)
        if cells is None or len(row) != len(cells) or not surely_harmless(cells, self._known):
            self._look_for_secrets(json.dumps(value, ensure_ascii=False), line)
        if departures:
            self.store.add_broken(self._file, line, path, row)
            self._refuse_record(departures, row, path, place)
        else:
            self._add_record(cells or whole_cells(row), line, path)

    def _add_record(self, cells: tuple[Any, ...], line: int, path: str) -> None:
        self._usable += 1
        self.store.add(self._file, line, path, cells)

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


def _what_it_is(value: Mapping[str, Any]) -> str | None:
    if "coverage" in value:
        return f"a full-flow summary, which holds no records{_requests_of(value)}"
    if "stage" in value:
        return "a full-flow event, which is no record; give the records of its request"
    if "ok" in value:
        return "the output of a command without records; give those of smoke:observability"
    return None


def _requests_of(summary: Mapping[str, Any]) -> str:
    """The requests that a full-flow summary names, for the next query."""
    parts = [summary.get(key) for key in ("paidRequest", "policyDeniedRequest", "gatewayReconcile")]
    named = [part["requestId"] for part in parts if isinstance(part, dict) and part.get("requestId")]
    shown = ", ".join(quoted(str(each)) for each in named)
    return f"; give the records of its requests {shown}" if named else ""
