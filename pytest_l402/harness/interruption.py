"""How a run that is told to end undoes what it began first, whichever signal says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The process was told to end by `signal_number`; what was changed is undone on the way out."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that this signal ended."""
        return 128 + self.signal_number


@contextmanager
def undoing_when_interrupted(announce: Callable[[str], None]) -> Iterator[None]:
    """Raise `Interrupted` in the block on SIGINT, SIGTERM or SIGHUP, once.

    Without it SIGTERM ends a process where it stands. A second signal changes nothing: every wait is bounded,
    and undoing must not be cut off. A signal that somebody else handles, or ignores (nohup), is left to them,
    and outside the main thread, which alone gets signals, nothing is done.
    """
    is_ending = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal is_ending
        if is_ending:
            announce("already ending: what was changed is being undone")
            return
        is_ending = True
        raise Interrupted(number)

    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    before[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
