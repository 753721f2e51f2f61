"""The report in the Common Test Report Format: valid by its schema, and green only where the run is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from page_samples import eventful, hostile
from signoff_samples import GREEN, document, facts, failed_node, node, violated, waiver

from pytest_l402.signoff.ctrf import ctrf_bytes
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.waivers import WaiverTarget

SCHEMA = Path(__file__).parents[2] / ".node/node_modules/ctrf/dist/ctrf-schema-0.0.json"
"""In the package of the format's authors: npm install --prefix .node --ignore-scripts ctrf@0.3.0"""


VIOLATED = node("reuse", checks=(violated("hit", "2.hit"),))


def read(built: SignOffDocument) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ctrf_bytes(built))
    return found


def statuses(built: SignOffDocument) -> dict[str, str]:
    return {test["name"].rpartition("/")[2]: test["status"] for test in read(built)["results"]["tests"]}


def test_a_sign_off_is_green_all_over() -> None:
    assert statuses(document()) == {
        "l402 sign-off": "passed",
        "test_success.py::test_it": "passed",
        "test_reuse.py::test_it": "passed",
    }


@pytest.mark.parametrize(
    ("nodes", "changes", "verdict", "reuse"),
    [
        pytest.param((failed_node("reuse"),), {"exit_status": 1}, "failed", "failed", id="failed"),
        pytest.param(
            (node("reuse", checks=(violated("hit", "2.hit"),)),), {}, "failed", "failed", id="violated"
        ),
        pytest.param((node("reuse"),), {"narrowed_by": ("-k x",)}, "other", "passed", id="drill"),
        pytest.param((node("reuse"),), {"exit_status": 3}, "failed", "passed", id="exit-status"),
        pytest.param(
            (node("reuse", phases={"setup": "skipped", "teardown": "passed"}, skipped="later"),),
            {},
            "failed",
            "skipped",
            id="skipped",
        ),
    ],
)
def test_nothing_is_green_that_is_not(nodes: Any, changes: Any, verdict: str, reuse: str) -> None:
    every = (GREEN[0], *nodes)
    seen = statuses(document(every, facts(every, **changes)))
    assert (seen["l402 sign-off"], seen["test_reuse.py::test_it"]) == (verdict, reuse)


def test_what_was_to_run_and_did_not_is_in_the_report() -> None:
    seen = statuses(document((GREEN[0],)))
    assert (seen["l402 sign-off"], seen["reuse"]) == ("failed", "pending")


def test_a_waived_failure_is_no_pass() -> None:
    nodes = (GREEN[0], VIOLATED)
    seen = statuses(document(nodes, None, (waiver(WaiverTarget.CHECK, "hit"),)))
    assert (seen["l402 sign-off"], seen["test_reuse.py::test_it"]) == ("passed", "other")


def test_a_time_that_nobody_measured_is_said_to_be_none(tmp_path: Path) -> None:
    tests = {test["name"]: test for test in read(eventful(tmp_path))["results"]["tests"]}
    measured, unmeasured = (tests[f"rehearsals/test_{name}.py::test_it"] for name in ("success", "reuse"))
    assert (measured["duration"], measured["extra"]["pytest-l402"]["took_known"]) == (120, True)
    assert (unmeasured["duration"], unmeasured["extra"]["pytest-l402"]["took_known"]) == (0, False)


@pytest.mark.slow
@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"expected {SCHEMA.name}: see SCHEMA")
def test_the_report_is_valid_by_the_schema_of_its_authors(tmp_path: Path) -> None:
    validator = pytest.importorskip("jsonschema").Draft7Validator(json.loads(SCHEMA.read_text()))
    empty = facts((), interrupted=True)
    for built in (document(), document((), empty), eventful(tmp_path), hostile(tmp_path, "<b>\n::error::x")):
        assert [error.message for error in validator.iter_errors(read(built))] == []
    # The schema refuses what it does not know, so that it is one.
    assert list(validator.iter_errors({**read(document()), "verdict": "SIGNED_OFF"}))
