"""Decides where a drill gets a fresh database from: a copy of a template that the engine has made once."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
from pathlib import Path
from typing import Final, Protocol

from pytest_l402.workflow.processes import Zygote

JOURNAL: Final = "wal"
"""How SQLite keeps its journal in a drill; readers and the workers do not wait for each other."""


class Databases(Protocol):
    """Something that makes fresh databases."""

    def fresh(self) -> str:
        """Return the URL of an empty database, with the tables of the engine and of the application."""

    def drop(self, url: str) -> None:
        """Take a database away that nobody uses any more."""


class SqliteDatabases:
    """Fresh databases of SQLite, files in the folder of the zygote, which go when it does."""

    def __init__(self, zygote: Zygote) -> None:
        self._zygote = zygote
        self._template = zygote.folder / "template.sqlite"
        self._numbers = itertools.count(1)

    def fresh(self) -> str:
        """Return the URL of an empty database; raises `EngineProcessFailed` if none can be made."""
        if not self._template.exists():
            unfinished = self._zygote.folder / "unfinished.sqlite"
            settings = {"database": f"sqlite:///{unfinished}", "outside": ""}
            self._zygote.fork("template", settings).stop()
            unfinished.rename(self._template)
        copy = self._zygote.folder / f"workflow-{next(self._numbers)}.sqlite"
        shutil.copyfile(self._template, copy)
        return f"sqlite:///{copy}"

    def drop(self, url: str) -> None:
        """Remove the file of a database, and those that SQLite has put beside it."""
        path = Path(url.removeprefix("sqlite:///"))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()


def use_journal(url: str, mode: str) -> None:
    """Have a file of SQLite that nobody has open keep its journal in another way."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
