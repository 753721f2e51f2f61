"""Decides what a signal does to a run that is being concluded: nothing halfway."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_HELD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_held() -> Iterator[Callable[[], bool]]:
    """Hold signals that end a process until the block has ended; give a way to ask whether one has come.

    What has come by then is dropped: the block has taken it into account, or the verdict was written already
    and the process is about to end by itself, with the exit code that goes with it. A signal that is ignored
    stays ignored. Outside of the main thread, which no signal interrupts, nothing is held.
    """
    came: list[int] = []
    before = {}
    # By handlers, not by a mask: a mask is of one thread, and another one would let the signal through.
    if threading.current_thread() is threading.main_thread():
        for number in _HELD:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
