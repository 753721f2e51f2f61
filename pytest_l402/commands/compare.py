"""`compare`: what changed from one run to another, and whether anything of it is a regression."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_l402.commands.bad_input import plain
from pytest_l402.commands.outcome import FAILED, OK, UNUSABLE, refusal, say, say_document
from pytest_l402.commands.runner import deliver

if TYPE_CHECKING:
    from pytest_l402.signoff.comparison import Comparison

_EXIT_CODES: Final = """\
exit codes:
  0  nothing is less than it was
  1  a regression: a verdict, rehearsal, line, check or mutant that was and is not, or a slower recovery
  2  one of them is no run folder, or holds no document that can be read
"""
_SHOWN: Final = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Say what changed from run A to run B, by their documents. Neither is verified: `verify` does that."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument("before", metavar="A", help="the earlier run: its folder, or its document")
    parser.add_argument("after", metavar="B", help="the later run")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print what changed and return the exit code."""
    from pytest_l402.boundary.input_error import InputError
    from pytest_l402.signoff.comparison import compare
    from pytest_l402.signoff.document import read_signoff

    try:
        before, after = read_signoff(Path(given.before)), read_signoff(Path(given.after))
    except InputError as error:
        return deliver("compare", refusal("bad_input", str(error)), UNUSABLE, as_json=given.json)
    found = compare(before, after)
    code = FAILED if found.regressions else OK
    if given.json:
        told = {"ok": code == OK, "before": before.run.id, "after": after.run.id}
        say_document("compare", {**told, "regressions": found.regressions, "changes": found.changes})
    else:
        say("\n".join(_lines(found, f"{before.run.id} to {after.run.id}")))
    return code


def _lines(found: Comparison, runs: str) -> Iterator[str]:
    words = f"{len(found.regressions)} REGRESSIONS" if found.regressions else "no regression"
    yield plain(f"compare: {words}, {len(found.changes)} changes, from {runs}")
    for word, texts in (("regression", found.regressions), ("change", found.changes)):
        for text in texts[:_SHOWN]:
            yield plain(f"  {word}: {text}")
        if len(texts) > _SHOWN:
            yield f"  {word}: {len(texts) - _SHOWN} more; --json names them all"
