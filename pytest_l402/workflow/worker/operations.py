"""Decides what operators may do to a run: six operations, each change with its audit in one transaction.

Runbook section 4. The engine's own calls check no status, and cannot join a transaction (dbos 3.4).
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOSClient

from pytest_l402.harness.json_app import Call, Refused
from pytest_l402.workflow.faults import EngineFault
from pytest_l402.workflow.steps import QUEUE, Point
from pytest_l402.workflow.worker.answers import Answered, Document, status_of
from pytest_l402.workflow.worker.books import Books
from pytest_l402.workflow.worker.outside_client import OutsideClient
from pytest_l402.workflow.worker.settings import WorkerSettings
from pytest_l402.workflow.worker.strict_bodies import Field, body_of, query_of

_STOPPABLE: Final = ("PENDING", "ENQUEUED")
_RESUMABLE: Final = ("CANCELLED",)
_FORKABLE: Final = ("SUCCESS", "ERROR", "CANCELLED", "PENDING", "ENQUEUED")
_TEXT: Final = Field(str)
_ACTION: Final = {"actor": _TEXT, "reason": _TEXT}


class Operations:
    """The Exact 6 of the manual."""

    def __init__(
        self, client: DBOSClient, books: Books, outside: OutsideClient, settings: WorkerSettings
    ) -> None:
        self._client = client
        self._books = books
        self._outside = outside
        self._settings = settings

    def list(self, call: Call) -> Document:
        """List runs, newest first; by status, by name, at most 200."""
        query = query_of(
            call,
            {
                "status": Field(str, default=None),
                "name": Field(str, default=None),
                "limit": Field(int, default=20, least=1, most=200),
            },
        )
        with self._books.transaction() as connection:
            found = self._books.rows(
                connection,
                "SELECT workflow_uuid, name, status, created_at FROM {engine}workflow_status"
                " WHERE (CAST(:status AS TEXT) IS NULL OR status = :status)"
                " AND (CAST(:name AS TEXT) IS NULL OR name = :name)"
                " ORDER BY created_at DESC, workflow_uuid LIMIT :limit",
                **query,
            )
        return {"workflows": found}

    def show(self, call: Call, wid: str) -> Document:
        """Show a run and what was done to it, newest first."""
        with self._books.transaction() as connection:
            status = status_of(self._books, connection, wid)
            audit = self._books.rows(
                connection,
                "SELECT inline FROM {app}artifacts WHERE workflow_id = :wid AND step_id = 'OPS'"
                " ORDER BY at_ms DESC, task_key",
                wid=wid,
            )
        return {
            "workflowID": wid,
            "status": status,
            "audit": [json.loads(row["inline"]) for row in audit],
        }

    def steps(self, call: Call, wid: str) -> Document:
        """Show which functions of a run are recorded."""
        with self._books.transaction() as connection:
            status_of(self._books, connection, wid)
            found = self._books.rows(
                connection,
                "SELECT function_id, function_name, error FROM {engine}operation_outputs"
                " WHERE workflow_uuid = :wid ORDER BY function_id",
                wid=wid,
            )
        return {
            "steps": [
                {
                    "stepId": row["function_name"],
                    "functionId": row["function_id"],
                    "status": "SUCCESS" if row["error"] is None else "ERROR",
                }
                for row in found
            ]
        }

    def cancel(self, call: Call, wid: str) -> Document:
        """Stop a run before its next step: 202, or 409 unless it waits or is at work."""
        action = body_of(call, _ACTION)
        with self._changing(wid, "cancel", action, _STOPPABLE) as engine:
            engine.cancel_workflows([wid])
        raise Answered(202, {"accepted": True, "workflowID": wid})

    def resume(self, call: Call, wid: str) -> Document:
        """Go on from the last checkpoint: 202, or 409 unless it is cancelled."""
        action = body_of(call, _ACTION)
        faults = self._settings.faults
        allowed = (
            (*_RESUMABLE, "PENDING", "ENQUEUED") if EngineFault.RESUME_OF_RUNNING in faults else _RESUMABLE
        )
        with self._changing(wid, "resume", action, allowed) as engine:
            if EngineFault.RESUME_STARTS_OVER in faults:
                with engine.engine.begin() as connection:
                    self._books.change(
                        connection,
                        "DELETE FROM {engine}operation_outputs WHERE workflow_uuid = :wid",
                        wid=wid,
                    )
            # The engine's own default queue is looked at once a second only.
            engine.resume_workflows([wid], queue_name=QUEUE)
        raise Answered(202, {"accepted": True, "workflowID": wid})

    def fork(self, call: Call, wid: str) -> Document:
        """`stepN` is how many functions are kept; the engine counts from 1, and starts at the next."""
        body = body_of(
            call, {"stepN": Field(int, least=1), "appVersion": Field(str, default=None), **_ACTION}
        )
        forked = f"fk_{uuid.uuid4().hex}"
        with self._changing(wid, "fork", body, _FORKABLE, forkedWorkflowID=forked) as engine:
            with engine.engine.begin() as connection:
                [last] = self._books.rows(
                    connection,
                    "SELECT max(function_id) AS id FROM {engine}operation_outputs WHERE workflow_uuid = :wid",
                    wid=wid,
                )
                if body["stepN"] >= (last["id"] or 0):
                    raise Refused(409, "step_beyond_last")
                kept = self._books.change(
                    connection,
                    "INSERT INTO {app}runs SELECT :forked, intent_id, workflow_id, recipe_name,"
                    " queue_partition_key, budget_msats FROM {app}runs WHERE workflow_id = :wid",
                    forked=forked,
                    wid=wid,
                )
                if not kept:
                    raise Refused(409, "no_partition_to_fork_into")
                [run] = self._books.rows(
                    connection,
                    "SELECT queue_partition_key AS key FROM {app}runs WHERE workflow_id = :wid",
                    wid=wid,
                )
            engine.fork_workflow(
                [wid],
                [forked],
                [body["stepN"] + 1],
                application_version=body["appVersion"] or self._settings.version,
                queue_name=QUEUE,
                queue_partition_key=run["key"],
            )
        raise Answered(202, {"accepted": True, "workflowID": wid, "forkedWorkflowID": forked})

    @contextmanager
    def _changing(
        self, wid: str, op: str, action: Mapping[str, Any], allowed: tuple[str, ...], **more: Any
    ) -> Iterator[Any]:
        """Compare and set: one of several at once finds the status it needs, and its audit is part of it."""
        audit = {
            "op": op,
            "actor": action["actor"],
            "reason": action["reason"],
            "targetWorkflowID": wid,
            **more,
        }
        outside = EngineFault.AUDIT_OUTSIDE in self._settings.faults
        with self._books.transaction() as connection:
            # A write first: it takes the row, and on SQLite the whole database, before anything is decided.
            names = ", ".join(f"'{status}'" for status in allowed)
            taken = self._books.change(
                connection,
                "UPDATE {engine}workflow_status SET updated_at = updated_at"  # noqa: S608 - our own words
                f" WHERE workflow_uuid = :wid AND status IN ({names})",
                wid=wid,
            )
            if not taken:
                status_of(self._books, connection, wid)
                raise Refused(409, f"cannot_{op}")
            if not outside:
                self._audit(connection, wid, audit)
            yield _joined(self._client, connection)
            if not outside:
                self._outside.at(Point.BEFORE_COMMIT, wid, op=op)
        if outside:
            self._outside.at(Point.BEFORE_COMMIT, wid, op=op)
            with self._books.transaction() as connection:
                self._audit(connection, wid, audit)

    def _audit(self, connection: sa.Connection, wid: str, audit: Document) -> None:
        inline = {**audit, "at": int(time.time() * 1000)}
        # One of its own for each action: two may fall into one millisecond.
        self._books.leave_artifact(
            connection, wid, "OPS", "json_diagnostic", inline, f"{audit['op']}:{uuid.uuid4().hex}"
        )


class _Joined:
    """Stands where the engine has its database, and lets it work in a transaction that is open already."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        yield self._connection


def _joined(client: DBOSClient, connection: sa.Connection) -> Any:
    # Only enqueue and send can join a transaction by the engine's public face (dbos 3.4); the extra pins 3.x.
    system_database = copy.copy(client._sys_db)
    system_database.engine = _Joined(connection)  # type: ignore[assignment]
    return system_database
