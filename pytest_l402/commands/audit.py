"""`audit`: judge an export of any size by the rules of triage, within a limit of memory."""

from __future__ import annotations

import argparse
import os
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_l402.commands.bad_input import BadInput, shown
from pytest_l402.commands.outcome import UNUSABLE, complain
from pytest_l402.commands.triage import EXIT_CODES_TOLD, add_telling_arguments, tell

if TYPE_CHECKING:
    from pytest_l402.triage.audit import Means
    from pytest_l402.triage.incident import Progress
    from pytest_l402.triage.incident_rows import Incident

_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "t": 1_000_000_000_000}
_LEAST: Final = 200_000_000
_IN_JSON: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Judge all records of an export: each line against the contract, each request by the\n"
        "rules of triage. Large exports are read in slices by DuckDB (pytest-l402[audit]), with as\n"
        "many workers as there are processors, within a limit of memory; others, and all of them\n"
        "without it, by SQLite. The answers are the same."
    )
    parser.epilog = EXIT_CODES_TOLD
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a file of records, a folder, a pattern, or -"
    )
    parser.add_argument(
        "--memory", metavar="SIZE", default="1GB", help="take no more than this (1GB), such as 300MB"
    )
    parser.add_argument("--workers", metavar="N", help="gate slices in so many processes (one a processor)")
    parser.add_argument("--engine", metavar="NAME", default="auto", help="auto, sqlite or duckdb")
    parser.add_argument("--parquet", metavar="DIR", help="keep records and verdicts as Parquet, for `query`")
    parser.add_argument(
        "--print-sql",
        action="store_true",
        help="print the model and the rules as SQL for a warehouse, and end",
    )
    add_telling_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Print the answer and return the exit code."""
    if given.print_sql:
        from pytest_l402.triage.parquet_records import warehouse_sql

        print(warehouse_sql(), end="")
        return 0
    try:
        means = _means(given)
    except BadInput as error:
        complain("audit", str(error))
        return UNUSABLE

    def incident(progress: Progress) -> AbstractContextManager[Incident]:
        from pytest_l402.triage.audit import audited

        return audited(given.files, means, progress)

    return tell("audit", given, incident, json_limit=_IN_JSON)


def _means(given: argparse.Namespace) -> Means:
    from pytest_l402.triage.audit import EngineName, Means

    if not given.files:
        raise BadInput("expected files of records, a folder, a pattern or -, saw none; name them")
    if given.engine not in {*EngineName}:
        raise BadInput(f"--engine: expected {', '.join(EngineName)}, saw {shown(given.engine)}; correct it")
    if given.workers is not None and not (given.workers.isdecimal() and 0 < int(given.workers) <= 256):
        raise BadInput(f"--workers: expected a number from 1 to 256, saw {shown(given.workers)}; correct it")
    if given.parquet is not None and given.engine == EngineName.SQLITE:
        raise BadInput("--parquet: expected another engine, saw sqlite, which keeps none; leave --engine out")
    return Means(
        engine=EngineName(given.engine),
        memory_bytes=memory_of(given.memory),
        workers=len(os.sched_getaffinity(0)) if given.workers is None else int(given.workers),
        folder=None if given.parquet is None else Path(given.parquet),
    )


def memory_of(text: str) -> int:
    """Return a size such as `300MB` in bytes. Raises `BadInput` for what is none, or too little."""
    match = re.fullmatch(r"([0-9]{1,12})([kmgt]?)i?b?", text.strip().lower())
    if match is None:
        raise BadInput(f"--memory: expected a size such as 300MB or 1GB, saw {shown(text)}; correct it")
    size = int(match[1]) * _UNITS[match[2]]
    if size < _LEAST:
        raise BadInput(f"--memory: expected at least {_LEAST // 1_000_000}MB, saw {shown(text)}; give more")
    return size
