"""Decides how a worker and the control API write the application's tables: each row once, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from pytest_l402.workflow.schema import dialect_of
from pytest_l402.workflow.steps import NO_ARTIFACT

Row = Mapping[str, Any]

NO_ARTIFACT_IDX = 999


class DeterminismViolation(RuntimeError):  # noqa: N818 - the name of the condition
    """A step that ran again left another artifact than before."""


class Books:
    """The application's tables in the engine's own database, so that one transaction can hold both."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._dialect = dialect_of(str(engine.url))

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Commit at the end of the block, or leave nothing behind."""
        with self.engine.begin() as connection:
            yield connection

    def rows(self, connection: sa.Connection, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Return what a query finds."""
        found = connection.execute(sa.text(self._dialect.sql(sql)), values)
        return [dict(row) for row in found.mappings()]

    def change(self, connection: sa.Connection, sql: str, **values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return connection.execute(sa.text(self._dialect.sql(sql)), values).rowcount

    def leave_artifact(
        self, connection: sa.Connection, workflow_id: str, step: str, kind: str, inline: Row, task: str = ""
    ) -> None:
        """Write an artifact; the same one again is of no effect.

        Raises:
            DeterminismViolation: the step left another one before.
        """
        text = json.dumps(inline, sort_keys=True, separators=(",", ":"))
        digest = sha256(text.encode()).hexdigest()
        idx = NO_ARTIFACT_IDX if kind == NO_ARTIFACT else 0
        place = {"workflow_id": workflow_id, "step_id": step, "task_key": task, "idx": idx}
        inserted = self.change(
            connection,
            "INSERT INTO {app}artifacts VALUES (:workflow_id, :step_id, :task_key, :idx, 1, :kind, :inline,"
            " :sha256, :at_ms) ON CONFLICT DO NOTHING",
            **place,
            kind=kind,
            inline=text,
            sha256=digest,
            at_ms=int(time.time() * 1000),
        )
        if not inserted:
            [known] = self.rows(
                connection,
                "SELECT sha256 FROM {app}artifacts WHERE workflow_id = :workflow_id AND step_id = :step_id"
                " AND task_key = :task_key AND idx = :idx",
                **place,
            )
            if known["sha256"] != digest:
                raise DeterminismViolation(f"{step} of {workflow_id} left another artifact than before")

    def beat(self, executor_id: str, version: str, pid: int) -> None:
        """Say that this worker is there."""
        with self.transaction() as connection:
            self.change(
                connection,
                "INSERT INTO {app}heartbeats VALUES (:executor_id, :version, :pid, :at_ms)"
                " ON CONFLICT (executor_id, pid) DO UPDATE SET at_ms = excluded.at_ms",
                executor_id=executor_id,
                version=version,
                pid=pid,
                at_ms=int(time.time() * 1000),
            )
