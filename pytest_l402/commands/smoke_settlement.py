"""`smoke:settlement`: enter events into the books, and see that a contradiction is refused."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from pytest_l402.commands.arguments import Arguments, add_shared_arguments
from pytest_l402.commands.artifacts import ArtifactFolder, Rows
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import running
from pytest_l402.commands.targets import opened


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
    from pytest_l402.ops.settlement.drill import drill_books, read_settlements
    from pytest_l402.ops.settlement.smoke import smoke_events

    with opened(arguments) as target:
        books = target.books()
        settlements = target.settlements() if books is None else ()
        folder = ArtifactFolder(arguments.artifact_dir, "settlement", "smoke:settlement")
        if books is None:
            document, failures = read_settlements(settlements)
            tables: Mapping[str, Rows] = {"settlements": settlements}
        else:
            document, failures = drill_books(books, smoke_events())
            tables = {table: books.rows(table) for table in ("invoices", "settlements", "conflicts")}
    files = {table: (f"{table}.jsonl", rows) for table, rows in tables.items()}
    whole = {"ok": document["ok"], "mode": arguments.mode.value, **document}
    return Outcome(folder.leave(whole, **files), failures)


run = running(_work)
