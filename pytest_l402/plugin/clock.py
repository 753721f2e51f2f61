"""Decides what time it is for a run, whatever a `conftest.py` or a test has made of the clock.

Bound when pytest loads its plugins, before any `conftest.py`; what freezes clocks leaves these two alone.
"""

from __future__ import annotations

import sys
import time
from datetime import date
from time import clock_gettime_ns
from typing import Final

# The coarse one of Linux, exact to some ms: what alters `time` in place alters the clock that all read.
_WALL: Final = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
# One that goes on while the machine sleeps, where there is one.
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_EPOCH: Final = date(1970, 1, 1).toordinal()

TOLERANCE_MS: Final = 60_000
"""How far the machine's clock may be moved during a run before its times are not believed."""


def now_ms() -> int:
    """Return the machine's time, epoch ms."""
    return clock_gettime_ns(_WALL) // 1_000_000


def steady_ms() -> int:
    """Return ms of a clock that nobody can set; only differences mean anything."""
    return clock_gettime_ns(_STEADY) // 1_000_000


def day_of(epoch_ms: int) -> date:
    """Return the day in UTC of an instant, epoch ms."""
    return date.fromordinal(_EPOCH + epoch_ms // 86_400_000)


def contradiction(wall_ms: int, passed_ms: int) -> str | None:
    """Return what is wrong if the machine's clock went `wall_ms` further while `passed_ms` passed."""
    moved = wall_ms - passed_ms
    if abs(moved) <= TOLERANCE_MS:
        return None
    way = "forward" if moved > 0 else "back"
    return (
        f"the machine's clock was set {way} by {abs(moved) // 1000} s during the run, while "
        f"{passed_ms // 1000} s passed; beyond {TOLERANCE_MS // 1000} s no time that the run tells can be "
        "believed"
    )
