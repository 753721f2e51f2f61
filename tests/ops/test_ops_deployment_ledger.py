"""The history of deployments is appended to and never changed, and outlives the process that wrote it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from reconcile_world import PROVOKED_BY, prepared, reconcile

from pytest_l402.ops.reconcile.ledger import DeploymentHistory, LedgerError
from pytest_l402.ops.reconcile.lock import ReconcileBusy, ReconcileLock
from pytest_l402.stack import Stack


def filled(folder: Path) -> DeploymentHistory:
    with prepared(folder) as stack, stack.online():
        reconcile(stack, "go")
        reconcile(stack, "bad", *PROVOKED_BY["proxy_check_failed"])
    return DeploymentHistory(folder / "deployments.sqlite3")


@pytest.mark.parametrize("table", ["l402GatewayDeployments", "l402GatewayEvents", "reconcileIntents"])
@pytest.mark.parametrize("change", ["UPDATE {} SET requestId = 'x'", "DELETE FROM {}"])
def test_sql_itself_refuses_to_change_what_happened(tmp_path: Path, table: str, change: str) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(tmp_path / "deployments.sqlite3") as other:
        before = other.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        assert before > (0,)
        with pytest.raises(sqlite3.IntegrityError, match="is a history: rows are appended, never changed"):
            other.execute(change.format(table))
        assert other.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == before
    other.close()


def test_every_status_is_a_row_of_its_own_and_the_last_one_counts(tmp_path: Path) -> None:
    with filled(tmp_path) as history:
        rows = [row for row in history.rows("deployments") if row["requestId"] == "bad"]
        assert [row["status"] for row in rows] == ["pending", "rolled_back"]
        last = history.deployment("dep_reconcile_bad")
        assert last is not None
        assert last.to_row() == rows[-1]
        assert history.deployment("dep_reconcile_none") is None


def test_the_history_outlives_the_process(tmp_path: Path) -> None:
    with filled(tmp_path) as history:
        rows = history.rows("deployments"), history.rows("gateway_events")
    with Stack(3, ops_folder=tmp_path) as stack:
        tables = stack.tables()
        assert (tuple(tables["deployments"]), tuple(tables["gateway_events"])) == rows


def test_the_columns_of_sql_are_the_keys_of_the_rows(tmp_path: Path) -> None:
    with filled(tmp_path) as history, sqlite3.connect(tmp_path / "deployments.sqlite3") as db:
        for name, table in (
            ("deployments", "l402GatewayDeployments"),
            ("gateway_events", "l402GatewayEvents"),
        ):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            assert columns == ["sequence", *history.rows(name)[0]]
    db.close()


def test_a_file_of_something_else_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, and quite a few of them" * 100)
    with pytest.raises(LedgerError, match=r"notes\.txt: expected a history of deployments") as refused:
        DeploymentHistory(text)
    assert "\n" not in str(refused.value)
    assert text.read_text().startswith("these are notes")
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(LedgerError, match="saw a database of something else"):
        DeploymentHistory(other)
    with pytest.raises(LedgerError, match="expected a history of deployments"):
        DeploymentHistory(tmp_path / "no" / "folder.sqlite3")


def test_two_may_open_an_empty_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    with DeploymentHistory(path) as one, DeploymentHistory(path) as two:
        assert one.rows("deployments") == two.rows("deployments") == ()


# The lock


def test_another_process_s_lock_is_respected_and_named(tmp_path: Path) -> None:
    path = tmp_path / "reconcile.lock"
    with prepared(tmp_path) as stack, stack.online():
        with ReconcileLock(path).held("theirs"):
            with pytest.raises(ReconcileBusy, match=r"saw pid \d+, request theirs at work") as busy:
                reconcile(stack, "mine")
            assert "\n" not in str(busy.value)
            with pytest.raises(ReconcileBusy):
                stack.reconciler(wait_s=0.05).reconcile("mine")
        assert reconcile(stack, "mine").ok
    assert path.exists()


def test_a_lock_is_free_after_an_error_and_a_lock_file_alone_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "reconcile.lock"
    path.write_text("pid 1, request dead\n")
    lock = ReconcileLock(path)
    with pytest.raises(KeyError), lock.held("a"):
        raise KeyError
    with lock.held("b"):
        assert path.read_text().endswith("request b\n")


def test_a_lock_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="expected a plain file"),
        ReconcileLock(tmp_path / "no" / "lock").held("a"),
    ):
        pass
