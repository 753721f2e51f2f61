"""Decides what time it is for every part of the stack, and who may move it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory

DEFAULT_START_MS = 1_735_000_000_000


class Clock(Protocol):
    """What the stand-ins ask of a clock; all times are epoch milliseconds unless named otherwise."""

    goes_by_itself: bool = False
    """Whether time passes without anybody who moves it."""

    def now_ms(self) -> int:
        """Return the current time in epoch milliseconds."""

    def now_s(self) -> int:
        """Return the current time in whole epoch seconds, rounded down."""
        return self.now_ms() // 1000

    def tick(self) -> int:
        """Let the smallest observable moment pass and return the new time in epoch milliseconds."""

    def advance(self, ms: int) -> int:
        """Let `ms` milliseconds pass and return the new time in epoch milliseconds."""


class StackClock(Clock):
    """A clock that stands still until it is told to move, so that one seed gives one row of timestamps."""

    def __init__(self, start_ms: int = DEFAULT_START_MS) -> None:
        if start_ms < 0:
            raise ValueError(f"start_ms must be an epoch time in milliseconds >= 0, got {start_ms}")
        self._now_ms = start_ms
        self._frozen: list[FrozenDateTimeFactory] = []
        # Re-entrant: whoever holds the loopback lock may read the clock while moving it.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"StackClock(now_ms={self._now_ms})"

    def now_ms(self) -> int:
        """Return the current time in epoch milliseconds."""
        return self._now_ms

    def tick(self) -> int:
        """Advance by one millisecond and return the new time in epoch milliseconds."""
        return self.advance(1)

    def advance(self, ms: int) -> int:
        """Advance by `ms` milliseconds and return the new time.

        Raises:
            ValueError: `ms` is negative; time never runs backwards in evidence.
        """
        if ms < 0:
            raise ValueError(f"a clock only moves forward: advance() takes milliseconds >= 0, got {ms}")
        with self._lock:
            self._now_ms += ms
            for factory in self._frozen:
                factory.move_to(_as_datetime(self._now_ms))
            return self._now_ms

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze `time` and `datetime` of this process at this clock, following every later `advance()`.

        Start no thread and no server inside. pytest's own timing stays real, so reported durations stay true.
        """
        from freezegun import freeze_time
        from freezegun.api import FrozenDateTimeFactory

        # Before freezing: a first import of pydantic under a freeze breaks later models that hold a datetime.
        import pytest_l402.contract  # noqa: F401

        freezer = freeze_time(
            _as_datetime(self._now_ms),
            ignore=["_pytest.timing", "_pytest.subtests"],
            real_asyncio=True,
        )
        with freezer as factory:
            assert isinstance(factory, FrozenDateTimeFactory)
            self._frozen.append(factory)
            try:
                yield
            finally:
                self._frozen.remove(factory)


class SystemClock(Clock):
    """The machine's own time, for a stack that is served to other processes."""

    goes_by_itself = True

    def now_ms(self) -> int:
        """Return the current time in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def tick(self) -> int:
        """Return the current time in epoch milliseconds; real time passes by itself."""
        return self.now_ms()

    def advance(self, ms: int) -> int:
        """Wait for `ms` milliseconds and return the new time.

        Raises:
            ValueError: `ms` is negative.
        """
        if ms < 0:
            raise ValueError(f"a clock only moves forward: advance() takes milliseconds >= 0, got {ms}")
        time.sleep(ms / 1000)
        return self.now_ms()


def _as_datetime(epoch_ms: int) -> datetime:
    seconds, rest = divmod(epoch_ms, 1000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest * 1000)
