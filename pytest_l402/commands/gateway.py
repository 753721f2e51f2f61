"""`gateway`: run the stack's gateway as a program that takes Aperture's file and flags."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

_DESCRIPTION: Final = """\
Sell what a file of Aperture's says, as Aperture sells it, until SIGTERM. The flags are Aperture's:
--basedir, --configfile, --dbbackend, --debuglevel, --insecure, --listenaddr, --sqlite.dbfile,
--strictverify. Played are SQLite and, for invoices, wavelengthgateway or lndhost; a key that is
not played (TLS, Tor, dynamic prices, ...) is refused by its name."""
_EXIT_CODES: Final = """\
exit codes: as Aperture's
  0  it was stopped
  1  it does not start, and one line says why
  2  it does not start: a value on which Aperture panics
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXIT_CODES
    parser.add_argument("flags", nargs="*", metavar="--configfile=FILE", help="Aperture's own flags")


def run(given: argparse.Namespace) -> int:
    """Sell until the end and return the exit code."""
    return sell(given.flags)


def sell(flags: Sequence[str]) -> int:
    """Sell what the file that the flags name says, until the end, and return the exit code."""
    from pytest_l402.stack.aperture.program import CannotStart, run_gateway

    try:
        return run_gateway(flags, os.environ)
    except CannotStart as refused:
        print(refused, file=sys.stderr)
        return refused.code
