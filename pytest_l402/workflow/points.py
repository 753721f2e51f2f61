"""Decides which worker waits where: every point that a worker passes is written down, and can be held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_l402.harness.deadline import Deadline

Row = dict[str, Any]


class NotReached(TimeoutError):  # noqa: N818 - the name of the condition
    """No worker came to the point in time; the message names the point and the time."""


@dataclass(eq=False)
class Hold:
    """A point at which the next `times` workers that come to it are told to wait, or to fail."""

    point: str
    matches: Row
    times: int
    order: str
    held: list[Row] = field(default_factory=list)
    released: bool = False

    def takes(self, call: Row) -> bool:
        """Whether this call is one that it was made for."""
        fits = call["point"] == self.point and all(
            call.get(key) == value for key, value in self.matches.items()
        )
        return fits and not self.released and len(self.held) < self.times

    def __str__(self) -> str:
        return " ".join([f"point {self.point}", *(f"{key}={value}" for key, value in self.matches.items())])


class Points:
    """The call log, append-only, and the holds that a drill has set; asked from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holds: list[Hold] = []
        self._injected: list[Hold] = []
        self._calls: list[Row] = []

    @property
    def calls(self) -> list[Row]:
        """Every point that was passed so far, in the order of arrival."""
        with self._changed:
            return [dict(call) for call in self._calls]

    @property
    def injected(self) -> list[Row]:
        """What was injected so far: at which point, how often it was to happen, and how often it did."""
        with self._changed:
            return [
                {"point": hold.point, "order": hold.order, "times": hold.times, "fired": len(hold.held)}
                for hold in self._injected
            ]

    def passed(self, call: Row) -> str:
        """Write the call down; return `go` or `fail`, once a drill lets the caller go on."""
        with self._changed:
            hold = next((hold for hold in self._holds if hold.takes(call)), None)
            call = {**call, "told": "go" if hold is None else hold.order}
            self._calls.append(call)
            if hold is not None:
                hold.held.append(call)
            self._changed.notify_all()
            if hold is not None and hold.order == "wait":
                self._changed.wait_for(lambda: hold.released)
        return "fail" if call["told"] == "fail" else "go"

    @contextmanager
    def held(self, point: str, *, times: int = 1, **matches: Any) -> Iterator[Hold]:
        """Hold the next `times` calls at a point that have these values, until released or the block ends."""
        with self._holding(Hold(point, matches, times, "wait")) as hold:
            yield hold

    @contextmanager
    def failing(self, point: str, *, times: int = 1, **matches: Any) -> Iterator[Hold]:
        """Let the next `times` calls at a point that have these values fail: the body raises."""
        with self._holding(Hold(point, matches, times, "fail")) as hold:
            yield hold

    def release(self, hold: Hold) -> None:
        """Let all whom it holds go on, and hold nobody any more."""
        with self._changed:
            hold.released = True
            self._changed.notify_all()

    def release_all(self) -> None:
        """Let everybody go on; for the end, when nobody may wait any more."""
        for hold in list(self._holds):
            self.release(hold)

    def reached(self, hold: Hold, wait_s: float = 10.0) -> Row:
        """Wait until somebody is held; return the last call.

        Raises:
            NotReached: nobody came within `wait_s` seconds.
        """
        return self._wait(lambda: hold.held[-1] if hold.held else None, str(hold), wait_s)

    def seen(self, point: str, wait_s: float = 10.0, **matches: Any) -> Row:
        """Wait until a call at the point with these values is in the log, and return it.

        Raises:
            NotReached: there is none after `wait_s` seconds.
        """
        wanted = Hold(point, matches, 1, "wait")
        return self._wait(
            lambda: next((call for call in self._calls if wanted.takes(call)), None), str(wanted), wait_s
        )

    def _wait(self, find: Any, what: str, wait_s: float) -> Row:
        deadline = Deadline(wait_s)
        with self._changed:
            while (found := find()) is None:
                if deadline.over:
                    raise NotReached(
                        f"{what}: expected a worker to come there within {wait_s:g} s, saw "
                        f"{len(self._calls)} calls at other points; see whether a worker runs"
                    )
                self._changed.wait(deadline.remaining_s)
            return dict(found)

    @contextmanager
    def _holding(self, hold: Hold) -> Iterator[Hold]:
        with self._changed:
            self._holds.append(hold)
            self._injected.append(hold)
        try:
            yield hold
        finally:
            self.release(hold)
            with self._changed:
                self._holds.remove(hold)
