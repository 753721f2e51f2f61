"""Decides which records of a log count: those that the next writer saw, in one chain of epochs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, BinaryIO, Final

from pytest_l402.billing.log.frames import MAGIC, MOST_BODY_BYTES, Frame, frames_in, later_frame
from pytest_l402.billing.log.store import Segments, segment_name

__all__ = ["Chain", "LogDamaged", "Segment", "chain_of", "records_after", "records_of"]

_CHUNK: Final = 1 << 17
_SEQUENCE, _EPOCH = itemgetter(0), itemgetter(1)
_MOST_TORN_BYTES: Final = 4096
_MOST_FRAME_BYTES: Final = MOST_BODY_BYTES + 20
_RUNBOOK: Final = "[runbook 5 section 5, RF8]"


class LogDamaged(RuntimeError):  # noqa: N818 - the name of the condition
    """The log holds what no crash leaves; nothing may be appended to it. The message names the record."""

    def __init__(self, expected: str, seen: str, epoch: int, at: int) -> None:
        self.epoch, self.at = epoch, at
        super().__init__(
            f"log: expected {expected} {_RUNBOOK}, saw {seen}, in {segment_name(epoch)} at byte {at}; start "
            f"no writer on it, keep a copy, and restore the segment from a replica"
        )


@dataclass(frozen=True)
class Segment:
    """One epoch: who wrote it, and up to which byte it counts (None: to its last whole frame)."""

    epoch: int
    writer: str
    first_sequence: int
    begin: int
    end: int | None


@dataclass(frozen=True)
class Chain:
    """The segments that count, oldest first, and the epochs that never came to be or were passed over."""

    segments: tuple[Segment, ...] = ()
    passed_over: tuple[int, ...] = ()
    newest_epoch: int = field(default=0)


def chain_of(store: Segments) -> Chain:
    """Follow the headers from the newest segment back, each to the one that it says came before.

    Raises:
        LogDamaged: a segment is of something else, of a newer version, or its header does not fit.
    """
    epochs = store.epochs()
    found: list[Segment] = []
    passed: list[int] = []
    wanted, end = (epochs[-1] if epochs else 0), None
    for epoch in reversed(epochs):
        if found and epoch > wanted:
            passed.append(epoch)
            continue
        header = _header(store, epoch, end)
        if header is None:
            # Its writer died, or was overtaken, before it said where the epoch before ends.
            if found:
                raise LogDamaged("the header of a segment that a later one names", "none", epoch, 0)
            passed.append(epoch)
            continue
        first, document = header
        found.append(Segment(epoch, str(document["writer"]), first[0], first[3], end))
        wanted, end = document["prev"], document["prev_end"]
        if wanted == 0:
            passed += [older for older in epochs if older < epoch]
            break
    else:
        if found and wanted:
            raise LogDamaged("the segment that the next one names", "no such file", wanted, 0)
    return Chain(tuple(reversed(found)), tuple(sorted(passed)), epochs[-1] if epochs else 0)


def records_of(store: Segments, chain: Chain | None = None) -> Iterator[Frame]:
    """The records that count, in order, headers left out; memory stays bounded, whatever the log's size.

    A torn tail of the newest segment ends the log.

    Raises:
        LogDamaged: a frame within what counts is not whole, or out of its place.
    """
    expected = 0
    for segment in (chain or chain_of(store)).segments:
        for found in _in_place(store, segment, len(MAGIC), expected):
            expected += len(found)
            yield from found[1:] if found and found[0][0] == segment.first_sequence else found


def records_after(store: Segments, segment: Segment, at: int, sequence: int) -> Iterator[Frame]:
    """The records of a segment from an offset on, where the record of that sequence number begins.

    Raises:
        LogDamaged: as `records_of`.
    """
    for found in _in_place(store, segment, at, sequence):
        yield from found


def _in_place(store: Segments, segment: Segment, at: int, expected: int) -> Iterator[list[Frame]]:
    """The frames of a segment from an offset on, many at once, each the next in number and of its epoch."""
    with store.open(segment.epoch) as file:
        for found in _frames(file, segment, at):
            # All at once, and one by one only to name the first that is wrong: a million are read.
            numbers = [*range(expected, expected + len(found))]
            epochs = [*map(_EPOCH, found)]
            if [*map(_SEQUENCE, found)] != numbers or epochs.count(segment.epoch) != len(found):
                raise _misplaced(found, expected, segment.epoch)
            expected += len(found)
            yield found


def _frames(file: BinaryIO, segment: Segment, at: int) -> Iterator[list[Frame]]:
    # Up to where it ends now: a writer that lives still appends, and half a record is no damage.
    size = file.seek(0, os.SEEK_END)
    end = size if segment.end is None else segment.end
    if end > size:
        raise LogDamaged(f"{end} bytes, as the next one says", f"{size}", segment.epoch, size)
    offset = file.seek(at)
    held = b""
    while data := file.read(min(_CHUNK, end - offset - len(held))):
        held += data
        found, last = frames_in(held, 0, offset)
        yield found
        held, offset = held[last:], offset + last
        if len(held) > _MOST_FRAME_BYTES:
            break
    if held and segment.end is not None:
        raise LogDamaged("a whole record", "one that its CRC does not bear out", segment.epoch, offset)
    begin = offset
    while held:
        # A tail that a crash tore holds no whole frame; one that does was damaged later.
        if (later := later_frame(held, 0, segment.epoch)) is not None:
            seen = (
                f"one that its CRC does not bear out, and a whole one {begin + later - offset} bytes after it"
            )
            raise LogDamaged("a whole record", seen, segment.epoch, offset)
        data = file.read(min(_CHUNK, end - begin - len(held)))
        begin += max(len(held) - _MOST_FRAME_BYTES, 0)
        held = held[-_MOST_FRAME_BYTES:] + data if data else b""


def _misplaced(found: list[Frame], expected: int, epoch: int) -> LogDamaged:
    placed = enumerate(found, start=expected)
    number, (sequence, of, _, end) = next(each for each in placed if each[1][:2] != (each[0], epoch))
    return LogDamaged(f"record {number} of epoch {epoch}", f"record {sequence} of epoch {of}", epoch, end)


def _header(store: Segments, epoch: int, end: int | None) -> tuple[Frame, dict[str, Any]] | None:
    with store.open(epoch) as file:
        data, more = file.read(_MOST_TORN_BYTES), bool(file.read(1))
    if end is not None:
        data = data[:end]
    found = frames_in(data, len(MAGIC))[0] if data.startswith(MAGIC) else []
    if not found:
        version, inverse = (*data[len(MAGIC) - 2 : len(MAGIC)], 0, 0)[:2]
        if data.startswith(MAGIC[:-2]) and version > MAGIC[-2] and version + inverse == 255:
            raise LogDamaged(f"version {MAGIC[-2]}", f"version {version}", epoch, len(MAGIC) - 2)
        if (later := later_frame(data, 0, epoch)) is not None:
            raise LogDamaged("the header of a segment", f"none, and a record at byte {later}", epoch, 0)
        # A crash may leave anything in the first block; what is longer is no header that was not finished.
        if more and any(data):
            raise LogDamaged("a segment of a billing log", "another kind of file", epoch, 0)
        return None
    first = found[0]
    try:
        document = json.loads(first[2])
        fits = first[1] == epoch and isinstance(document["writer"], str)
        fits = fits and 0 <= int(document["prev"]) < epoch and int(document["prev_end"]) >= 0
    except (ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise LogDamaged("the header of its epoch", "another record", epoch, len(MAGIC))
    return first, document
