"""Decides what an incident file holds, whatever its form, and which of its departures spoil which answer.

Which departure does what:

- A record that breaks the contract, or repeats a key, and whose `requestId` can be read without doubt makes
  that request *incomplete*; the other requests of the file are judged.
- Everything else is *bad input*: the file cannot be opened or is empty, a document or line is not JSON, not
  UTF-8 or cut off, a record names no request, a document's own structure is broken, or no record of the file
  is valid. What could be read is judged all the same, but the answer as a whole is "bad input".
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, TypeAlias

from pytest_l402.boundary import InputError, parse_json
from pytest_l402.triage.documents import Framed, framed
from pytest_l402.triage.incident_files import Source, opened, sources
from pytest_l402.triage.incident_reader import IncidentReader
from pytest_l402.triage.incident_rows import DepartureEffect, Incident, named_request
from pytest_l402.triage.line_feed import LineFeed, ReadsBytes
from pytest_l402.triage.record_gate import RecordGate
from pytest_l402.triage.wrappers import without_stamp

Progress: TypeAlias = Callable[[str, int], None]
"""Is told a file, and how many documents of it were read."""

_EVERY = 2048
_DECODER = json.JSONDecoder()


def told_nobody(file: str, documents: int) -> None:
    """Tell nobody how far reading has come."""


def read_incident(*paths: str | os.PathLike[str], progress: Progress = told_nobody) -> Incident:
    """Read all that files hold of an incident: records, lists of them, snapshots, local-node artifacts,
    observability summaries, and what log collectors have put around records.

    A path may be `-` for standard input, a folder, or a pattern. Nothing is raised for what a file holds: see
    the module for what becomes of each departure. `progress` is told the file and how many documents of it
    were read, now and then.
    """
    reader = IncidentReader()

    def take(source: Source, stream: ReadsBytes) -> None:
        read_documents(LineFeed(stream, source.name), reader, progress)

    take_files(tuple(os.fspath(path) for path in paths), reader, take)
    return reader.incident()


def take_files(
    names: tuple[str, ...],
    reader: IncidentReader,
    take: Callable[[Source, ReadsBytes], None],
    *,
    beyond: tuple[type[InputError], ...] = (),
) -> None:
    """Open every file that is named, let `take` read it, and let the reader note what cannot be read.

    Raises:
        InputError: one of `beyond`, which is about the work itself and not about what a file holds.
    """
    for source in sources(names):
        if isinstance(source, InputError):
            reader.start_file(source.source or "")
            reader.refuse(source)
            reader.finish_file()
            continue
        reader.start_file(source.name, may_hold_none=source.in_folder)
        try:
            with opened(source) as stream:
                take(source, stream)
        except beyond:
            raise
        except InputError as error:
            reader.refuse(error)
        reader.finish_file(source.notes)


def read_documents(feed: LineFeed, reader: IncidentReader, progress: Progress = told_nobody) -> None:
    """Let a reader take every document of a feed: whole runs of records wherever its gate knows them.

    Raises:
        InputError: there is nothing, a line is too long, or a temporary file cannot be written.
    """
    gate, n_documents = RecordGate(), 0

    def take_runs() -> None:
        nonlocal n_documents
        for line, run in feed.runs(gate):
            reader.take_run(line, run)
            n_documents += len(run)
            progress(feed.source, n_documents)

    for document in framed(feed, feed.source, between=take_runs):
        take_document(document, feed.source, reader, gate)
        n_documents += 1
        if n_documents % _EVERY == 0:
            progress(feed.source, n_documents)
    if not n_documents:
        raise InputError.at(feed.source, expected="records as JSON or JSON Lines", seen="an empty file")


def take_document(document: Framed, name: str, reader: IncidentReader, gate: RecordGate) -> None:
    """Let a reader take one document, whatever it is, and a gate learn from it if it is a record."""
    if document.n_nulls:
        reader.note(
            f"{document.n_nulls} NUL bytes stand before line {document.line}: the file was cut while it was "
            "written to, and what stood there is lost"
        )
    if document.error is not None:
        _refuse(document.error, document.data, document.line, reader)
        return
    text = document.text
    row = plain_record(text)
    if row is not None and reader.take_plain(row, document.line):
        gate.learn(text, row)
        return
    text, stamp = without_stamp(text)
    if stamp:
        reader.note(f"{stamp} was taken off")
    try:
        reader.take(parse_json(text, name, document.line), text, document.line)
    except InputError as error:
        if "more text after it" in (error.seen or ""):
            _take_several(text, document.line, name, reader, error)
        else:
            _refuse(error, text.encode("utf-8", "surrogatepass"), document.line, reader)


def plain_record(text: str) -> dict[str, Any] | None:
    """The object that a line is, if it is surely nothing else and has each key once; the common case."""
    if "\\" in text or not text.isascii():
        return None
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if type(row) is dict and len(row) == text.count('":') + text.count('" :'):
        return row
    return None


def _take_several(text: str, line: int, name: str, reader: IncidentReader, error: InputError) -> None:
    """Take the documents that stand on one line, one behind the other."""
    rest = text.strip()
    while rest:
        try:
            _, end = _DECODER.raw_decode(rest)
            reader.take(parse_json(rest[:end], name, line), rest[:end], line)
        except (InputError, ValueError, RecursionError):
            _refuse(error, rest.encode("utf-8", "surrogatepass"), line, reader)
            return
        rest = rest[end:].lstrip(" \t\r\n,\x1e")


def _refuse(error: InputError, data: bytes, line: int, reader: IncidentReader) -> None:
    request_id, parses = named_request(data)
    effect = DepartureEffect.INCOMPLETE if parses and request_id else DepartureEffect.BAD_INPUT
    reader.refuse(error, effect, request_id, line)
