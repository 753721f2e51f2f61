"""Decides whether a database can be worked with: reachable, writable, free, and made for this engine."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from dbos._migration import get_migration_versions, get_sqlite_migration_versions

from pytest_l402.workflow.schema import TABLES, dialect_of

_FREE_S = 5.0
_ALL_TABLES = f"SELECT 1 FROM {', '.join(f'{{app}}{table}' for table in TABLES)} WHERE 1 = 0"  # noqa: S608


class DatabaseUnfit(RuntimeError):  # noqa: N818 - the name of the condition
    """The database cannot be worked with; one line that says what it is and what to do."""


def refuse_unfit(engine: sa.Engine, url: str) -> None:
    """Return if a worker can work with a database that is there already.

    Raises:
        DatabaseUnfit: it cannot be reached or written, is locked for 5 s, lacks a table, or is newer.
    """
    dialect = dialect_of(url)
    try:
        if engine.dialect.name == "sqlite":
            _take_the_lock(url.removeprefix("sqlite:///"))
            have, known = get_sqlite_migration_versions(engine)
        else:
            have, known = get_migration_versions(engine, "dbos", True)
        with engine.connect() as connection:
            connection.execute(sa.text(dialect.sql(_ALL_TABLES)))
    except (sqlite3.Error, sa.exc.DBAPIError) as error:
        seen = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
        raise _unfit(
            "one that is there, free, writable and made by the drill",
            seen.strip().splitlines()[0],
            "see who holds it, or make it again",
        ) from None
    if have > known:
        raise _unfit(
            f"migration {known} at the most", f"migration {have}", "install the engine that has written it"
        )


def _take_the_lock(path: str) -> None:
    # Not created if it is not there, as a connection by its path would do.
    asking = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=_FREE_S, isolation_level=None)
    try:
        asking.execute("BEGIN IMMEDIATE")
        asking.execute("ROLLBACK")
    finally:
        asking.close()


def _unfit(expected: str, seen: str, remedy: str) -> DatabaseUnfit:
    return DatabaseUnfit(f"workflow database: expected {expected} (runbook section 0), saw {seen}; {remedy}")
