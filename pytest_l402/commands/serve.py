"""`serve`: the stack on ports of this machine, behind the APIs of a deployed platform."""

from __future__ import annotations

import argparse
import os
import select
import shlex
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.commands.arguments import add_faults, add_values, usable_path
from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.outcome import FAILED, OK, UNUSABLE, complain, refusal, versioned
from pytest_l402.commands.runner import deliver

if TYPE_CHECKING:
    from pytest_l402.stack.served.served import ServedPlatform, ServedStack

_DESCRIPTION: Final = """\
Serve the stack on two ports of this machine, until SIGINT or SIGTERM: a gateway with its operations
API, and a control plane. Prints where they are, and the environment variables by which the live mode of
the other commands, or of pytest, finds them. Nothing leaves this machine; no real money moves.

  pytest-l402 serve > served.env 2> served.log &
  . ./served.env && pytest-l402 smoke:staging --mode live

Each request leaves a line with its oa_req=<id> on standard error."""
_EXIT_CODES: Final = """\
exit codes:
  0  ended by SIGINT or SIGTERM
  1  a stand-in failed on a request, or a fault that was asked for never happened
  2  arguments, a port or a file cannot be used
"""
_FILES: Final = (
    (
        "--scenario FILE",
        'JSON file read before every request: {"faults": [{"fault": NAME, ...}], "prices": {ID: MSATS}}',
    ),
    ("--record FILE", "append a JSON line for every request, without secrets"),
    ("--seed N", "seed of every id and key (default: random)"),
)
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXIT_CODES
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of export lines")
    runs = parser.add_mutually_exclusive_group()
    runs.add_argument(
        "--previous",
        action="store_true",
        help="run an earlier configuration: the first price is one sat more",
    )
    runs.add_argument("--bare", action="store_true", help="a gateway to which nothing was deployed yet")
    parser.add_argument(
        "--form",
        choices=("api", "convex"),
        default="api",
        help="name the control plane by API_BASE_URL (default) or by KHALA_URL; it speaks both forms",
    )
    parser.add_argument(
        "--protobuf", action="store_true", help="answer in protobuf's JSON: snake_case keys, integers as text"
    )
    add_faults(parser, "let a part of the stack misbehave all the time; may be given twice")
    add_values(parser, _FILES)
    parser.add_argument(
        "--until-eof", action="store_true", help="also end when standard input is closed, as with its parent"
    )


def run(given: argparse.Namespace) -> int:
    """Serve until told to end, and return the exit code, with which the process is to end."""
    # Before any thread starts: who waits for a signal must be the only one to get it. It stays so to the end
    # of the process: told twice is told once, and a second signal must not kill what is ending well.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        return _serve(given)
    except BadInput as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return deliver("serve", refusal(error.code, str(error)), UNUSABLE, as_json=given.json)


def _serve(given: argparse.Namespace) -> int:
    from pytest_l402.boundary import InputError, printable

    code = OK
    with ExitStack() as block:
        try:
            served = _served(given, block)
            platform = block.enter_context(served.serving())
        except (InputError, OSError) as error:
            text = printable(str(error), 400)
            raise BadInput(text, "bad_file" if isinstance(error, InputError) else "unusable") from None
        _tell(platform, as_json=given.json)
        if given.until_eof:
            threading.Thread(target=_end_with_input, daemon=True).start()
        signal.sigwait(_ENDING)
        try:
            block.close()
        except RuntimeError as error:
            complain("serve", printable(f"{error}: {error.__cause__!r}", 400))
            code = FAILED
    for name in served.faults_that_never_fired():
        complain("serve", f"expected {name} to happen, saw that nothing met it; ask for what it breaks")
        code = FAILED
    return code


def _served(given: argparse.Namespace, block: ExitStack) -> ServedStack:
    from pytest_l402.commands.faults import read_faults
    from pytest_l402.harness.clock import SystemClock
    from pytest_l402.harness.randomness import SeededRandomness, SystemRandomness
    from pytest_l402.stack.served.served import ServedStack
    from pytest_l402.stack.stack import Stack

    randomness: Any = SystemRandomness() if given.seed is None else SeededRandomness(given.seed)
    stack = block.enter_context(Stack(clock=SystemClock(), randomness=randomness))
    return ServedStack(
        stack,
        previous=given.previous,
        bare=given.bare,
        convex=given.form == "convex",
        as_protobuf=given.protobuf,
        faults=read_faults("serve", given.fault),
        scenario=usable_path("--scenario", given.scenario),
        record=_writable("--record", given.record),
        log=_log,
    )


def _log(line: str) -> None:
    """Print a line on standard error, unless nobody has read what was printed: no request waits for that."""
    if sys.stderr is not None and select.select((), (sys.stderr,), (), 0)[1]:
        from pytest_l402.boundary import printable, redact_text

        print(redact_text(printable(line, 600)), file=sys.stderr, flush=True)


def _writable(origin: str, value: str | None) -> Path | None:
    path = usable_path(origin, value)
    if path is not None and not path.parent.is_dir():
        raise BadInput(f"{origin}: expected a file in a folder that exists, saw none; make the folder")
    return path


def _tell(platform: ServedPlatform, *, as_json: bool) -> None:
    if as_json:
        document = {
            "ok": True,
            "gatewayUrl": platform.gateway_url,
            "controlPlaneUrl": platform.control_plane_url,
            "pid": os.getpid(),
            "environment": platform.environment,
        }
        print(versioned("serve", document), flush=True)
        return
    for name, value in platform.environment.items():
        print(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
    complain(
        "serve",
        f"gateway {platform.gateway_url}, control plane {platform.control_plane_url}; end with Ctrl-C",
    )


def _end_with_input() -> None:
    while sys.stdin.buffer.read(1 << 12):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
