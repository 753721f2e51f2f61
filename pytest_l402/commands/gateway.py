"""`gateway`: run the stack's gateway as a program that takes Aperture's file and flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run until it is stopped, and return the exit code; the flags are Aperture's."""
    if {"-h", "--help"} & {*arguments}:
        print(_HELP, end="")
        return 0
    from pytest_l402.stack.aperture.program import CannotStart, run_gateway

    try:
        return run_gateway(arguments, os.environ)
    except CannotStart as refused:
        print(refused, file=sys.stderr)
        return refused.code


_HELP = """\
usage: pytest-l402 gateway --configfile=FILE [--sqlite.dbfile=FILE] [--listenaddr=HOST:PORT]

Sell what a file of Aperture's says, as Aperture sells it, until SIGTERM. The flags are Aperture's:
--basedir, --configfile, --dbbackend, --debuglevel, --insecure, --listenaddr, --sqlite.dbfile,
--strictverify. Played are SQLite and, for invoices, wavelengthgateway or lndhost; a key that is
not played (TLS, Tor, dynamic prices, ...) is refused by its name.

exit codes: as Aperture's; 0 stopped, 1 and 2 it does not start, and the line on stderr says why
"""
