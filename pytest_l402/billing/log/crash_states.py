"""Decides what a disk can hold after a crash: all that was synced, and any part of what was not."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from pytest_l402.billing.log.frames import MAGIC, Frame, frames_in, later_frame
from pytest_l402.billing.log.reader import LogDamaged, records_of
from pytest_l402.billing.log.store import Images

__all__ = ["CrashState", "Killed", "Replays", "SimulatedDisk", "lost_in"]

_FILLS: Final = (b"", b"\0" * 64, bytes(range(7, 255, 4)))


@dataclass(frozen=True)
class CrashState:
    """What a disk holds after a crash, and the records that were acknowledged before it."""

    images: Mapping[int, bytes]
    acknowledged: tuple[bytes, ...]
    moment: str


class Killed(BaseException):
    """The writer is no more; the system still has what it wrote."""


@dataclass
class SimulatedDisk:
    """A disk in memory on which every write, sync and acknowledgement is a moment at which power can fail.

    `sync_fails` says of the n-th sync, from 0, whether it raises EIO; `room` bytes fit at most; the writer is
    killed in the sync `killed_at_sync`, which raises `Killed`.
    """

    sync_fails: Callable[[int], bool] = lambda number: False
    room: int = 1 << 40
    killed_at_sync: int = -1
    _now: dict[int, bytearray] = field(default_factory=dict)
    _synced: dict[int, int] = field(default_factory=dict)
    _named: set[int] = field(default_factory=set)
    _acknowledged: list[bytes] = field(default_factory=list)
    _moments: list[tuple[str, dict[int, tuple[bytes, int]], int]] = field(default_factory=list)
    _syncs: int = 0

    def acknowledge(self, body: bytes) -> None:
        """Say that the writer has answered for a record."""
        self._acknowledged.append(body)
        self._moment("acknowledged")

    def states(self) -> Iterator[CrashState]:
        """Every state that a crash can leave: at each moment, each cut of what was not synced, each fill."""
        seen = set()
        for moment, files, acknowledged in self._moments:
            known = tuple(self._acknowledged[:acknowledged])
            last = max(files, default=0)
            # Of what was never synced in an older one nothing may be left: the worst is tried.
            whole = {epoch: data[:synced] for epoch, (data, synced) in files.items() if epoch != last}
            if not last:
                continue
            data, synced = files[last]
            for cut in range(synced, len(data) + 1):
                for fill in _FILLS if cut < len(data) or synced == len(data) else _FILLS[:1]:
                    key = (last, cut, len(data), len(fill), fill[:1], acknowledged)
                    if key not in seen:
                        seen.add(key)
                        images = {**whole, last: data[:cut] + fill}
                        yield CrashState(
                            images, known, f"{moment}, cut at {cut} with {len(fill)} bytes after"
                        )

    def image(self) -> Images:
        """The segments as they are now."""
        return Images({epoch: bytes(data) for epoch, data in self._now.items()})

    def epochs(self) -> list[int]:
        """The epochs that have a segment, in order."""
        return sorted(self._now)

    def open(self, epoch: int) -> BinaryIO:
        """A segment, to be read from its begin."""
        return self.image().open(epoch)

    def create(self, epoch: int) -> int:
        """Make a segment that is not there yet."""
        if epoch in self._now:
            raise FileExistsError(epoch)
        self._now[epoch] = bytearray()
        self._synced[epoch] = 0
        return epoch

    def write(self, descriptor: int, data: bytes) -> int:
        """Append bytes and return how many were taken."""
        taken = data[: max(self.room - sum(map(len, self._now.values())), 0)]
        if data and not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._now[descriptor] += taken
        self._moment("written")
        return len(taken)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""
        number, self._syncs = self._syncs, self._syncs + 1
        if number == self.killed_at_sync:
            raise Killed
        if self.sync_fails(number):
            raise OSError(errno.EIO, "Input/output error")
        self._synced[descriptor] = len(self._now[descriptor])
        self._moment("synced")

    def sync_epoch(self, epoch: int) -> None:
        """Return when all of another writer's segment is on the disk."""
        self._synced[epoch] = len(self._now[epoch])
        self._moment("older synced")

    def cut(self, descriptor: int, size: int) -> None:
        """Take away what lies beyond a size."""
        del self._now[descriptor][size:]
        self._synced[descriptor] = min(size, self._synced[descriptor])

    def sync_folder(self) -> None:
        """Return when the names of the segments are on the disk."""
        self._named |= set(self._now)
        self._moment("folder synced")

    def has(self, epoch: int) -> bool:
        """Whether a segment is there."""
        return epoch in self._now

    def close(self, descriptor: int) -> None:
        """Let go of a segment."""

    def _moment(self, what: str) -> None:
        # A file whose name was never synced may be gone whole, with all that was synced in it.
        files = {
            epoch: (bytes(data), self._synced[epoch])
            for epoch, data in self._now.items()
            if epoch in self._named
        }
        self._moments.append((what, files, len(self._acknowledged)))


class Replays:
    """Replays one state after another; what the next has in common with the one before is read once."""

    def __init__(self) -> None:
        self._data, self._found = b"", list[Frame]()

    def bodies(self, images: Mapping[int, bytes]) -> list[bytes]:
        """The bodies that a replay finds, headers left out. Raises `LogDamaged`."""
        data = images.get(1, b"")
        if len(images) == 1 and data.startswith(MAGIC):
            # Nearly every state is of one segment with its header, and ten thousand of them are tried.
            found = self._found
            while found and not data.startswith(self._data[: found[-1][3]]):
                found.pop()
            more, end = frames_in(data, found[-1][3] if found else len(MAGIC))
            found += more
            self._data = data
            if found and (end == len(data) or later_frame(data[end:], 0, 1) is None):
                return [body for _, _, body, _ in found[1:]]
        return [body for _, _, body, _ in records_of(Images(images))]


def lost_in(state: CrashState, replays: Replays | None = None) -> str | None:
    """What a replay of the state does not keep of the law, if anything: each acknowledged record, in order.

    Records that were not acknowledged may be among them, as when a writer was killed before it could answer.
    Who asks for many states gives the same `replays` each time.
    """
    try:
        found = (replays or Replays()).bodies(state.images)
    except LogDamaged as damage:
        return f"{state.moment}: the replay refuses it: {damage}"
    left = iter(found)
    if found[: len(state.acknowledged)] == [*state.acknowledged] or all(
        body in left for body in state.acknowledged
    ):
        return None
    return f"{state.moment}: {len(state.acknowledged)} acknowledged, {len(found)} replayed"
