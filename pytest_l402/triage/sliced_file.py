"""Decides which number each record of a sliced file has, and lets a reader take what no gate let through."""

from __future__ import annotations

import io
from typing import Final

from pytest_l402.boundary import InputError
from pytest_l402.triage.documents import framed
from pytest_l402.triage.incident import take_document
from pytest_l402.triage.incident_reader import IncidentReader
from pytest_l402.triage.line_feed import LineFeed
from pytest_l402.triage.record_gate import RecordGate
from pytest_l402.triage.slice_gate import GatedSlice
from pytest_l402.triage.slice_pool import NotLines

_END: Final = "{}\n"


class SlicedFile:
    """One file, slice by slice.

    Raises `NotLines` where a document goes on over what the gate has taken for records, or several stand on
    a line.
    """

    def __init__(self, name: str, reader: IncidentReader) -> None:
        self._name = name
        self._reader = reader
        self._n_lines = 0
        self._doubtful: tuple[int, int, bytes] | None = None

    def take(self, base: int, gated: GatedSlice) -> None:
        """Take the next slice, whose first line has the number `base`."""
        places, first_line = self._reader.store.places, self._n_lines + 1
        at = 0
        for first, count, data in gated.doubtful:
            if first > at:
                self._end_doubtful(is_followed=True)
                places.skip_to(base + at)
                places.add(self._name, first_line + at, count=first - at)
            if self._doubtful is None:
                places.skip_to(base + first)
                self._doubtful = (first_line + first, count, data)
            else:
                line, before, text = self._doubtful
                self._doubtful = (line, before + count, text + data)
            at = first + count
        if gated.n_lines > at:
            self._end_doubtful(is_followed=True)
            places.skip_to(base + at)
            places.add(self._name, first_line + at, count=gated.n_lines - at)
        self._n_lines += gated.n_lines
        self._reader.look_for_unusual(gated.unusual)

    def end(self) -> None:
        """Take what is left."""
        self._end_doubtful(is_followed=False)

    def _end_doubtful(self, *, is_followed: bool) -> None:
        if self._doubtful is None:
            return
        (line, count, data), self._doubtful = self._doubtful, None
        last_number = self._reader.store.places.end + count
        feed = LineFeed(io.BytesIO(data + _END.encode() if is_followed else data), self._name, first=line)
        ended = not is_followed
        try:
            for document in framed(feed, self._name):
                if is_followed and document.line == line + count and document.text == _END:
                    ended = True
                else:
                    take_document(document, self._name, self._reader, RecordGate())
        except InputError as error:
            # A line that is too long says nothing of those behind it.
            self._reader.refuse(error, line=line)
            ended = True
        if not ended or self._reader.store.places.end > last_number:
            raise NotLines
