"""`triage`: name the failing domain of each request in incident files."""

from __future__ import annotations

import argparse
from typing import Final

from pytest_l402.commands.outcome import complain, say

_EXIT_CODES: Final = """\
exit codes:
  0  every request is healthy
  1  something failed; a request with incomplete evidence counts as failed
  2  the files or the arguments cannot be used; what could be read is judged all the same
"""
_SHOWN_PROBLEMS: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Name for each request of the files the failing domain, the field and record that\n"
        "decide it, and the next step of the runbook. Files hold observability records as JSON or\n"
        "JSON Lines: a record, a list, a snapshot, a local-node artifact or an observability summary."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file of records")
    parser.add_argument("--request-id", metavar="ID", help="judge this request only")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print the diagnoses and return the exit code."""
    # Imported here: --help must not wait for models and engines.
    from pytest_l402.triage.incident import read_incident
    from pytest_l402.triage.report import EXIT_CODES, triage_report

    report = triage_report(read_incident(*given.files), given.request_id)
    if given.json:
        # Its `problems` are all there is to complain of.
        print(report.to_json())
        return EXIT_CODES[report.outcome]
    if report.requests or report.shortfalls:
        say(report.to_text())
    for problem in report.told_problems()[:_SHOWN_PROBLEMS]:
        complain("triage", problem)
    if len(report.problems) > _SHOWN_PROBLEMS:
        rest = len(report.problems) - _SHOWN_PROBLEMS
        complain("triage", f"{rest} more like these; --json names them all")
    return EXIT_CODES[report.outcome]
