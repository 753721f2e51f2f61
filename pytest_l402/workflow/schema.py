"""What the application keeps beside the engine's tables, in SQLite and PostgreSQL: tables and views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SILENT_MS: Final = 600
"""An executor that was not heard of for so long holds its slots without a heartbeat."""
BEAT_S: Final = 0.2
"""How often a worker says that it is there."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database spells what differs: prefixes of the two schemas, the time in milliseconds."""

    app: str
    engine: str
    now_ms: str

    def sql(self, text: str) -> str:
        """Return a statement with `{app}`, `{engine}` and `{now_ms}` filled in."""
        return text.format(app=self.app, engine=self.engine, now_ms=self.now_ms, silent_ms=SILENT_MS)


SQLITE: Final = Dialect("app_", "", "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")
POSTGRESQL: Final = Dialect("app.", "dbos.", "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")


def dialect_of(url: str) -> Dialect:
    """Return the dialect of a database URL."""
    return SQLITE if url.startswith("sqlite:") else POSTGRESQL


TABLES: Final = ("intents", "runs", "artifacts", "replies", "heartbeats")
VIEWS: Final = ("v_ops_queue_depth", "v_ops_failures_24h", "v_ops_held_slots", "v_ops_stranded")

DDL: Final = (
    "CREATE TABLE {app}intents (intent_id TEXT PRIMARY KEY, goal TEXT NOT NULL, body TEXT NOT NULL)",
    """CREATE TABLE {app}runs (
        workflow_id TEXT PRIMARY KEY, intent_id TEXT NOT NULL, forked_from TEXT, recipe_name TEXT NOT NULL,
        queue_partition_key TEXT NOT NULL, budget_msats BIGINT NOT NULL)""",
    """CREATE TABLE {app}artifacts (
        workflow_id TEXT NOT NULL, step_id TEXT NOT NULL, task_key TEXT NOT NULL, idx INTEGER NOT NULL,
        attempt INTEGER NOT NULL, kind TEXT NOT NULL, inline TEXT NOT NULL, sha256 TEXT NOT NULL,
        at_ms BIGINT NOT NULL, PRIMARY KEY (workflow_id, step_id, task_key, idx, attempt))""",
    """CREATE TABLE {app}replies (
        workflow_id TEXT NOT NULL, gate TEXT NOT NULL, dedupe_key TEXT NOT NULL, payload TEXT NOT NULL,
        PRIMARY KEY (workflow_id, gate))""",
    """CREATE TABLE {app}heartbeats (
        executor_id TEXT NOT NULL, application_version TEXT NOT NULL, pid INTEGER NOT NULL,
        at_ms BIGINT NOT NULL, PRIMARY KEY (executor_id, pid))""",
    """CREATE VIEW {app}v_ops_queue_depth AS
        SELECT queue_name, status, count(*) AS depth, min(created_at) AS oldest, max(created_at) AS newest
        FROM {engine}workflow_status WHERE status IN ('ENQUEUED', 'PENDING') GROUP BY queue_name, status""",
    """CREATE VIEW {app}v_ops_failures_24h AS
        SELECT workflow_uuid, status, updated_at FROM {engine}workflow_status
        WHERE status IN ('ERROR', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') AND updated_at > {now_ms} - 86400000""",
    """CREATE VIEW {app}v_ops_held_slots AS
        SELECT s.workflow_uuid, s.queue_name, s.queue_partition_key, s.executor_id, max(h.at_ms) AS last_beat
        FROM {engine}workflow_status s LEFT JOIN {app}heartbeats h ON h.executor_id = s.executor_id
        WHERE s.status = 'PENDING' AND s.queue_name IS NOT NULL
        GROUP BY s.workflow_uuid, s.queue_name, s.queue_partition_key, s.executor_id
        HAVING coalesce(max(h.at_ms), 0) < {now_ms} - {silent_ms}""",
    """CREATE VIEW {app}v_ops_stranded AS
        SELECT s.workflow_uuid, s.status, s.application_version FROM {engine}workflow_status s
        WHERE s.status IN ('ENQUEUED', 'PENDING') AND NOT EXISTS (
            SELECT 1 FROM {app}heartbeats h WHERE h.application_version = s.application_version
            AND h.at_ms >= {now_ms} - {silent_ms})""",
)
"""What an empty database is given, after the engine has made its own tables."""
