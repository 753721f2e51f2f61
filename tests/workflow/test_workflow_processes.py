"""Processes of the engine are ready at once, end as evidence says, and leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_l402
from pytest_l402.workflow import (
    DurableWorkflow,
    EngineMissing,
    EngineProcessFailed,
    Point,
    SqliteDatabases,
    Zygote,
    processes,
)

PATIENCE_S = 20.0


def test_a_worker_says_who_it_is_and_ends_with_its_connection(workflows: Any) -> None:
    with workflows() as (workflow, _):
        worker = workflow.worker("worker-7", "v3")
        assert worker.ready == {
            "pid": worker.pid, "ready": True, "executorID": "worker-7", "applicationVersion": "v3"
        }  # fmt: skip
        worker.stop()
        assert worker.ended
        worker.stop()


def test_a_kill_is_told_by_its_signal_and_a_frozen_worker_stands_still(workflows: Any) -> None:
    with workflows() as (workflow, _):
        worker = workflow.worker()
        assert worker.sigstop()["event"] == "frozen"
        assert Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        assert worker.sigcont()["event"] == "thawed"
        assert worker.sigkill()["exitSignal"] == "SIGKILL"
        with pytest.raises(EngineProcessFailed, match="when SIGKILL is sent, saw it ended"):
            worker.sigkill()


def test_a_kill_by_another_signal_is_told_as_what_it_was(workflows: Any) -> None:
    with workflows() as (workflow, _):
        row = workflow.worker().sigkill(number=signal.SIGTERM)
        assert (row["signal"], row["exitSignal"]) == ("SIGKILL", "SIGTERM")


def test_two_workers_are_killed_one_after_the_other(workflows: Any) -> None:
    with workflows() as (workflow, _):
        for _ in range(3):
            workflow.kill(workflow.worker())
        run = workflow.start()
        workflow.worker()
        assert workflow.finished(run) == "SUCCESS"


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"database": "sqlite:////no/such/folder/x.sqlite", "outside": ""}, "unable to open database file"),
        ({"database": "nonsense", "outside": ""}, "nonsense|URL|url"),
        ({"database": "sqlite:///x", "outside": "", "unheard": 1}, "unexpected keyword argument 'unheard'"),
        ({"database": "sqlite:///x", "outside": "", "faults": ["odd"]}, "'odd' is not a valid EngineFault"),
        ({}, "missing 2 required"),
    ],
    ids=["folder", "url", "field", "fault", "empty"],
)
def test_what_keeps_a_worker_from_being_ready_is_told_in_one_line(
    l402_zygote: Zygote, settings: dict[str, Any], seen: str
) -> None:
    with pytest.raises(EngineProcessFailed, match=seen) as refused:
        l402_zygote.fork("worker", settings)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("worker: expected it to become ready, saw ")


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE dbos_migrations SET version = 9999")


def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE app_runs")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all, but longer than the header of one, which has a hundred bytes" * 2)


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (newer, "saw migration 9999; install the engine that has written it"),
        (foreign, "saw no such table: app_runs; see who holds it, or make it again"),
        (garbage, "saw file is not a database; see who holds it, or make it again"),
        (Path.unlink, "saw unable to open database file; see who holds it, or make it again"),
    ],
)
def test_a_database_that_is_unfit_is_told_in_one_line(
    l402_zygote: Zygote, tmp_path: Path, damage: Callable[[Path], None], seen: str
) -> None:
    path = Path(SqliteDatabases(l402_zygote).fresh().removeprefix("sqlite:///"))
    damage(path)
    with pytest.raises(EngineProcessFailed, match=seen) as refused:
        l402_zygote.fork("worker", {"database": f"sqlite:///{path}", "outside": ""})
    assert "\n" not in str(refused.value)


def test_a_database_that_stays_locked_is_told_and_not_waited_for(l402_zygote: Zygote) -> None:
    url = SqliteDatabases(l402_zygote).fresh()
    path = url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineProcessFailed, match="saw database is locked; see who holds it"):
            l402_zygote.fork("worker", {"database": url, "outside": ""})


def test_an_unknown_role_and_a_handshake_of_garbage(l402_zygote: Zygote) -> None:
    with pytest.raises(EngineProcessFailed, match="KeyError: 'cook'"):
        l402_zygote.fork("cook", {})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"\0{l402_zygote._name}")
        connection.sendall(b"\x00\xff garbage\n")
        connection.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        assert poll.poll(PATIENCE_S * 1000)
    with pytest.raises(EngineProcessFailed):
        l402_zygote.fork("cook", {})


def test_a_zygote_that_dies_at_its_import_is_told_with_what_it_said() -> None:
    broken = Zygote("pytest_l402.no_such_module")
    with pytest.raises(Exception, match=r"No module named pytest_l402\.no_such_module"), broken:
        pass
    assert not broken.folder.exists()


def test_without_the_engine_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    with pytest.raises(EngineMissing, match=r"pip install 'pytest-l402\[durable\]'"):
        Zygote()


def test_the_environment_of_the_drill_does_not_reach_the_engine(
    monkeypatch: pytest.MonkeyPatch, workflows: Any
) -> None:
    monkeypatch.setenv("DBOS__APPVERSION", "somebody else's")
    with workflows() as (workflow, _):
        worker = workflow.worker()
        assert Path(f"/proc/{worker.pid}/environ").read_bytes() == b""


OWNER = """
import json, sys
from pytest_l402.workflow import DurableWorkflow, SqliteDatabases, Zygote
zygote = Zygote().__enter__()
workflow = DurableWorkflow(zygote, SqliteDatabases(zygote).fresh(), "seed").__enter__()
worker = workflow.worker()
pids = [zygote.pid, worker.pid, workflow.control_process.pid]
print(json.dumps({"pids": pids, "folder": str(zygote.folder)}), flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_when_the_process_of_the_drill_is_killed() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(pytest_l402.__file__).parents[1])}
    command = [sys.executable, "-P", "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as owner:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        pidfds = [os.pidfd_open(pid) for pid in told["pids"]]
        watcher = int(Path(f"/proc/{told['pids'][0]}/stat").read_text().rpartition(")")[2].split()[1])
        pidfds.append(os.pidfd_open(watcher))
        assert Path(told["folder"]).is_dir()
        owner.kill()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], PATIENCE_S)[0]
        os.close(pidfd)
    # The watcher removes the folder last of all.
    assert not Path(told["folder"]).exists()


def test_a_worker_that_waits_for_the_drill_ends_with_it(
    l402_zygote: Zygote, l402_workflow_databases: Any
) -> None:
    url = l402_workflow_databases.fresh()
    with DurableWorkflow(l402_zygote, url, "seed") as workflow:
        worker = workflow.worker()
        with workflow.outside.points.held(Point.BEFORE_EFFECT) as hold:
            workflow.start()
            workflow.outside.points.reached(hold)
            workflow.outside.points.release_all()
    assert worker.ended
