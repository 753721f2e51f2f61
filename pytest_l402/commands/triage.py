"""`triage`: name the failing domain of each request in incident files."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from pytest_l402.commands.outcome import complain, say

if TYPE_CHECKING:
    from pytest_l402.triage.incident import Progress
    from pytest_l402.triage.incident_rows import Incident
    from pytest_l402.triage.report import Query, TriageReport

EXIT_CODES_TOLD: Final = """\
exit codes:
  0  every request is healthy
  1  something failed; a request with incomplete evidence counts as failed
  2  the files or the arguments cannot be used; what could be read is judged all the same
"""
_SHOWN_PROBLEMS: Final = 5
_PATIENCE_S: Final = 1.0
_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Name for each request of the files the failing domain, the field and record that\n"
        "decide it, and the next step of the runbook. Files hold observability records as JSON or\n"
        "JSON Lines, packed or not, as they were or as a log collector has wrapped them; a name may\n"
        "be -, a folder or a pattern. Of more than a few requests an overview comes first."
    )
    parser.epilog = EXIT_CODES_TOLD
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file of records, a folder, or -")
    add_telling_arguments(parser)


def add_telling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what of an answer may be asked for."""
    parser.add_argument(
        "--request-id", metavar="ID", help="judge this request only; its beginning or a proof will do"
    )
    parser.add_argument("--domain", action="append", default=[], help="tell the requests of this domain")
    parser.add_argument(
        "--since", metavar="TIME", help="tell what lasted until then: 02:14, or a date and time"
    )
    parser.add_argument("--limit", metavar="N", help="tell so many requests in full (20)")
    parser.add_argument("--all", action="store_true", help="tell all of them in full, the healthy ones too")
    parser.add_argument("--html", metavar="FILE", help="write a page with plots as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print the diagnoses and return the exit code."""
    # Imported here: --help must not wait for models and engines.
    from pytest_l402.triage.incident import read_incident

    def incident(progress: Progress) -> AbstractContextManager[Incident]:
        return nullcontext(read_incident(*given.files, progress=progress))

    return tell("triage", given, incident)


def tell(
    command: str,
    given: argparse.Namespace,
    incident: Callable[[Progress], AbstractContextManager[Incident]],
    json_limit: int | None = None,
) -> int:
    """Print the answer about an incident and return the exit code.

    In JSON there are `json_limit` requests of many, unless another limit is given.
    """
    from pytest_l402.boundary import InputError
    from pytest_l402.triage.report import EXIT_CODES, TriageOutcome, triage_report

    problem = _unusable(given)
    if problem:
        complain(command, problem)
        return EXIT_CODES[TriageOutcome.BAD_INPUT]
    progress = TerminalProgress(sys.stderr, time.monotonic)
    try:
        with incident(progress) as read:
            report = triage_report(read, given.request_id)
            progress.end()
            if given.since or given.domain or given.limit or given.all:
                report = replace(report, query=_query(given, report.overview.last_at_ms))
            elif given.json and json_limit is not None and not report.is_short:
                report = replace(report, query=replace(report.query, limit=json_limit))
            return _told(command, given, report)
    except InputError as error:
        progress.end()
        complain(command, str(error))
        return EXIT_CODES[TriageOutcome.BAD_INPUT]
    finally:
        progress.end()


def _told(command: str, given: argparse.Namespace, report: TriageReport) -> int:
    from pytest_l402.triage.report import EXIT_CODES, TriageOutcome

    if given.html and not _page_written(command, given.html, report):
        return EXIT_CODES[TriageOutcome.BAD_INPUT]
    if given.json:
        # Its `problems` are all there is to complain of.
        print(report.to_json(f"pytest-l402/{command}"))
        return EXIT_CODES[report.outcome]
    if report.asked or report.overview.n_requests or report.shortfalls or report.notes:
        say(report.to_text())
    for told in report.told_problems()[:_SHOWN_PROBLEMS]:
        complain(command, told)
    if len(report.problems) > _SHOWN_PROBLEMS:
        rest = len(report.problems) - _SHOWN_PROBLEMS
        complain(command, f"{rest} more like these; --json names them all")
    return EXIT_CODES[report.outcome]


def _unusable(given: argparse.Namespace) -> str | None:
    """What is wrong with the arguments, in one line."""
    from pytest_l402.boundary import quoted
    from pytest_l402.boundary.text_safety import suggestion
    from pytest_l402.triage.rules import Domain

    for name in given.domain:
        if name not in {*Domain}:
            known = [domain.value for domain in Domain]
            return (
                f"--domain: expected one of {', '.join(known)}, saw {quoted(name)}{suggestion(name, known)}"
            )
    if given.limit is not None and not (given.limit.isdecimal() and int(given.limit) > 0):
        return f"--limit: expected a number of requests from 1, saw {quoted(given.limit)}"
    if given.since is not None and _moment(given.since, 0) is None:
        return f"--since: expected a time such as 02:14 or 2026-12-01T02:14:07, saw {quoted(given.since)}"
    return None


def _query(given: argparse.Namespace, last_at_ms: int | None) -> Query:
    from pytest_l402.triage.report import Query
    from pytest_l402.triage.rules import Domain

    return Query(
        domains=tuple(map(Domain, given.domain)),
        since_ms=None if given.since is None else _moment(given.since, last_at_ms or 0),
        limit=None if given.limit is None else int(given.limit),
        everything=given.all,
    )


def _moment(text: str, last_at_ms: int) -> int | None:
    """A time in epoch ms: as a number, as a date in UTC, or of the day on which the records end."""
    if text.isdecimal() and len(text) == 13:
        return int(text)
    last = datetime.fromtimestamp(last_at_ms / 1000, UTC)
    if match := _TIME_OF_DAY.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in match.groups())
        moment = last.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return int((moment if moment <= last else moment - timedelta(days=1)).timestamp() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _page_written(command: str, name: str, report: TriageReport) -> bool:
    from pytest_l402.boundary import quoted, write_whole
    from pytest_l402.triage.page import page_of

    try:
        write_whole(Path(name), page_of(report).encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        seen = getattr(error, "strerror", None) or str(error)
        complain(command, f"--html: expected a file that can be written, saw {seen}: {quoted(name)}")
        return False
    return True


class TerminalProgress:
    """One line on a terminal, once it takes longer than a second; `now` tells the time in seconds."""

    def __init__(self, terminal: TextIO | None, now: Callable[[], float]) -> None:
        self._now = now
        self._begun = now()
        self._told = False
        self._terminal = terminal if terminal is not None and terminal.isatty() else None

    def __call__(self, file: str, documents: int) -> None:
        """Tell how many documents of a file were read."""
        if self._terminal is not None and self._now() - self._begun > _PATIENCE_S:
            from pytest_l402.boundary import printable

            told = f"\r\x1b[K{printable(file, 60)}: {documents:,} read"
            print(told, end="", file=self._terminal, flush=True)
            self._told = True

    def end(self) -> None:
        """Take the line away."""
        if self._told:
            print("\r\x1b[K", end="", file=self._terminal, flush=True)
            self._told = False
