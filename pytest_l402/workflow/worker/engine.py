"""Decides how the engine is launched here: who it is, which database, what is broken on purpose."""

from __future__ import annotations

import os
import sqlite3
import threading
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from pytest_l402.workflow.schema import BEAT_S, DDL, dialect_of
from pytest_l402.workflow.steps import QUEUE
from pytest_l402.workflow.worker import bodies
from pytest_l402.workflow.worker.books import Books
from pytest_l402.workflow.worker.broken import break_engine
from pytest_l402.workflow.worker.fitness import refuse_unfit
from pytest_l402.workflow.worker.outside_client import OutsideClient
from pytest_l402.workflow.worker.settings import DEFAULT_CONCURRENCY, WorkerSettings
from pytest_l402.workflow.worker.tracing import turn_on

APPLICATION = "pytest-l402-rehearsal"
_POLL_S = 0.03
_LISTEN_S = 0.02


def launch_worker(settings: WorkerSettings) -> None:
    """Launch the engine: from now on it takes runs from the queue, and recovers those of its executor id."""
    if settings.traces is not None:
        turn_on(settings.traces)
    _configure(settings)
    # An engine of SQLAlchemy of its own: bodies may run before the launch has returned.
    database = open_database(settings.database)
    refuse_unfit(database, settings.database)
    books = Books(database)
    outside = OutsideClient(
        settings.outside, {"executorID": settings.executor, "applicationVersion": settings.version}
    )
    bodies.HERE[:] = [bodies.Surroundings(books, outside, frozenset(settings.faults))]
    break_engine(settings.faults)
    books.beat(settings.executor, settings.version, os.getpid())
    DBOS.launch()
    if settings.concurrency != DEFAULT_CONCURRENCY:
        _register_queue(settings.concurrency)
    threading.Thread(target=_beat, args=(books, settings), daemon=True).start()


def make_template(settings: WorkerSettings) -> None:
    """Make an empty database: the engine's tables, migrated, the queue, and the application's own tables."""
    if settings.database.startswith("sqlite:"):
        _set_journal(settings.database, "wal")
    _configure(settings, migrate=True)
    DBOS.launch()
    _register_queue(settings.concurrency)
    dialect = dialect_of(settings.database)
    with open_database(settings.database).begin() as connection:
        if not settings.database.startswith("sqlite:"):
            connection.execute(sa.text("CREATE SCHEMA app"))
        for statement in DDL:
            connection.execute(sa.text(dialect.sql(statement)))
    DBOS.destroy()
    if settings.database.startswith("sqlite:"):
        with sqlite3.connect(_path_of(settings.database)) as database:
            # All in one file, so that a copy of it is the whole.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_client(settings: WorkerSettings) -> DBOSClient:
    """Return what enqueues and steers runs without running any."""
    return DBOSClient(
        system_database_url=settings.database,
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
        retry_connection_errors=False,
    )


def _configure(settings: WorkerSettings, *, migrate: bool = False) -> None:
    traces: dict[str, Any] = {}
    if settings.traces is not None:
        traces = {"enable_otlp": True, "otlp_traces_endpoints": [settings.traces]}
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": settings.database,
            "application_version": settings.version,
            "executor_id": settings.executor,
            "log_level": "CRITICAL",
            "serializer": DBOSPortableJSONSerializer(),
            "notification_listener_polling_interval_sec": _LISTEN_S,
            "run_migrations": migrate,
            **traces,  # type: ignore[typeddict-item]
        }
    )


def _register_queue(concurrency: int) -> None:
    DBOS.register_queue(
        QUEUE, partition_concurrency=concurrency, polling_interval_sec=_POLL_S, on_conflict="always_update"
    )


def open_database(url: str) -> sa.Engine:
    """Return an engine of SQLAlchemy whose transactions take the write lock first, as the workflows' do."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def begin_immediate(connection: sqlite3.Connection, _: object) -> None:
            connection.isolation_level = "IMMEDIATE"
            connection.execute("PRAGMA busy_timeout=30000")

    return engine


def _beat(books: Books, settings: WorkerSettings) -> None:
    never = threading.Event()
    while not never.wait(BEAT_S):
        books.beat(settings.executor, settings.version, os.getpid())


def _path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def _set_journal(url: str, mode: str) -> None:
    database = sqlite3.connect(_path_of(url))
    try:
        database.execute(f"PRAGMA journal_mode={mode}")
    finally:
        database.close()
