"""Decides what a signal does to a run that is being concluded: nothing halfway."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_HELD: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@contextmanager
def signals_held() -> Iterator[Callable[[], bool]]:
    """Hold signals that end a process until the block has ended; give a way to ask whether one has come.

    What has come by then is dropped: the block has taken it into account, or the verdict was written already
    and the process is about to end by itself, with the exit code that goes with it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    held = _HELD - before
    try:
        yield lambda: bool(signal.sigpending() & held)
    finally:
        while signal.sigpending() & held:
            signal.sigtimedwait(held, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
