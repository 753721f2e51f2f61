"""Decides when a process that serves is stuck, since its interpreter is held: a program beside it ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["STUCK_AFTER_S", "ended_when_stuck"]

STUCK_AFTER_S: Final = 30.0
"""How long a process may say nothing before it counts as stuck, in seconds."""
_BEATS: Final = 10

# No thread of a process whose interpreter is held can say so, nor can a handler of a signal. The second wait
# is for a process that was stopped and goes on, together with this program.
_PROGRAM: Final = """
import os, select, signal, sys
pid, after_s = int(sys.argv[1]), float(sys.argv[2])
while True:
    if not any(select.select([0], [], [], wait_s)[0] for wait_s in (after_s, after_s / 5)):
        if os.getppid() == pid:
            os.write(2, sys.argv[3].encode() + b"\\n")
            os.kill(pid, signal.SIGABRT)
        break
    if not os.read(0, 4096):
        break
"""


@contextmanager
def ended_when_stuck(words: str, *, after_s: float = STUCK_AFTER_S, tell: int = 2) -> Iterator[None]:
    """End this process by SIGABRT if none of its threads could run for `after_s` seconds inside the block.

    `words` are written to the descriptor `tell` before. Python's faulthandler, where it is on, then shows
    where each thread was.
    """
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(os.getpid()), str(after_s), words]
    over = threading.Event()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=tell) as watcher:
        assert watcher.stdin is not None
        beats = threading.Thread(target=_beat, args=(watcher.stdin.fileno(), after_s / _BEATS, over))
        beats.start()
        try:
            yield
        finally:
            over.set()
            beats.join()
            # It ends with its input, which the end of the block closes.


def _beat(descriptor: int, every_s: float, over: threading.Event) -> None:
    with suppress(BrokenPipeError):
        while not over.wait(every_s):
            os.write(descriptor, b".")
