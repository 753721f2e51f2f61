"""Decides when a wait is over, by a clock that a frozen clock of a test does not stop."""

from __future__ import annotations

import time

__all__ = ["Deadline", "now_s"]


class Deadline:
    """The end of a wait of `wait_s` seconds, counted from now; a negative wait is over at once."""

    def __init__(self, wait_s: float) -> None:
        self._end_s = now_s() + max(wait_s, 0.0)

    @property
    def remaining_s(self) -> float:
        """The seconds that are left, never below 0."""
        return max(self._end_s - now_s(), 0.0)

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.remaining_s <= 0.0

    def pause(self, step_s: float) -> None:
        """Let `step_s` seconds pass, or what is left, between two looks at what tells nobody of changes."""
        time.sleep(min(step_s, self.remaining_s))


def now_s() -> float:
    """Return the seconds of a clock that only goes forward; its zero has no meaning."""
    # Tools that freeze time replace time.monotonic, and a wait would never end; this call they leave alone.
    return time.clock_gettime(time.CLOCK_MONOTONIC)
