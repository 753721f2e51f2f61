"""Decides what becomes of a log when it is taken over, or power fails, between any two disk calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.log.crash_states import Killed, Replays, SimulatedDisk, lost_in
from pytest_l402.billing.log.law import broken_laws
from pytest_l402.billing.log.reader import LogDamaged
from pytest_l402.billing.log.writer import LogFull, LogStopped, LogWriter

__all__ = ["crashes", "over_a_frozen_holder", "over_a_live_holder"]

Row = dict[str, Any]
_MOST: Final = 40
_ROOM: Final = 1 << 40


@dataclass
class _Interrupted(SimulatedDisk):
    """A disk on which something else happens before the n-th call of whoever uses it."""

    at: int = -1
    meanwhile: Callable[[], None] = lambda: None
    calls: int = 0
    _inside: bool = field(default=False)

    def __getattribute__(self, name: str) -> Any:
        if name in ("create", "write", "sync", "sync_folder", "sync_epoch", "has", "epochs", "open"):
            self._reached()
        return super().__getattribute__(name)

    def _reached(self) -> None:
        if self._inside:
            return
        self.calls += 1
        if self.calls - 1 == self.at:
            self._inside = True
            try:
                self.meanwhile()
            finally:
                self._inside = False


def over_a_live_holder(faults: Collection[BillingFault] = ()) -> Row:
    """A writer takes over while the holder appends, before each disk call of the takeover in turn."""
    return _every(faults, is_frozen=False)


def over_a_frozen_holder(faults: Collection[BillingFault] = ()) -> Row:
    """A holder freezes before each disk call of an append in turn, is overtaken, and thaws."""
    return _every(faults, is_frozen=True)


def crashes(faults: Collection[BillingFault] = (), records: int = 20) -> Row:
    """Every state that a crash can leave: also when a sync fails, the disk is full, the writer is killed."""
    states, lost = 0, []
    half, replays = records // 2, Replays()
    for sync_fails, room, killed_at in (
        (None, _ROOM, -1),
        (half, _ROOM, -1),
        (None, 900, -1),
        (None, _ROOM, half),
    ):
        disk = SimulatedDisk(lambda number, at=sync_fails: number == at, room, killed_at)  # type: ignore[misc]
        with contextlib.suppress(Killed):
            _append(
                disk, LogWriter(disk, "first", faults), [f"first-{number}" for number in range(records)], []
            )
        disk.room = _ROOM
        with contextlib.suppress(LogDamaged):
            _append(disk, LogWriter(disk, "second", faults), ["second"], [])
        for state in disk.states():
            states += 1
            lost += [told] if (told := lost_in(state, replays)) else []
            if len(lost) == _MOST:
                return {"states": states, "lost": len(lost), "first": lost[0]}
    return {"states": states, "lost": len(lost), "first": lost[0] if lost else None}


def _every(faults: Collection[BillingFault], *, is_frozen: bool) -> Row:
    broken: list[str] = []
    for at in range(_MOST):
        disk = _Interrupted()
        acknowledged: list[bytes] = []
        holder = LogWriter(disk, "holder", faults)
        _append(disk, holder, ["before"], acknowledged)
        disk.calls, disk.at = 0, at
        if is_frozen:
            disk.meanwhile = lambda disk=disk, told=acknowledged: _append(  # type: ignore[misc]
                disk, LogWriter(disk, "next", faults), ["taken over", "and on"], told
            )
            _append(disk, holder, ["frozen"], acknowledged)
        else:
            disk.meanwhile = lambda disk=disk, holder=holder, told=acknowledged: _append(  # type: ignore[misc]
                disk, holder, ["meanwhile"], told
            )
            _append(disk, LogWriter(disk, "next", faults), ["taken over"], acknowledged)
        reached = disk.calls > at
        disk.at = -1
        # Whoever was overtaken goes on as if nothing had been.
        _append(disk, holder, ["stale"], acknowledged)
        broken += [f"before disk call {at}: {law}" for law in broken_laws(disk.image(), acknowledged)]
        if not reached:
            return {"schedules": at, "broken": len(broken), "first": broken[0] if broken else None}
    return {"schedules": _MOST, "broken": len(broken), "first": broken[0] if broken else None}


def _append(disk: SimulatedDisk, writer: LogWriter, bodies: list[str], told: list[bytes]) -> None:
    for body in bodies:
        try:
            writer.append(body.encode())
        except (LogStopped, LogFull):
            return
        told.append(body.encode())
        disk.acknowledge(body.encode())
