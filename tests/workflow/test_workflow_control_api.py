"""The control API keeps the laws that the engine does not: who may ask what, and what is written then."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.workflow import Point

INTENT = b'{"goal": "g", "inputs": {}, "constraints": []}'
REPLY = b'{"approvedBy": "po", "dedupeKey": "k"}'
FORK = b'{"stepN": 1, "actor": "a", "reason": "r"}'
KEY = b'{"intentId": "{run}", "queuePartitionKey": 1}'


@pytest.fixture(scope="module")
def asked(l402_zygote: Any, l402_workflow_databases: Any) -> Any:
    """A control API on a database with one run that has succeeded, and no worker any more."""
    from pytest_l402.workflow import DurableWorkflow

    with DurableWorkflow(l402_zygote, l402_workflow_databases.fresh(), "a seed") as workflow:
        worker = workflow.worker()
        run = workflow.start()
        workflow.finished(run)
        worker.stop()
        yield workflow, run


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/intents", b"{}", 400, "missing_goal"),
        ("POST", "/api/intents", b"[]", 400, "invalid_json"),
        ("POST", "/api/intents", b'{"goal": 1, "inputs": {}, "constraints": {}}', 400, "invalid_goal"),
        ("POST", "/api/intents", INTENT, 400, "invalid_constraints"),
        ("POST", "/api/runs", b'{"intentId": "it_unknown"}', 404, "intent_not_found"),
        ("POST", "/api/runs", b'{"intentId": "{run}"}', 400, "queue_partition_key_required"),
        ("POST", "/api/runs", KEY, 400, "invalid_queuePartitionKey"),
        ("POST", "/api/runs", b'{"intentId": "{run}", "budgetMsats": true}', 400, "invalid_budgetMsats"),
        ("GET", "/api/runs/unheard", b"", 404, "workflow_not_found"),
        ("POST", "/api/runs/{run}/approve-plan", REPLY, 409, "not_waiting"),
        ("POST", "/api/runs/unheard/approve-plan", REPLY, 404,
         "workflow_not_found"),
        ("GET", "/api/ops/wf?limit=0", b"", 400, "invalid_limit"),
        ("GET", "/api/ops/wf?limit=201", b"", 400, "invalid_limit"),
        ("GET", "/api/ops/wf?colour=red", b"", 400, "unknown_field"),
        ("GET", "/api/ops/wf?limit=1&limit=2", b"", 400, "repeated_field"),
        ("GET", "/api/ops/wf/unheard", b"", 404, "workflow_not_found"),
        ("GET", "/api/ops/wf/unheard/steps", b"", 404, "workflow_not_found"),
        ("POST", "/api/ops/wf/{run}/cancel", b'{"actor": "a"}', 400, "missing_reason"),
        ("POST", "/api/ops/wf/{run}/cancel", b'{"actor": "", "reason": "r"}', 400, "invalid_actor"),
        ("POST", "/api/ops/wf/{run}/cancel", b'{"actor": "a", "reason": "r", "x": 1}', 400, "unknown_field"),
        ("POST", "/api/ops/wf/{run}/cancel", b'{"actor": "a", "reason": "r"}', 409, "cannot_cancel"),
        ("POST", "/api/ops/wf/{run}/resume", b'{"actor": "a", "reason": "r"}', 409, "cannot_resume"),
        ("POST", "/api/ops/wf/{run}/fork", FORK.replace(b"1", b"0"), 400, "invalid_stepN"),
        ("POST", "/api/ops/wf/{run}/fork", FORK.replace(b"1", b"5"), 409, "step_beyond_last"),
        ("POST", "/api/ops/wf/unheard/fork", FORK, 404,
         "workflow_not_found"),
        ("POST", "/api/ops/sleep?wf=s", b"{}", 400, "missing_sleep"),
        ("POST", "/api/ops/sleep?wf=s&sleep=soon", b"{}", 400, "invalid_sleep"),
        ("DELETE", "/api/runs/{run}", b"", 404, "not_found"),
    ],
)  # fmt: skip
def test_what_is_refused_has_a_stable_code_and_writes_nothing(
    asked: Any, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    workflow, run = asked
    before = workflow.database.counts()
    answer = workflow.control.ask(method, path.replace("{run}", run), body.replace(b"{run}", run.encode()))
    assert (answer.status, answer.code) == (status, code)
    assert workflow.database.counts() == before


def test_what_is_shown_of_a_run(asked: Any) -> None:
    workflow, run = asked
    control = workflow.control
    assert control.get(f"/api/runs/{run}").document == {
        "workflowID": run, "status": "SUCCESS", "nextAction": None
    }  # fmt: skip
    shown = control.get(f"/api/ops/wf/{run}").document
    assert shown == {"workflowID": run, "status": "SUCCESS", "audit": []}
    steps = control.get(f"/api/ops/wf/{run}/steps").document["steps"]
    assert [(step["stepId"], step["functionId"], step["status"]) for step in steps] == [
        ("CompileST", 1, "SUCCESS"),
        ("ApplyPatchST", 2, "SUCCESS"),
        ("DecideST", 3, "SUCCESS"),
        ("ExecuteST", 4, "SUCCESS"),
        ("RecordST", 5, "SUCCESS"),
    ]
    listed = control.get("/api/ops/wf?status=SUCCESS&name=buy&limit=200").document["workflows"]
    assert [row["workflow_uuid"] for row in listed] == [run]


def test_a_fork_keeps_its_partition_and_leaves_its_source(workflows: Any) -> None:
    with workflows() as (workflow, _):
        workflow.worker()
        run = workflow.start(partition="p9")
        workflow.finished(run)
        forked = workflow.control.fork(run, 4).document["forkedWorkflowID"]
        assert workflow.finished(forked) == "SUCCESS"
        tables = workflow.tables()
        rows = {row["workflowID"]: row for row in tables["workflows"]}
        assert rows[forked]["queuePartitionKey"] == "p9"
        assert rows[run]["status"] == "SUCCESS"
        audit = workflow.control.get(f"/api/ops/wf/{run}").document["audit"]
        assert [(row["op"], row["actor"], row["forkedWorkflowID"]) for row in audit] == [
            ("fork", "fde", forked)
        ]


def test_what_goes_wrong_inside_says_nothing_of_the_inside(workflows: Any) -> None:
    with workflows() as (workflow, _):
        run = workflow.start()
        points = workflow.outside.points
        with points.failing(Point.BEFORE_COMMIT, op="cancel"):
            answer = workflow.control.cancel(run)
        assert (answer.status, answer.document) == (500, {"error": {"code": "internal_error"}})
        # And nothing of the change is left.
        assert workflow.database.status_of(run) == "ENQUEUED"
        assert [row for row in workflow.tables()["artifacts"] if row["stepID"] == "OPS"] == []
