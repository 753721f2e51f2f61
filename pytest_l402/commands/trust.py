"""Which keys, which roster and which time a run folder is verified with, as the command line gives them."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_l402.commands.bad_input import BadInput, plain

if TYPE_CHECKING:
    from pytest_l402.signoff.verification import Trust


def add_trust_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says whom to believe, and when."""
    parser.add_argument(
        "--key", metavar="PATH", help="public key that must have signed the run, in PEM or of OpenSSH"
    )
    parser.add_argument(
        "--roster",
        metavar="PATH",
        help="who may approve runs, in the form of ssh-keygen's allowed_signers; one of them must have",
    )
    parser.add_argument(
        "--at", metavar="TIME", help="look at it as of this time, as 2026-12-01T00:00:00Z (default: now)"
    )


def read_trust(given: argparse.Namespace) -> Trust:
    """Return what was given.

    Raises:
        BadInput: a key that cannot be read, a roster that is not there, a time that is none.
    """
    from pytest_l402.signoff.signing import UnusableKeyError, read_verifying_key
    from pytest_l402.signoff.verification import Trust

    roster = None if given.roster is None else Path(given.roster)
    if roster is not None and not roster.is_file():
        raise BadInput(f"--roster {plain(str(roster))}: expected a file, saw none; correct the path")
    try:
        key = None if given.key is None else read_verifying_key(Path(given.key))
    except UnusableKeyError as error:
        raise BadInput(f"--key {error}") from None
    return Trust(_moment_ms(given.at), key, roster)


def _moment_ms(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1_000_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput(f"--at {plain(text[:60])}: expected a time with its zone, as 2026-12-01T00:00:00Z")
    return int(moment.timestamp() * 1000)
