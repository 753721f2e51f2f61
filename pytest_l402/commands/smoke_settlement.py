"""`smoke:settlement`: enter events into the books, and see that a contradiction is refused."""

from __future__ import annotations

import argparse

from pytest_l402.commands.arguments import Arguments, add_shared_arguments
from pytest_l402.commands.artifacts import ArtifactFolder
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
    with opened(arguments) as target:
        document, failures, tables = target.settle()
    folder = ArtifactFolder(arguments.artifact_dir, "settlement", "smoke:settlement")
    files = {table: (f"{table}.jsonl", rows) for table, rows in tables.items()}
    whole = {"ok": document["ok"], "mode": arguments.mode.value, **document}
    return Outcome(folder.leave(whole, **files), failures)


run = running(_work)
