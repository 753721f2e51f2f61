"""The `pytest-l402` command: dispatches, and loses no answer on its way to the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.command_line import parse
from pytest_l402.commands.outcome import UNUSABLE, refusal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; without `arguments` those of the process are taken.

    Raises `SystemExit` for `--help`, `--version` and arguments that cannot be used.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows its escape; the answer is worth more than its accents.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    arguments = [*(sys.argv[1:] if arguments is None else arguments)]
    if arguments[:1] == ["gateway"] and not {"-h", "--help"} & {*arguments}:
        # Its flags are Aperture's own, which no parser of ours takes apart.
        from pytest_l402.commands.gateway import sell

        return sell(arguments[1:])
    try:
        given = parse(arguments)
    except BadInput as error:
        raise SystemExit(_refuse(error, arguments)) from None
    try:
        code = int(given.run(given))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader had enough (`| head`); Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pytest-l402: interrupted", file=sys.stderr)
        return 130
    return code


def _refuse(error: BadInput, arguments: Sequence[str]) -> int:
    from pytest_l402.commands.artifacts import make_way_for_refused
    from pytest_l402.commands.bad_input import Failed
    from pytest_l402.commands.runner import deliver

    # What cannot be moved is told by a run that begins; this one never did.
    with contextlib.suppress(Failed):
        make_way_for_refused(arguments)
    return deliver("", refusal(error.code, str(error)), UNUSABLE, as_json="--json" in arguments)
