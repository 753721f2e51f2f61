"""Decides who may append: whoever made the newest segment, and only as long as there is none newer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.log.frames import MAGIC, frame
from pytest_l402.billing.log.reader import chain_of, records_after, records_of
from pytest_l402.billing.log.store import Disk, Segments

__all__ = ["Fenced", "LogFull", "LogStopped", "LogWriter"]


class LogStopped(RuntimeError):  # noqa: N818 - the name of the condition
    """This writer can append no more; whether the last record is kept, only a replay says."""


class Fenced(LogStopped):
    """Another writer has begun a newer epoch: what was just written does not count."""


class LogFull(RuntimeError):  # noqa: N818 - the name of the condition
    """The record did not fit on the disk and was taken back; a later one may fit."""


class LogWriter:
    """Appends records to a log as the writer of a new epoch; made, it has read the whole log.

    `append` returns when the record is on the disk and no newer epoch was begun: only then may it be
    answered for. `writer` is written into the header. One thread at a time. `faults` break it on purpose.

    Raises:
        LogDamaged: the log holds what no crash leaves; no segment was made.
        OSError: the folder cannot be written.
    """

    def __init__(self, disk: Disk, writer: str, faults: Collection[BillingFault] = ()) -> None:
        self._disk, self._writer, self._faults = disk, writer, frozenset(faults)
        self._stopped: str | None = None
        # Read before anything is made: a damaged log gets no segment more.
        last = self._measured(disk, _Measured(0, 0, 0))
        self.epoch = self._created()
        if BillingFault.MEASURES_BEFORE_IT_CREATES not in self._faults:
            # What was acknowledged meanwhile, before the new segment was there, has to be in.
            last = self._measured(_Below(disk, self.epoch), last)
        if last.epoch:
            # Its writer may have died before it could: what this header vouches for must outlive a crash.
            disk.sync_epoch(last.epoch)
        header = {"writer": writer, "prev": last.epoch, "prev_end": last.end}
        self._size = 0
        self.sequence = 0 if BillingFault.SEQUENCE_STARTS_OVER in self._faults else last.sequence
        self._put(MAGIC + frame(self.sequence, self.epoch, json.dumps(header).encode()))
        self.sequence += 1

    def append(self, body: bytes) -> int:
        """Append one record and return its sequence number, which is counted over all epochs.

        Raises:
            Fenced: a newer epoch was begun; the record does not count.
            LogFull: there is no room; the record was taken back.
            LogStopped: the disk failed, now or before; whether the record is kept, only a replay says.
            ValueError: the body is too long.
        """
        if self._stopped is not None:
            raise LogStopped(self._stopped)
        self._put(frame(self.sequence, self.epoch, body))
        sequence, self.sequence = self.sequence, self.sequence + 1
        # After the write and before the answer: whoever comes later has to find the record.
        if self.is_overtaken:
            self._stopped = (
                f"log: expected epoch {self.epoch} to be the newest [runbook 5 section 6, SW5], saw a newer "
                f"one; {self._writer} is no writer any more, stop it"
            )
            raise Fenced(self._stopped)
        return sequence

    @property
    def is_overtaken(self) -> bool:
        """Whether a newer epoch was begun."""
        return BillingFault.DOES_NOT_LOOK not in self._faults and self._disk.has(self.epoch + 1)

    def close(self) -> None:
        """Let go of the segment."""
        self._stopped = self._stopped or "log: this writer was closed; make a new one"
        self._disk.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _measured(store: Segments, before: _Measured) -> _Measured:
        """Read what counts, and of the segment that was read before only what has come since."""
        chain = chain_of(store)
        if not chain.segments:
            return before
        last = chain.segments[-1]
        sequence, end = last.first_sequence + 1, last.begin
        records = records_of(store, chain)
        if last.epoch == before.epoch:
            sequence, end = before.sequence, before.end
            records = records_after(store, last, end, sequence)
        for number, epoch, _, at in records:
            if epoch == last.epoch:
                sequence, end = number + 1, at
        return _Measured(last.epoch, sequence, end)

    def _created(self) -> int:
        while True:
            epoch = max(self._disk.epochs(), default=0) + 1
            try:
                self._descriptor = self._disk.create(epoch)
            except FileExistsError:
                continue
            self._disk.sync_folder()
            return epoch

    def _put(self, data: bytes) -> None:
        try:
            written = self._disk.write(self._descriptor, data)
        except OSError as error:
            # Nothing was taken, or some of it: the next record must not come after half of this one.
            self._take_back(str(error.strerror))
        if written != len(data):
            self._take_back(f"{written} of {len(data)} bytes written")
        try:
            if BillingFault.NO_FDATASYNC not in self._faults:
                self._disk.sync(self._descriptor)
        except OSError as error:
            # What the system holds of it is unknown from now on, and another sync would succeed falsely.
            if BillingFault.FSYNC_RESULT_IGNORED not in self._faults:
                # Nor may the next writer take it for kept: it was not, and a crash would show it.
                with contextlib.suppress(OSError):
                    self._disk.cut(self._descriptor, self._size)
                self._stopped = (
                    f"log: expected fdatasync to succeed [runbook 5 section 5, RF8], saw {error.strerror} in "
                    f"epoch {self.epoch}; start the service anew on a disk that works"
                )
                raise LogStopped(self._stopped) from error
        self._size += len(data)

    def _take_back(self, why: str) -> None:
        try:
            self._disk.cut(self._descriptor, self._size)
        except OSError as error:
            self._stopped = f"log: {why}, and the rest could not be taken back ({error.strerror}); start anew"
            raise LogStopped(self._stopped) from error
        raise LogFull(
            f"log: expected room for a record [runbook 5 section 5, RF8], saw {why}; it was taken back: "
            f"make room, then ask again"
        )


@dataclass(frozen=True)
class _Measured:
    """The newest epoch that counts, 0 for none, the next sequence number, and where the epoch ends."""

    epoch: int
    sequence: int
    end: int


class _Below:
    """The segments before an epoch."""

    def __init__(self, disk: Disk, epoch: int) -> None:
        self._disk, self._epoch = disk, epoch
        self.open = disk.open

    def epochs(self) -> list[int]:
        """The epochs below it."""
        return [epoch for epoch in self._disk.epochs() if epoch < self._epoch]
