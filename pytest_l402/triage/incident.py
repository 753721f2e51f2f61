"""Decides what an incident file holds, whatever its form, and which of its departures spoil which answer.

Which departure does what:

- A record that breaks the contract, or repeats a key, and whose `requestId` can be read without doubt makes
  that request *incomplete*; the other requests of the file are judged.
- Everything else is *bad input*: the file cannot be opened or is empty or too large, a document or line is
  not JSON, not UTF-8 or cut off, a record names no request, a document's own structure is broken, or no
  record of the file is valid. What could be read is judged all the same, but the answer as a whole is
  "bad input".
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from typing import IO

from pytest_l402.boundary import InputError
from pytest_l402.boundary.input_files import MAX_BYTES, decode_utf8, lines_of, open_input, read_bytes
from pytest_l402.boundary.strict_json import parse_json
from pytest_l402.triage.incident_reader import IncidentReader
from pytest_l402.triage.incident_rows import DepartureEffect, Incident

MAX_INCIDENT_BYTES = 256 * 1024 * 1024
"""The most that is read of one incident, in bytes: about 400 000 records, held in memory."""

_REQUEST_ID = re.compile(r'"requestId"\s*:\s*("(?:[^"\\]|\\.)*")')


def read_incident(*paths: str | os.PathLike[str]) -> Incident:
    """Read records, lists of records, snapshots, local-node artifacts and observability summaries from files.

    Each file is one JSON document or JSON Lines.

    Nothing is raised for what a file holds: see the module for what becomes of each departure. A record that
    a further file tells again, value by value, counts once.
    """
    reader = IncidentReader(several_files=len(paths) > 1)
    budget = MAX_INCIDENT_BYTES
    for path in paths:
        reader.start_file(os.fspath(path))
        try:
            with open_input(path) as stream:
                budget -= _read_stream(stream, os.fspath(path), reader, budget)
        except InputError as error:
            reader.refuse(error)
        reader.finish_file()
    return reader.incident()


def _read_stream(stream: IO[bytes], path: str, reader: IncidentReader, budget: int) -> int:
    head = read_bytes(stream, MAX_BYTES + 1, path)
    if len(head) <= MAX_BYTES:
        if len(head) > budget:
            raise _too_large(path)
        _read_whole(head, path, reader)
        return len(head)
    return _read_lines(lines_of(_Chained(head, stream), path), path, reader, budget)


def _read_whole(data: bytes, path: str, reader: IncidentReader) -> None:
    lines = list(lines_of(io.BytesIO(data), path))
    if not lines:
        raise InputError.at(path, expected="records as JSON or JSON Lines", seen="an empty file")
    if len(lines) > 1 and _is_json(lines[0][1]):
        _read_lines(iter(lines), path, reader, len(data))
        return
    try:
        text = decode_utf8(data.removeprefix(b"\xef\xbb\xbf"), path)
        value = parse_json(text, path)
    except InputError:
        # A pretty-printed document has no whole object on its second or third line; a list of lines has.
        if any(_is_json(line) and line.lstrip()[:1] == b"{" for _, line in lines[1:4]):
            _read_lines(iter(lines), path, reader, len(data))
            return
        raise
    reader.take(value, text, 1)


def _read_lines(lines: Iterator[tuple[int, bytes]], path: str, reader: IncidentReader, budget: int) -> int:
    read = 0
    for number, data in lines:
        read += len(data)
        if read > budget:
            raise _too_large(path)
        try:
            text = decode_utf8(data, path, number)
            value = parse_json(text, path, number)
        except InputError as error:
            request_id, parses = _named_request(data)
            effect = DepartureEffect.INCOMPLETE if parses and request_id else DepartureEffect.BAD_INPUT
            reader.refuse(error, effect, request_id, number)
            continue
        reader.take(value, text, number)
    return read


def _named_request(data: bytes) -> tuple[str | None, bool]:
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


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _too_large(path: str) -> InputError:
    return InputError.at(
        path,
        expected=f"at most {MAX_INCIDENT_BYTES // (1024 * 1024)} MiB of records",
        seen="more",
        remedy="cut the export to the time or the requests of the incident",
    )


class _Chained:
    """What was already read, then the rest: a pipe cannot be wound back."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def readline(self, size: int, /) -> bytes:
        line = self._head.readline(size)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + self._rest.readline(size - len(line))
