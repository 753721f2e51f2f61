"""Decides how a command ends, whatever happens in it: told in one document, with an honest exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from pytest_l402.commands.bad_input import BadInput, Failed
from pytest_l402.commands.outcome import FAILED, UNUSABLE, Outcome, complain, refusal, tell

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIGNALLED: Final = 128


class Interrupted(BaseException):
    """Somebody wants the command to end; whatever it has begun is undone on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


def carry_out(command: str, work: Callable[[], Outcome], *, as_json: bool) -> int:
    """Do the work, print its outcome, and return the exit code.

    0 means that what was asked for is true, 1 that it is not, 2 that it could not be tried; after a signal it
    is 128 and the signal's number. Standard output is never empty, unless it cannot be written.
    """
    try:
        with interruptible():
            outcome = work()
            document, reason, code = outcome.document, outcome.reason, outcome.exit_code
    except BadInput as error:
        document, reason, code = refusal(error.code, str(error), error.more), str(error), UNUSABLE
    except Failed as error:
        document, reason, code = refusal(error.code, str(error), error.more), str(error), FAILED
    except Interrupted as error:
        document, reason = refusal("interrupted", str(error)), str(error)
        code = _SIGNALLED + error.number
    except Exception as error:
        # A defect of ours must not look like a pass, nor like a fault of the input.
        text = _internal(error)
        document, reason, code = refusal("internal_error", text), text, FAILED
    return deliver(command, document, reason, code, as_json=as_json)


def deliver(command: str, document: object, reason: str | None, code: int, *, as_json: bool) -> int:
    """Print a document and return `code`, or 1 when it could not be printed and nobody learned of it."""
    assert isinstance(document, dict)
    try:
        tell(command, document, reason, as_json=as_json)
    except BrokenPipeError:
        # The reader had enough (`| head`); Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or FAILED
    except OSError as error:
        complain(
            command, f"standard output: expected to write the answer there, saw {error.strerror or error}"
        )
        return code or FAILED
    return code


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP inside the block into `Interrupted`; ignore later ones.

    What the command has begun is undone meanwhile, and a second signal would break that off.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # Who started us with nohup wants SIGHUP ignored.
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def interrupt(number: int, _: FrameType | None) -> None:
        for heard in heeded:
            signal.signal(heard, signal.SIG_IGN)
        raise Interrupted(number)

    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number] or signal.SIG_DFL)


def _internal(error: Exception) -> str:
    from pytest_l402.boundary import printable, redact_text

    shown = redact_text(printable(f"{type(error).__name__}: {error}", 400))
    return f"internal error: {shown}; this is a defect of pytest-l402, please report it"
