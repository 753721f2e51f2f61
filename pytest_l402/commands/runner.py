"""How a command ends, whatever happens in it: told once, with an honest exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from pytest_l402.commands.arguments import Arguments, read_arguments
from pytest_l402.commands.artifacts import make_way
from pytest_l402.commands.bad_input import BadInput, Failed
from pytest_l402.commands.outcome import FAILED, UNUSABLE, Outcome, complain, refusal, say, say_document
from pytest_l402.commands.text import text_of
from pytest_l402.harness.interruption import Interrupted, undoing_when_interrupted


def running(work: Callable[[Arguments], Outcome]) -> Callable[[argparse.Namespace], int]:
    """Return what a command line runs: it checks what is asked, works, tells of it, returns the exit code."""

    def run(given: argparse.Namespace) -> int:
        def begin() -> Outcome:
            make_way(given.command, given.artifact_dir)
            arguments = read_arguments(given)
            outcome = work(arguments)
            if arguments.injected:
                return outcome._replace(document={**outcome.document, "faults": arguments.injected})
            return outcome

        return carry_out(given.command, begin, as_json=given.json)

    return run


def carry_out(
    command: str, work: Callable[[], Outcome], *, as_json: bool, text: Callable[[str, Outcome], str] = text_of
) -> int:
    """Do the work, print its outcome, and return the exit code; `text` is what people read of it.

    0 means that what was asked for is true, 1 that it is not, 2 that it could not be tried; after a signal it
    is 128 and the signal's number. Later signals are ignored: what was begun is being undone.
    """
    try:
        with undoing_when_interrupted(lambda _: None):
            outcome = work()
            code = outcome.exit_code
    except BadInput as error:
        outcome, code = refusal(error.code, str(error), error.more), UNUSABLE
    except Failed as error:
        outcome, code = refusal(error.code, str(error), error.more), FAILED
    except Interrupted as error:
        outcome, code = refusal("interrupted", str(error)), error.exit_code
    except Exception as error:
        # A defect of ours must not look like a pass, nor like a fault of the input.
        outcome, code = refusal("internal_error", _internal(error)), FAILED
    return deliver(command, outcome, code, as_json=as_json, text=text)


def deliver(
    command: str,
    outcome: Outcome,
    code: int,
    *,
    as_json: bool,
    text: Callable[[str, Outcome], str] = text_of,
) -> int:
    """Tell of an outcome and return `code`, or 1 when it could not be told and nobody learned of it.

    The document goes to standard output, or a text; a refusal for people to standard error. Nothing is told
    twice.
    """
    try:
        _tell(command, outcome, text, as_json=as_json)
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


def _tell(command: str, outcome: Outcome, text: Callable[[str, Outcome], str], *, as_json: bool) -> None:
    if not as_json and "error" in outcome.document:
        complain(command, outcome.document["error"])
        return
    if sys.stdout is None:
        raise OSError("standard output is closed")
    if as_json:
        say_document(command, outcome.document)
    else:
        say(text(command, outcome))
    sys.stdout.flush()


def _internal(error: Exception) -> str:
    from pytest_l402.boundary import printable, redact_text

    shown = redact_text(printable(f"{type(error).__name__}: {error}", 400))
    return f"internal error: {shown}; this is a defect of pytest-l402, please report it"
