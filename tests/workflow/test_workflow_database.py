"""A workflow database is only read, says when it is locked or foreign, and names what is waited for."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pytest_l402.workflow import Databases
from pytest_l402.workflow.database import Database, DatabaseUnreadable, NotSoInTime


def test_who_holds_the_lock_is_seen(l402_workflow_databases: Databases) -> None:
    url = l402_workflow_databases.fresh()
    path = url.removeprefix("sqlite:///")
    with Database(url) as database, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert not database.is_locked()
        other.execute("BEGIN IMMEDIATE")
        assert database.is_locked()
        other.execute("ROLLBACK")
        assert not database.is_locked()


def test_it_cannot_be_written(l402_workflow_databases: Databases) -> None:
    url = l402_workflow_databases.fresh()
    with Database(url) as database, pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.rows("DELETE FROM {engine}workflow_status")


@pytest.mark.parametrize("kind", ["missing", "empty", "garbage", "foreign"])
def test_what_is_no_workflow_database_is_told_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "workflow.sqlite"
    if kind == "empty":
        path.touch()
    elif kind == "garbage":
        path.write_bytes(b"no database, but longer than the header of one, which has a hundred bytes " * 2)
    elif kind == "foreign":
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE t (x)")
    with pytest.raises(DatabaseUnreadable) as refused, Database(f"sqlite:///{path}"):
        pass
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    url = "postgresql://po:secret@127.0.0.1:1/workflows"
    with pytest.raises(DatabaseUnreadable) as refused, Database(url):
        pass
    assert "secret" not in str(refused.value)
    assert "127.0.0.1:1/workflows" in str(refused.value)


def test_a_wait_that_is_over_names_what_it_waited_for(l402_workflow_databases: Databases) -> None:
    with Database(l402_workflow_databases.fresh()) as database:
        expected = "expected run-1 to be SUCCESS within 0.01 s, saw no workflow"
        with pytest.raises(NotSoInTime, match=expected):
            database.until_status("run-1", "SUCCESS", wait_s=0.01)


def test_a_worker_that_was_frozen_with_the_lock_is_thawed_and_frozen_again(workflows: Any) -> None:
    with workflows() as (workflow, _):
        worker = workflow.worker()
        locked = iter([True, True, False])
        workflow.database.is_locked = lambda: next(locked)
        workflow.freeze(worker)
        events = [row["event"] for row in workflow.tables()["process_events"]][-5:]
        assert events == ["frozen", "thawed", "frozen", "thawed", "frozen"]
        worker.sigcont()
