"""Decides what a workflow database says, by read-only SQL: the truth source of every drill (section 0)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

from pytest_l402.harness.deadline import Deadline
from pytest_l402.workflow.rows import AUDIT, AUDITED
from pytest_l402.workflow.schema import POSTGRESQL, SQLITE, VIEWS, Dialect

Row = dict[str, Any]
T = TypeVar("T")

_QUERIES: Final = {
    "workflows": """SELECT workflow_uuid AS "workflowID", name, status, executor_id AS "executorID",
        application_version AS "applicationVersion", queue_name AS "queueName",
        queue_partition_key AS "queuePartitionKey", recovery_attempts AS "recoveryAttempts",
        forked_from AS "forkedFrom" FROM {engine}workflow_status ORDER BY created_at, workflow_uuid""",
    "workflow_steps": """SELECT workflow_uuid AS "workflowID", function_id AS "functionID",
        function_name AS "functionName", output, error, completed_at_epoch_ms AS "completedAtMs"
        FROM {engine}operation_outputs ORDER BY workflow_uuid, function_id""",
    "runs": """SELECT workflow_id AS "workflowID", intent_id AS "intentID", forked_from AS "forkedFrom",
        recipe_name AS "recipeName", queue_partition_key AS "queuePartitionKey" FROM {app}runs
        ORDER BY workflow_id""",
    "artifacts": """SELECT workflow_id AS "workflowID", step_id AS "stepID", task_key AS "taskKey", idx,
        attempt, kind, inline, sha256, at_ms AS "atMs" FROM {app}artifacts
        ORDER BY workflow_id, at_ms, step_id, task_key""",
    "replies": """SELECT workflow_id AS "workflowID", gate, dedupe_key AS "dedupeKey" FROM {app}replies
        ORDER BY workflow_id""",
    "notifications": """SELECT destination_uuid AS "workflowID", topic, consumed FROM {engine}notifications
        ORDER BY destination_uuid, created_at_epoch_ms""",
    "queue_depth": """SELECT queue_name AS "queueName", status, depth FROM {app}v_ops_queue_depth
        ORDER BY status""",
    "failures": """SELECT workflow_uuid AS "workflowID", status FROM {app}v_ops_failures_24h
        ORDER BY workflow_uuid""",
    "held_slots": """SELECT workflow_uuid AS "workflowID", queue_partition_key AS "queuePartitionKey",
        executor_id AS "executorID" FROM {app}v_ops_held_slots ORDER BY workflow_uuid""",
    "stranded": """SELECT workflow_uuid AS "workflowID", status, application_version AS "applicationVersion"
        FROM {app}v_ops_stranded ORDER BY workflow_uuid""",
}
"""The tables of evidence, and what each is read from."""


class DatabaseUnreadable(RuntimeError):  # noqa: N818 - the name of the condition
    """The database cannot be opened, or is none of a durable workflow; one line."""


class NotSoInTime(TimeoutError):  # noqa: N818 - the name of the condition
    """What a drill waits for did not become so; the message names it and the time."""


class Reader(Protocol):
    """A read-only connection: returns the rows of a query."""

    def __call__(self, sql: str, /) -> list[Row]:
        """Run one query."""


class Database:
    """One workflow database, opened to be read; a context manager. `journal` is what it is to use.

    One whose tables are somebody else's is refused, unless it is said to be `foreign`.
    """

    def __init__(self, url: str, journal: str | None = None, *, foreign: bool = False) -> None:
        self.url = url
        self._refuses_foreign = not foreign
        self.dialect: Dialect = SQLITE if url.startswith("sqlite:") else POSTGRESQL
        self.journal = journal
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        open_reader = _open_sqlite if self.dialect is SQLITE else _open_postgresql
        self._read = open_reader(self.url, self._opened)
        if self._refuses_foreign:
            self._refuse_foreign()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def rows(self, sql: str) -> list[Row]:
        """Return the rows of one query; `{app}`, `{engine}` stand for the two schemas."""
        return self._read(self.dialect.sql(sql))

    def tables(self) -> dict[str, list[Row]]:
        """Return what the database holds, as tables of evidence; outputs of steps as digests only."""
        tables = {name: self.rows(sql) for name, sql in _QUERIES.items()}
        for row in tables["workflow_steps"]:
            output = row.pop("output")
            row["outputDigest"] = None if output is None else sha256(str(output).encode()).hexdigest()
            row["error"] = None if row["error"] is None else "error"
        for row in tables["artifacts"]:
            inline = row["inline"] = json.loads(row["inline"])
            row |= {key: inline.get(key) if row["stepID"] == AUDIT else None for key in AUDITED}
        for row in tables["notifications"]:
            row["consumed"] = bool(row["consumed"])
        tables["database"] = [
            {"kind": self._kind, "journal": self._journal(), "declaredJournal": self.journal}
        ]
        return tables

    def counts(self) -> dict[str, int]:
        """Return how many rows every table of the database has, the engine's own too."""
        return {name: self.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in self._names()}  # noqa: S608

    def status_of(self, workflow_id: str) -> str | None:
        """Return the status of a workflow, or None for an unknown one."""
        found = [row for row in self.rows(_QUERIES["workflows"]) if row["workflowID"] == workflow_id]
        return found[0]["status"] if found else None

    def is_locked(self) -> bool:
        """Whether somebody holds the write lock of the whole database, which only SQLite has."""
        if self.dialect is POSTGRESQL:
            return False
        path = self.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as asking:
            try:
                # Nothing is written: taking the lock is the only way to see that it is free.
                asking.execute("BEGIN IMMEDIATE")
                asking.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return True
        return False

    def count_of(self, status: str) -> int:
        """Return how many workflows have a status."""
        counted = self.rows("SELECT status, count(*) AS n FROM {engine}workflow_status GROUP BY status")
        return next((int(row["n"]) for row in counted if row["status"] == status), 0)

    def wakes_at_ms(self, workflow_id: str) -> int | None:
        """Return when a sleeping run is to wake, in milliseconds: the recorded output of its sleep."""
        found = self.rows(
            "SELECT workflow_uuid, output FROM {engine}operation_outputs WHERE function_name = 'DBOS.sleep'"
        )
        outputs = [row["output"] for row in found if row["workflow_uuid"] == workflow_id]
        return int(float(outputs[0]) * 1000) if outputs else None

    def until(self, what: str, reached: Callable[[Database], T | None], wait_s: float = 10.0) -> T:
        """Look until `reached` returns something, and return that.

        Raises:
            NotSoInTime: it returned nothing for `wait_s` seconds.
        """
        deadline = Deadline(wait_s)
        while not (found := reached(self)):
            if deadline.over:
                states = ", ".join(
                    f"{row['workflowID']} {row['status']}" for row in self.rows(_QUERIES["workflows"])
                )
                raise NotSoInTime(
                    f"workflow database: expected {what} within {wait_s:g} s, saw "
                    f"{states or 'no workflow'}; see whether a worker of its version runs"
                )
            # A database tells nobody that it has changed.
            deadline.pause(_LOOK_S)
        return found

    def until_status(self, workflow_id: str, *statuses: str, wait_s: float = 10.0) -> str:
        """Wait until a workflow has one of the statuses, and return it; raises `NotSoInTime`."""

        def reached(database: Database) -> str | None:
            status = database.status_of(workflow_id)
            return status if status in statuses else None

        return self.until(f"{workflow_id} to be {' or '.join(statuses)}", reached, wait_s)

    def _refuse_foreign(self) -> None:
        if self.dialect is SQLITE:
            found = self._read("SELECT name FROM sqlite_master")
        else:
            found = self._read(
                "SELECT replace(table_schema || '_' || table_name, 'dbos_', '') AS name"
                " FROM information_schema.tables"
            )
        names = {row["name"] for row in found}
        for name in ("workflow_status", *(f"app_{view}" for view in VIEWS)):
            if name not in names:
                self._opened.close()
                raise unreadable(self.url, f"no {name}")

    @property
    def _kind(self) -> str:
        return "sqlite" if self.dialect is SQLITE else "postgresql"

    def _journal(self) -> str | None:
        return (
            None if self.dialect is POSTGRESQL else str(self._read("PRAGMA journal_mode")[0]["journal_mode"])
        )

    def _names(self) -> Sequence[str]:
        if self.dialect is SQLITE:
            found = self._read("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            return [row["name"] for row in found]
        found = self._read(
            "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables"
            " WHERE table_schema IN ('app', 'dbos') AND table_type = 'BASE TABLE' ORDER BY 1"
        )
        return [row["name"] for row in found]


_LOOK_S: Final = 0.005


def _open_sqlite(url: str, opened: contextlib.ExitStack) -> Reader:
    path = Path(url.removeprefix("sqlite:///"))
    try:
        connection = sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        opened.callback(connection.close)
        connection.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise unreadable(url, str(error)) from None

    def read(sql: str) -> list[Row]:
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    return read


def _open_postgresql(url: str, opened: contextlib.ExitStack) -> Reader:
    import psycopg
    from psycopg.rows import dict_row

    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5, row_factory=dict_row)
        opened.callback(connection.close)
        connection.execute("SET default_transaction_read_only = on")
    except psycopg.Error as error:
        raise unreadable(url, str(error)) from None

    def read(sql: str) -> list[Row]:
        return list(connection.execute(sql.encode()).fetchall())

    return read


def unreadable(url: str, seen: str) -> DatabaseUnreadable:
    """Return the one line about a database that cannot be used; the URL is shown without its password."""
    # Without what may stand before the host: a password.
    shown = url.rpartition("@")[2] if "@" in url else Path(url).name
    return DatabaseUnreadable(
        f"workflow database ({shown}): expected the tables of a durable workflow (runbook durable-workflow "
        f"section 0), saw {' '.join(seen.split())}; name the database of the workers"
    )
