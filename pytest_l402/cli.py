"""The `pytest-l402` command: what each sub-command takes, what it prints, with which code it exits.

Exit codes: 0 all that was judged is healthy, 1 something failed, 2 input or command line cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pytest_l402 import __version__

_EXIT_CODES = """\
exit codes:
  0  every request is healthy
  1  something failed; a request with incomplete evidence counts as failed
  2  the files or the arguments cannot be used; what could be read is judged all the same
"""
_SHOWN_PROBLEMS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; without `arguments` those of the process are taken."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows its escape; the answer is worth more than its accents.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader had enough (`| head`); Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("pytest-l402: interrupted", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-l402",
        description="Triage paid APIs by their runbook. Rehearsals run with: pytest -m rehearsal",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pytest-l402 {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    triage = commands.add_parser(
        "triage",
        help="name the failing domain of each request in incident files",
        description="Name for each request of the files the failing domain, the field and record that\n"
        "decide it, and the next step of the runbook. Files hold observability records as JSON or\n"
        "JSON Lines: a record, a list, a snapshot, a local-node artifact or an observability summary.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    triage.add_argument("files", nargs="+", metavar="FILE", help="a file of records")
    triage.add_argument("--request-id", metavar="ID", help="judge this request only")
    triage.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    triage.set_defaults(run=_triage)
    return parser


def _triage(options: argparse.Namespace) -> int:
    # Imported here: --help and --version must not wait for models and engines.
    from pytest_l402.evidence.incident import read_incident
    from pytest_l402.evidence.triage_report import EXIT_CODES, triage_report

    report = triage_report(read_incident(*options.files), options.request_id)
    if options.json:
        print(report.to_json())
    elif report.requests or report.shortfalls:
        print(report.to_text())
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        print(f"pytest-l402 triage: {problem}", file=sys.stderr)
    if len(report.problems) > _SHOWN_PROBLEMS:
        rest = len(report.problems) - _SHOWN_PROBLEMS
        print(f"pytest-l402 triage: {rest} more like these; --json names them all", file=sys.stderr)
    return EXIT_CODES[report.outcome]
