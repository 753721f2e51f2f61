"""`query`: ask the Parquet that an audit has kept, in SQL that changes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_l402.commands.outcome import OK, UNUSABLE, complain, say, say_document

_FOLDER = "output/audit"
_SHOWN = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Run one SELECT over what `audit --parquet DIR` has kept: l402_records, l402_violations,\n"
        "l402_flows, l402_places, request_story and request_verdicts."
    )
    parser.epilog = "exit codes:\n  0  it was answered\n  2  the statement or the folder cannot be used\n"
    parser.add_argument(
        "sql", metavar="SQL", help="such as: select rule, count(*) from request_verdicts group by rule"
    )
    parser.add_argument("--parquet", metavar="DIR", default=_FOLDER, help=f"the folder ({_FOLDER})")
    parser.add_argument("--limit", metavar="N", default=str(_SHOWN), help=f"print so many rows ({_SHOWN})")
    parser.add_argument("--memory", metavar="SIZE", default="1GB", help="take no more than this (1GB)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(given: argparse.Namespace) -> int:
    """Print the rows and return the exit code."""
    from pytest_l402.boundary import InputError, quoted
    from pytest_l402.commands.audit import memory_of
    from pytest_l402.commands.bad_input import BadInput
    from pytest_l402.triage.parquet_query import asked, table_of

    try:
        if not (given.limit.isdecimal() and int(given.limit) > 0):
            raise BadInput(
                f"--limit: expected a number of rows from 1, saw {quoted(given.limit)}; correct it"
            )
        answer = asked(given.sql, Path(given.parquet), int(given.limit), memory_of(given.memory))
    except (BadInput, InputError) as error:
        complain("query", str(error))
        return UNUSABLE
    if given.json:
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        say_document(
            "query", {"ok": True, "columns": list(answer.columns), "rows": rows, "isWhole": answer.is_whole}
        )
        return OK
    say("\n".join(table_of(answer)))
    if not answer.is_whole:
        complain("query", f"there are more than {given.limit} rows; --limit N prints more")
    return OK
