"""`smoke:settlement`: enter events into the books, and see that a contradiction is refused."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from pytest_l402.commands.arguments import Arguments, add_shared_arguments
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import running
from pytest_l402.commands.targets import Rows, opened

_REFERENCES = ("settlementId", "paymentProofRef", "requestId", "taskId", "routeId")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Enter a batch of settlement events: a payment, its replay, a late event, an expired invoice;\n"
        "then one that contradicts the books, which must be refused whole.\n"
        "Live: enters nothing, since it could not be taken out again; reads the settlements instead,\n"
        "and checks that each is told once, with its proof.",
    )


def _work(arguments: Arguments) -> Outcome:
    from pytest_l402.ops.settlement.drill import contradictions, drill_books
    from pytest_l402.ops.settlement.smoke import smoke_events

    with opened(arguments) as target:
        books = target.books()
        settlements = target.settlements() if books is None else ()
        folder = ArtifactFolder(arguments.artifact_dir, "settlement", "smoke:settlement")
        if books is None:
            failures = tuple(contradictions(settlements))
            document = _read(settlements, failures)
            tables: Mapping[str, Rows] = {"settlements": settlements}
        else:
            document, failures = drill_books(books, smoke_events())
            tables = {table: books.rows(table) for table in ("invoices", "settlements", "conflicts")}
    for table, rows in tables.items():
        folder.lines(f"{table}Path", f"{table}.jsonl", rows)
    whole = {"ok": document["ok"], "mode": arguments.mode.value, **document}
    return Outcome(folder.summary(whole), failures)


def _read(settlements: Rows, failures: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Tell of settlements that were read; each is one that happened, so there are no transitions to tell."""
    document: dict[str, Any] = {
        "ok": not failures,
        "processed": len(settlements),
        "invoiceTransitions": [],
        "settlements": [_without_none(row) for row in settlements],
        "settlementIds": [row["settlementId"] for row in settlements],
        "paymentProofRefs": [row["paymentProofRef"] for row in settlements],
        "correlationRefs": [_without_none({key: row[key] for key in _REFERENCES}) for row in settlements],
        "entered": 0,
    }
    if failures:
        document["failureCode"] = failures[0][0]
        document["failures"] = [{"code": code, "reason": reason} for code, reason in failures]
    return document


def _without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


run = running(_work)
