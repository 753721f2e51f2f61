"""Decides how the history of deployments is kept: in SQLite, appended to and never changed."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pytest_l402.boundary import printable
from pytest_l402.contract import CamelDocument
from pytest_l402.ops.reconcile.deployments import (
    DEPLOYMENTS_TABLE,
    EVENTS_TABLE,
    Deployment,
    GatewayEvent,
    Intent,
)
from pytest_l402.ops.reconcile.ports import ActiveDeployment, ProbeTarget
from pytest_l402.ops.reconcile.steps import Stage
from pytest_l402.ops.reconcile.summary import Failure, ReconcileSummary

EVIDENCE_TABLES = {"deployments": DEPLOYMENTS_TABLE, "gateway_events": EVENTS_TABLE}
"""The names of the tables among the evidence, and in SQL."""

_MODELS: dict[str, type[CamelDocument]] = {"deployments": Deployment, "gateway_events": GatewayEvent}
_VERSION = 1
# Column names are the keys of the rows, so that a row needs no translation on its way out.
_SCHEMA = (
    """CREATE TABLE l402GatewayDeployments (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, deploymentId TEXT NOT NULL, paywallId TEXT, ownerId TEXT,
  configHash TEXT NOT NULL, imageDigest TEXT,
  status TEXT NOT NULL CHECK (status IN ('pending', 'applied', 'failed', 'rolled_back')),
  diagnostics TEXT NOT NULL, appliedAtMs INTEGER, rolledBackFrom TEXT,
  createdAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL, requestId TEXT NOT NULL,
  executionPath TEXT NOT NULL)""",
    """CREATE TABLE l402GatewayEvents (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, eventId TEXT NOT NULL UNIQUE, paywallId TEXT NOT NULL,
  ownerId TEXT NOT NULL, eventType TEXT NOT NULL,
  level TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
  requestId TEXT NOT NULL, metadata TEXT NOT NULL, createdAtMs INTEGER NOT NULL)""",
    """CREATE TABLE reconcileIntents (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, requestId TEXT NOT NULL, step TEXT NOT NULL,
  deploymentId TEXT UNIQUE, configHash TEXT, payload TEXT NOT NULL)""",
    "CREATE INDEX intentsOfRequest ON reconcileIntents (requestId)",
    "CREATE INDEX intentsOfConfig ON reconcileIntents (configHash)",
    "CREATE INDEX eventsOfRequest ON l402GatewayEvents (requestId)",
    "CREATE INDEX rowsOfDeployment ON l402GatewayDeployments (deploymentId)",
    "CREATE UNIQUE INDEX oneStart ON reconcileIntents (requestId) WHERE step = 'started'",
    "CREATE UNIQUE INDEX oneEnd ON reconcileIntents (requestId) WHERE step = 'finished'",
    *(
        f"CREATE TRIGGER {table}_no_{what} BEFORE {what} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is a history: rows are appended, never changed'); END"
        for table in (DEPLOYMENTS_TABLE, EVENTS_TABLE, "reconcileIntents")
        for what in ("UPDATE", "DELETE")
    ),
    f"PRAGMA user_version = {_VERSION}",
)
_JSON_COLUMNS = ("diagnostics", "metadata")


class LedgerError(ValueError):
    """The file that is to hold the history cannot be used, or a request cannot be taken into it; one line."""


class DeploymentHistory:
    """The history of one gateway, in a file that outlives the process, or in `:memory:`.

    It also keeps the intents by which a run that was cut off is taken up. Each call is one transaction,
    flushed to the disk before it returns. SQL itself refuses to change or delete a row.
    """

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._path = path
        # The loopback server answers from threads of its own.
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(printable(str(error))) from None
        try:
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA synchronous = FULL")
            self._create()
        except sqlite3.Error as error:
            self._db.close()
            raise self._unusable(printable(str(error))) from None
        except LedgerError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing is answered afterwards. May be called twice."""
        self._db.close()

    def rows(self, table: str, *, skip: int = 0) -> tuple[dict[str, Any], ...]:
        """Return the rows of `deployments` or `gateway_events` in the order in which they were appended.

        The first `skip` of them are left out.

        Raises:
            KeyError: no such table.
        """
        model = _MODELS[table]
        sql = f"SELECT * FROM {EVIDENCE_TABLES[table]} ORDER BY sequence LIMIT -1 OFFSET ?"  # noqa: S608
        found = self._all(sql, skip)
        return tuple(model.decode(_decoded(row)).to_row() for row in found)

    def begin(self, intent: Intent, pending: Deployment | None) -> None:
        """Write down what is about to be done, and the `pending` deployment if it may come to one.

        Raises:
            LedgerError: the request is known, or another request has come to the same deployment id.
        """
        try:
            with self._step():
                self._append_intent(
                    intent.request_id, "started", intent.to_row(), intent.deployment_id, intent.config_hash
                )
                if pending is not None:
                    self._append(DEPLOYMENTS_TABLE, pending)
        except sqlite3.IntegrityError:
            raise LedgerError(
                f"request {printable(intent.request_id)}: expected an id of its own, saw one whose "
                f"deployment {intent.deployment_id} is taken; use another --request-id"
            ) from None

    def note_previous(
        self, request_id: str, previous: ActiveDeployment | None, targets: tuple[ProbeTarget, ...]
    ) -> None:
        """Write down what ran before, and how it is probed: what an undo goes back to."""
        payload = {
            "previous": None if previous is None else previous.to_row(),
            "previousTargets": [target.to_row() for target in targets],
        }
        with self._step():
            self._append_intent(request_id, "previous", payload)

    def note_resumed(self, request_id: str) -> None:
        """Write down that a run which was cut off is taken up, at the apply: what passed after it is open."""
        with self._step():
            self._append_intent(request_id, "resumed", {})

    def note_passed(self, request_id: str, stage: Stage, image_digest: str | None = None) -> None:
        """Write down that a stage passed."""
        with self._step():
            self._append_intent(request_id, "passed", {"stage": stage.value, "appliedDigest": image_digest})

    def note_undoing(self, request_id: str, failure: Failure) -> None:
        """Write down that the deployment failed and is being undone."""
        with self._step():
            self._append_intent(request_id, "undoing", failure.to_row())

    def event(self, event: GatewayEvent) -> None:
        """Append an event."""
        with self._step():
            self._append(EVENTS_TABLE, event)

    def finish(
        self, outcome: ReconcileSummary, deployment: Deployment, events: Sequence[GatewayEvent]
    ) -> None:
        """Append how it ended, events first, and close the intent; all of it or nothing."""
        with self._step():
            for event in events:
                self._append(EVENTS_TABLE, event)
            self._append(DEPLOYMENTS_TABLE, deployment)
            self._append_intent(outcome.request_id, "finished", outcome.to_row())

    def intent(self, request_id: str) -> Intent | None:
        """Return what is known of a request, or None."""
        rows = self._all(
            "SELECT step, payload FROM reconcileIntents WHERE requestId = ? ORDER BY sequence", request_id
        )
        return _folded(rows) if rows else None

    def open_intents(self) -> tuple[Intent, ...]:
        """Return the intents without an outcome, oldest first."""
        rows = self._all(
            "SELECT requestId FROM reconcileIntents WHERE step = 'started' AND requestId NOT IN "
            "(SELECT requestId FROM reconcileIntents WHERE step = 'finished') ORDER BY sequence"
        )
        found = (self.intent(row["requestId"]) for row in rows)
        return tuple(intent for intent in found if intent is not None)

    def targets_of(self, config_hash: str) -> tuple[ProbeTarget, ...] | None:
        """Return how the configuration of this hash is probed, or None when it is not known here."""
        rows = self._all(
            "SELECT payload FROM reconcileIntents WHERE step = 'started' AND configHash = ? "
            "ORDER BY sequence DESC LIMIT 1",
            config_hash,
        )
        return Intent.decode(json.loads(rows[0]["payload"])).targets if rows else None

    def deployment(self, deployment_id: str) -> Deployment | None:
        """Return a deployment as it stands: its last row."""
        rows = self._all(
            "SELECT * FROM l402GatewayDeployments WHERE deploymentId = ? ORDER BY sequence DESC LIMIT 1",
            deployment_id,
        )
        return Deployment.decode(_decoded(rows[0])) if rows else None

    def event_count(self, request_id: str) -> int:
        """Return how many events the request has left so far."""
        rows = self._all("SELECT COUNT(*) AS n FROM l402GatewayEvents WHERE requestId = ?", request_id)
        return int(rows[0]["n"])

    def _create(self) -> None:
        if self._version() == _VERSION:
            return
        # One transaction: who is killed in between leaves an empty file, and of two only one creates it.
        with self._step():
            version = self._version()
            if version == _VERSION:
                return
            if version or self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise self._unusable("a database of something else")
            for statement in _SCHEMA:
                self._db.execute(statement)

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _unusable(self, seen: str) -> LedgerError:
        where = printable(os.fspath(self._path))
        return LedgerError(
            f"{where}: expected a history of deployments, or a file that can be made into one, saw {seen}; "
            "name another file"
        )

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Let the block be one transaction."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _append(self, table: str, document: CamelDocument) -> None:
        row = document.to_row()
        for key in _JSON_COLUMNS:
            if key in row:
                row[key] = _as_json(row[key])
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        self._db.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - names of our own models
            tuple(row.values()),
        )

    def _append_intent(
        self,
        request_id: str,
        step: str,
        payload: dict[str, Any],
        deployment_id: str | None = None,
        config_hash: str | None = None,
    ) -> None:
        self._db.execute(
            "INSERT INTO reconcileIntents (requestId, step, deploymentId, configHash, payload) "
            "VALUES (?, ?, ?, ?, ?)",
            (request_id, step, deployment_id, config_hash, _as_json(payload)),
        )

    def _all(self, sql: str, *parameters: str | int) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, parameters).fetchall()


def _folded(rows: Sequence[sqlite3.Row]) -> Intent:
    """Return the intent that the steps of one request add up to."""
    document: dict[str, Any] = {}
    for row in rows:
        payload = json.loads(row["payload"])
        match row["step"]:
            case "started":
                document |= payload
            case "previous":
                document |= payload | {"previousKnown": True}
                document["passed"] = [*document["passed"], Stage.ACTIVE_LOOKUP.value]
            case "resumed":
                before = (Stage.COMPILE.value, Stage.ACTIVE_LOOKUP.value)
                document["passed"] = [stage for stage in document["passed"] if stage in before]
            case "passed":
                document["passed"] = [*document["passed"], payload["stage"]]
                document["appliedDigest"] = payload["appliedDigest"] or document["appliedDigest"]
            case "undoing":
                document["undoing"] = payload
            case "finished":
                document["outcome"] = payload
    return Intent.decode(document)


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    return {key: json.loads(row[key]) if key in _JSON_COLUMNS else row[key] for key in row.keys()}  # noqa: SIM118


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
