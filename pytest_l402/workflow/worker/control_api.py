"""Decides what operators and clients may do to a run: the laws that the engine itself does not enforce.

Identity, strict bodies, the lattice 400/404/409/500, the partition law, and the six operations with their
audit artifact in the same transaction as the change (runbook sections 0, 2, 3 and 4).
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

from pytest_l402.harness.json_app import Call, Refused, Route, told_by_code
from pytest_l402.harness.network import Request, Response
from pytest_l402.workflow.faults import EngineFault
from pytest_l402.workflow.steps import GATE, PRICE_MSATS, QUEUE, RECIPES, SLEEPER, WORKFLOW, Point, Step
from pytest_l402.workflow.worker.books import Books
from pytest_l402.workflow.worker.outside_client import OutsideClient
from pytest_l402.workflow.worker.settings import WorkerSettings
from pytest_l402.workflow.worker.strict_bodies import Field, body_of, query_of
from pytest_l402.workflow.worker.tracing import context_of

Document = dict[str, Any]

_STOPPABLE: Final = ("PENDING", "ENQUEUED")
_RESUMABLE: Final = ("CANCELLED",)
_FORKABLE: Final = ("SUCCESS", "ERROR", "CANCELLED", "PENDING", "ENQUEUED")
_DRIFT: Final = {
    "recipeName": "recipe_name",
    "queuePartitionKey": "queue_partition_key",
    "budgetMsats": "budget_msats",
}
_TEXT: Final = Field(str)
_ACTION: Final = {"actor": _TEXT, "reason": _TEXT}


class Answered(Exception):  # noqa: N818 - an answer, not an error
    """A request is answered with a status that is not 200, or with a document of its own."""

    def __init__(self, status: int, document: Document) -> None:
        super().__init__(status)
        self.status = status
        self.document = document


class ControlApi:
    """The split shim: it enqueues and steers, and runs nothing (runbook section 0, topology)."""

    def __init__(
        self, client: DBOSClient, books: Books, outside: OutsideClient, settings: WorkerSettings
    ) -> None:
        self._client = client
        self._books = books
        self._outside = outside
        self._settings = settings
        self._routes = (
            Route("POST", "/api/intents", self._create_intent),
            Route("POST", "/api/runs", self._start),
            Route("GET", "/api/runs/{wid}", self._show_run),
            Route("POST", "/api/runs/{wid}/approve-plan", self._approve),
            Route("GET", "/api/ops/queue-depth", self._queue_depth),
            Route("POST", "/api/ops/sleep", self._sleep),
            Route("GET", "/api/ops/wf", self._list),
            Route("GET", "/api/ops/wf/{wid}", self._show),
            Route("GET", "/api/ops/wf/{wid}/steps", self._steps),
            Route("POST", "/api/ops/wf/{wid}/cancel", self._cancel),
            Route("POST", "/api/ops/wf/{wid}/resume", self._resume),
            Route("POST", "/api/ops/wf/{wid}/fork", self._fork),
        )

    def handle(self, request: Request) -> Response:
        """Answer one request; whatever goes wrong inside is 500 and says nothing of the inside."""
        try:
            status, document = 200, self._called(Call(request, ""))
        except Answered as answered:
            status, document = answered.status, answered.document
        except Refused as refused:
            status, document = told_by_code(refused)
        except Exception:  # the lattice has a place for it (runbook section 0)
            status, document = 500, {"error": {"code": "internal_error"}}
        return Response(status, (("Content-Type", "application/json"),), json.dumps(document).encode())

    def _called(self, call: Call) -> Document:
        for route in self._routes:
            values = route.values_in(call.request.path)
            if values is not None and route.method == call.request.method:
                return route.answer(call, *values)
        raise Refused(404, "not_found")

    def _create_intent(self, call: Call) -> Document:
        body = body_of(call, {"goal": _TEXT, "inputs": Field(dict), "constraints": Field(dict)})
        intent_id = f"it_{uuid.uuid4().hex}"
        self._leave_intent(intent_id, body)
        raise Answered(201, {"intentId": intent_id})

    def _leave_intent(self, intent_id: str, body: Mapping[str, Any]) -> None:
        sql = "INSERT INTO {app}intents VALUES (:id, :goal, :body)"
        with self._books.transaction() as connection:
            self._books.change(connection, sql, id=intent_id, goal=body["goal"], body=json.dumps(body))

    def _start(self, call: Call) -> Document:
        """Schema, then intent, then partition, then the row and the enqueued run in one transaction."""
        body = body_of(
            call,
            {
                "intentId": _TEXT,
                "recipeName": Field(str, one_of=RECIPES, default=RECIPES[0]),
                "queuePartitionKey": Field(str, default=None),
                "budgetMsats": Field(int, default=PRICE_MSATS),
                "approval": Field(bool, default=True),
            },
        )
        intent_id = body["intentId"]
        if EngineFault.ROWS_ON_400 in self._settings.faults:
            self._leave_intent(f"it_{uuid.uuid4().hex}", {"goal": "left by a start"})
        with self._books.transaction() as connection:
            found = self._books.rows(
                connection, "SELECT body FROM {app}intents WHERE intent_id = :id", id=intent_id
            )
            if not found:
                raise Refused(404, "intent_not_found")
            if not (body["queuePartitionKey"] or "").strip():
                raise Refused(400, "queue_partition_key_required")
            if body["budgetMsats"] < PRICE_MSATS:
                raise Refused(400, "over_budget")
            if not self._leave_run(connection, intent_id, body):
                return self._replayed(connection, intent_id, body)
            intent = {"intentId": intent_id, "approval": body["approval"], **json.loads(found[0]["body"])}
            options = self._enqueue_options(WORKFLOW, intent_id, body["queuePartitionKey"])
            self._client.enqueue_in_transaction(connection, options, intent)
        raise Answered(201, {"workflowID": intent_id, "isReplay": False})

    def _leave_run(self, connection: sa.Connection, intent_id: str, body: Mapping[str, Any]) -> int:
        return self._books.change(
            connection,
            "INSERT INTO {app}runs VALUES (:id, :id, NULL, :recipe, :partition, :budget)"
            " ON CONFLICT DO NOTHING",
            id=intent_id,
            recipe=body["recipeName"],
            partition=body["queuePartitionKey"] or "",
            budget=body["budgetMsats"],
        )

    def _replayed(self, connection: sa.Connection, intent_id: str, body: Mapping[str, Any]) -> Document:
        [known] = self._books.rows(
            connection, "SELECT * FROM {app}runs WHERE workflow_id = :id", id=intent_id
        )
        drift = [
            {"field": field, "existing": known[column], "incoming": body[field]}
            for field, column in _DRIFT.items()
            if known[column] != body[field]
        ]
        if drift and EngineFault.ACCEPTS_DRIFT not in self._settings.faults:
            raise Answered(409, {"error": {"code": "drift"}, "drift": drift})
        return {"workflowID": intent_id, "isReplay": True}

    def _enqueue_options(self, workflow: str, workflow_id: str, partition: str) -> Any:
        options = {
            "workflow_name": workflow,
            "queue_name": QUEUE,
            "workflow_id": workflow_id,
            "queue_partition_key": partition,
            "app_version": self._settings.version,
        }
        if self._settings.traces is not None:
            options["otel_context"] = context_of(workflow_id)
        return options

    def _show_run(self, call: Call, wid: str) -> Document:
        with self._books.transaction() as connection:
            status = self._known(connection, wid)["status"]
            decided = self._books.rows(
                connection,
                "SELECT 1 AS one FROM {engine}operation_outputs WHERE workflow_uuid = :wid"
                " AND function_name = :step",
                wid=wid,
                step=Step.DECIDE,
            )
            replied = self._books.rows(
                connection, "SELECT 1 AS one FROM {app}replies WHERE workflow_id = :wid", wid=wid
            )
        waits = status == "PENDING" and decided and not replied
        return {
            "workflowID": wid,
            "status": "WAITING_INPUT" if waits else status,
            "nextAction": "APPROVE_PLAN" if waits else None,
        }

    def _approve(self, call: Call, wid: str) -> Document:
        """The reply and the notification in one transaction; a gate takes one reply, ever."""
        body = body_of(call, {"approvedBy": _TEXT, "dedupeKey": _TEXT})
        payload = json.dumps(body, sort_keys=True)
        with self._books.transaction() as connection:
            inserted = self._books.change(
                connection,
                "INSERT INTO {app}replies SELECT :wid, :gate, :key, :payload"
                " WHERE EXISTS (SELECT 1 FROM {engine}workflow_status WHERE workflow_uuid = :wid"
                " AND status IN ('PENDING', 'ENQUEUED')) ON CONFLICT DO NOTHING",
                wid=wid,
                gate=GATE,
                key=body["dedupeKey"],
                payload=payload,
            )
            if inserted or EngineFault.REPLY_TWICE in self._settings.faults:
                key = None if EngineFault.REPLY_TWICE in self._settings.faults else f"{wid}:{GATE}"
                self._client.send_in_transaction(connection, wid, body, GATE, idempotency_key=key)
            else:
                self._known(connection, wid)
                replied = self._books.rows(
                    connection, "SELECT payload FROM {app}replies WHERE workflow_id = :wid", wid=wid
                )
                if not replied:
                    raise Refused(409, "not_waiting")
                if replied[0]["payload"] != payload:
                    raise Refused(409, "reply_differs")
                return {"accepted": True, "workflowID": wid, "isReplay": True}
        raise Answered(202, {"accepted": True, "workflowID": wid, "isReplay": False})

    def _queue_depth(self, call: Call) -> Document:
        with self._books.transaction() as connection:
            return {"rows": self._books.rows(connection, "SELECT * FROM {app}v_ops_queue_depth")}

    def _sleep(self, call: Call) -> Document:
        query = query_of(call, {"wf": _TEXT, "sleep": Field(int, least=1)})
        options = self._enqueue_options(SLEEPER, query["wf"], "sleep")
        with self._books.transaction() as connection:
            self._client.enqueue_in_transaction(connection, options, query["sleep"])
        raise Answered(202, {"accepted": True, "workflowID": query["wf"]})

    def _list(self, call: Call) -> Document:
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

    def _show(self, call: Call, wid: str) -> Document:
        with self._books.transaction() as connection:
            known = self._known(connection, wid)
            audit = self._books.rows(
                connection,
                "SELECT inline FROM {app}artifacts WHERE workflow_id = :wid AND step_id = 'OPS'"
                " ORDER BY at_ms DESC, task_key",
                wid=wid,
            )
        return {
            "workflowID": wid,
            "status": known["status"],
            "audit": [json.loads(row["inline"]) for row in audit],
        }

    def _steps(self, call: Call, wid: str) -> Document:
        with self._books.transaction() as connection:
            self._known(connection, wid)
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

    def _cancel(self, call: Call, wid: str) -> Document:
        action = body_of(call, _ACTION)
        with self._changing(wid, "cancel", action, _STOPPABLE) as engine:
            engine.cancel_workflows([wid])
        raise Answered(202, {"accepted": True, "workflowID": wid})

    def _resume(self, call: Call, wid: str) -> Document:
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

    def _fork(self, call: Call, wid: str) -> Document:
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
                self._known(connection, wid)
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

    def _known(self, connection: sa.Connection, wid: str) -> dict[str, Any]:
        found = self._books.rows(
            connection, "SELECT status FROM {engine}workflow_status WHERE workflow_uuid = :wid", wid=wid
        )
        if not found:
            raise Refused(404, "workflow_not_found")
        return found[0]


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
