"""Decides how a run comes to be, and how its plan is approved: identity, partition law, one reply.

Runbook sections 0, 2 and 3.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOSClient

from pytest_l402.harness.json_app import Call, Refused
from pytest_l402.workflow.faults import EngineFault
from pytest_l402.workflow.steps import GATE, PRICE_MSATS, QUEUE, RECIPES, SLEEPER, WORKFLOW, Step
from pytest_l402.workflow.worker.answers import Answered, Document, status_of
from pytest_l402.workflow.worker.books import Books
from pytest_l402.workflow.worker.settings import WorkerSettings
from pytest_l402.workflow.worker.strict_bodies import Field, body_of, query_of
from pytest_l402.workflow.worker.tracing import context_of

_DRIFT: Final = {
    "recipeName": "recipe_name",
    "queuePartitionKey": "queue_partition_key",
    "budgetMsats": "budget_msats",
}
_TEXT: Final = Field(str)


class Runs:
    """What clients ask for."""

    def __init__(self, client: DBOSClient, books: Books, settings: WorkerSettings) -> None:
        self._client = client
        self._books = books
        self._settings = settings

    def create_intent(self, call: Call) -> Document:
        """Keep an intent: 201 with its id."""
        body = body_of(call, {"goal": _TEXT, "inputs": Field(dict), "constraints": Field(dict)})
        intent_id = f"it_{uuid.uuid4().hex}"
        self._leave_intent(intent_id, body)
        raise Answered(201, {"intentId": intent_id})

    def _leave_intent(self, intent_id: str, body: Mapping[str, Any]) -> None:
        sql = "INSERT INTO {app}intents VALUES (:id, :goal, :body)"
        with self._books.transaction() as connection:
            self._books.change(connection, sql, id=intent_id, goal=body["goal"], body=json.dumps(body))

    def start(self, call: Call) -> Document:
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

    def show_run(self, call: Call, wid: str) -> Document:
        """Show a run, and whether it waits for its approval."""
        with self._books.transaction() as connection:
            status = status_of(self._books, connection, wid)
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

    def approve(self, call: Call, wid: str) -> Document:
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
                status_of(self._books, connection, wid)
                replied = self._books.rows(
                    connection, "SELECT payload FROM {app}replies WHERE workflow_id = :wid", wid=wid
                )
                if not replied:
                    raise Refused(409, "not_waiting")
                if replied[0]["payload"] != payload:
                    raise Refused(409, "reply_differs")
                return {"accepted": True, "workflowID": wid, "isReplay": True}
        raise Answered(202, {"accepted": True, "workflowID": wid, "isReplay": False})

    def queue_depth(self, call: Call) -> Document:
        """Show how many runs wait, and how many are at work."""
        with self._books.transaction() as connection:
            return {"rows": self._books.rows(connection, "SELECT * FROM {app}v_ops_queue_depth")}

    def sleep(self, call: Call) -> Document:
        """Start a durable sleep (runbook section 5, walkthrough E): 202."""
        query = query_of(call, {"wf": _TEXT, "sleep": Field(int, least=1)})
        options = self._enqueue_options(SLEEPER, query["wf"], "sleep")
        with self._books.transaction() as connection:
            self._client.enqueue_in_transaction(connection, options, query["sleep"])
        raise Answered(202, {"accepted": True, "workflowID": query["wf"]})
