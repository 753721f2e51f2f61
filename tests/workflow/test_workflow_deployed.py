"""Somebody's database is held to the laws by the names that its operator gives, and is not changed."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from drilled import violated

from pytest_l402.evidence import some_row, steady_state_restored
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow.database import DatabaseUnreadable
from pytest_l402.workflow.deployed import DeployedWorkflows, TablesFileError, read_tables_file

TABLES: dict[str, Any] = {
    "version": 1,
    "workflow": "buy",
    "price_msats": 10_000,
    "steps": {"CompileST": "plan_card", "ExecuteST": "artifact_index"},
    "tables": {
        "workflows": {
            "relation": "workflow_status",
            "columns": {
                "workflowID": "workflow_uuid",
                "name": "name",
                "status": "status",
                "forkedFrom": "forked_from",
            },
        },
        "runs": {
            "relation": "app_runs",
            "columns": {"workflowID": "workflow_id", "intentID": "intent_id", "forkedFrom": "forked_from"},
        },
        "workflow_steps": {
            "relation": "operation_outputs",
            "columns": {"workflowID": "workflow_uuid", "functionName": "function_name", "error": "error"},
        },
        "artifacts": {
            "relation": "app_artifacts",
            "columns": {"workflowID": "workflow_id", "stepID": "step_id", "kind": "kind"},
        },
        "notifications": {
            "relation": "notifications",
            "columns": {"workflowID": "destination_uuid", "topic": "topic", "consumed": "consumed"},
        },
        "receipts": {"relation": "mock_receipts", "columns": {"workflowID": "run", "amountMsats": "msats"}},
    },
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "tables.yaml"
    path.write_text(yaml.safe_dump({**TABLES, **changes}))
    return path


@pytest.fixture
def bought(workflows: Any) -> Any:
    """A database in which one run has paid, with a table of receipts in it as the manual has."""
    with workflows() as (workflow, _):
        workflow.worker()
        run = workflow.start()
        workflow.finished(run)
        path = workflow.database.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE mock_receipts (run TEXT, msats INTEGER)")
            database.execute("INSERT INTO mock_receipts VALUES (?, 10000)", (run,))
        yield workflow, run, path


def judged(url: str, tables: Path, folder: Path, *checks: Any) -> Any:
    with DeployedWorkflows(url, read_tables_file(tables)) as deployed:
        collector = EvidenceCollector(title="a look", seed="a seed", artifact_dir=folder)
        collector.attach(deployed)
        with contextlib.suppress(pytest.fail.Exception):
            collector.verify(*checks)
        return violated(collector)


def test_the_laws_are_held_to_what_is_there(bought: Any, tmp_path: Path) -> None:
    workflow, run, path = bought
    counts = workflow.database.counts()
    checks = (some_row("receipts", workflowID=run, amountMsats=10_000), steady_state_restored())
    url = workflow.control_process.ready["url"]
    assert judged(f"sqlite:///{path}", written(tmp_path, control=url), tmp_path, *checks) == []
    assert workflow.database.counts() == counts
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO mock_receipts SELECT * FROM mock_receipts")
    found = judged(f"sqlite:///{path}", written(tmp_path), tmp_path, checks[0])
    assert (None, "receipts_unique() [EO]") in found


def test_an_empty_table_proves_nothing(bought: Any, tmp_path: Path) -> None:
    _, run, path = bought
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM mock_receipts")
        database.execute("DELETE FROM app_artifacts")
    check = some_row("receipts", workflowID=run, amountMsats=10_000)
    found = judged(f"sqlite:///{path}", written(tmp_path), tmp_path, check)
    assert {name for _, name in found} >= {check.name, "steps_left_artifacts() [CV]"}


def test_a_control_api_that_does_not_answer_is_not_in_its_steady_state(bought: Any, tmp_path: Path) -> None:
    _, _, path = bought
    check = steady_state_restored()
    found = judged(f"sqlite:///{path}", written(tmp_path, control="http://127.0.0.1:9"), tmp_path, check)
    assert found == [(None, check.name)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": 2}, "version"),
        ({"colour": "red"}, "colour"),
        ({"tables": {}}, "tables.workflows: expected the columns workflowID, name, status, forkedFrom"),
        (
            {"tables": {**TABLES["tables"], "runs": {"relation": "x; DROP TABLE y", "columns": {}}}},
            "tables.runs.relation: expected a name of a table, a view or a column",
        ),
    ],
)
def test_a_file_of_names_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(TablesFileError, match=told) as refused:
        read_tables_file(written(tmp_path, **changes))
    assert "\n" not in str(refused.value)


def test_a_name_that_is_not_there_is_told_in_one_line(bought: Any, tmp_path: Path) -> None:
    _, _, path = bought
    receipts = {"relation": "app.receipts", "columns": {"workflowID": "a", "amountMsats": "b"}}
    tables = read_tables_file(written(tmp_path, tables={**TABLES["tables"], "receipts": receipts}))
    with (
        DeployedWorkflows(f"sqlite:///{path}", tables) as deployed,
        pytest.raises(DatabaseUnreadable, match=r"expected app\.receipts with its columns, saw") as refused,
    ):
        deployed.tables()
    assert "\n" not in str(refused.value)


LOOK = """
import pytest
from pytest_l402.evidence import some_row

def test_look(l402_deployed_workflow, l402_evidence):
    l402_evidence.verify(some_row("workflows", status="SUCCESS"))
"""


def test_a_run_looks_at_what_is_deployed_in_live_mode_only(bought: Any, pytester: pytest.Pytester) -> None:
    _, _, path = bought
    pytester.makepyfile(LOOK)
    tables = written(pytester.path)
    found = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    found.assert_outcomes(skipped=1)
    options = ("--l402-mode=live", f"--l402-workflow-tables={tables.name}")
    live = pytester.runpytest_subprocess(*options, f"--l402-workflow-database=sqlite:///{path}")
    live.assert_outcomes(passed=1)
    broken = pytester.runpytest_subprocess(*options, "--l402-workflow-database=sqlite:////no/such/file")
    broken.assert_outcomes(errors=1)
    # On a machine of CI pytest tells the whole message in its summary once more.
    told, _, _ = broken.stdout.str().partition("= short test summary info =")
    assert told.count("saw unable to open database file") == 1
