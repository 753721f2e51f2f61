"""An engine that is broken in one way is caught by the check that was made for it, under its property."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from drilled import rehearsal, violated

from pytest_l402.workflow import EngineFault, Point

KILLED_AFTER_EFFECT = {"window": Point.AFTER_EFFECT, "bodies": 2, "calls": 2}
KILLED_AFTER_CHECKPOINT = {"window": Point.AFTER_CHECKPOINT, "bodies": 1, "calls": 1}


@dataclass(frozen=True)
class Case:
    """Which fault, in which drill, must be told by which line and which check; None is a standing check."""

    fault: EngineFault
    module: str
    drill: str
    line: str | None
    check: str
    arguments: dict[str, Any] = field(default_factory=dict)


F = EngineFault
CASES = [
    Case(F.NO_CHECKPOINT, "test_02_kill_restart", "test_killed_in", "3.prefix", "ran(CompileST: 1) [PC]",
         KILLED_AFTER_CHECKPOINT),
    Case(F.EFFECT_REPEATED, "test_02_kill_restart", "test_killed_in", "3.exactly-once",
         "paid_once(2 calls) [EO]", KILLED_AFTER_EFFECT),
    Case(F.SLEEP_FROM_ZERO, "test_07_durable_sleep", "test_killed_while_it_sleeps", "5.woke",
         "woke_in_time(sleep_1) [RD]", {"late": True}),
    Case(F.FORK_PAYS, "test_06_fork_after_fix", "test_forked_after_it_has_paid", "4.fork-pays-not",
         "paid_once(2 calls) [EO]"),
    Case(F.KEY_ON_WORKFLOW_ID, "test_06_fork_after_fix", "test_forked_after_it_has_paid", None,
         "receipts_unique() [EO]"),
    Case(F.CANCEL_DOES_NOT_STOP, "test_04_cancel_resume", "test_resumed_when_idle", "4.cancel",
         "result_shows(cancelled: status, executed)"),
    Case(F.RESUME_STARTS_OVER, "test_04_cancel_resume", "test_resumed_when_idle", "4.resume",
         "ran(CompileST: 1) [PC]"),
    Case(F.RESUME_OF_RUNNING, "test_05_double_resume", "test_a_running_run_is_not_resumed", "4.resume-once",
         "ran(ExecuteST: 1) [PC]"),
    Case(F.ACCEPTS_DRIFT, "test_01_golden_path", "test_start_approve_verify", "2.drift",
         'some_row(control_answers: 409, drift, ["queuePartitionKey"])'),
    Case(F.AUDIT_OUTSIDE, "test_04_cancel_resume", "test_killed_before_the_commit", "4.audit",
         "result_shows(halfway: status)"),
    Case(F.ROWS_ON_400, "test_03_zero_write", "test_refused_starts", "3.zero-write", "zero_writes() [CV]"),
    Case(F.SPANS_WITHOUT_ATTEMPT, "test_08_otlp_audit", "test_a_flaky_step_and_a_kill", "5.spans",
         "traced(2 attempts) [RD]"),
    Case(F.REPLY_TWICE, "test_11_consume_once", "test_eight_starts_and_eight_replies", None,
         "no_orphan_notification() [CO]"),
    Case(F.OTHER_JOURNAL, "test_14_final_sign_off", "test_a_step_without_output", None,
         "journal_as_declared() [RD]"),
    Case(F.KILL_SPARES, "test_02_kill_restart", "test_killed_in", None, "kills_evidenced() [RD]",
         KILLED_AFTER_EFFECT),
]  # fmt: skip


def test_every_fault_has_a_case() -> None:
    assert {case.fault for case in CASES} == {*EngineFault}


# The fast tier has one that breaks the engine, and one that breaks the API.
FAST = (F.EFFECT_REPEATED, F.AUDIT_OUTSIDE)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case.fault), marks=() if case.fault in FAST else pytest.mark.slow)
        for case in CASES
    ],
)
def test_caught(case: Case, workflows: Any) -> None:
    traces = case.fault is F.SPANS_WITHOUT_ATTEMPT
    drill = getattr(rehearsal(case.module), case.drill)
    with workflows(case.fault, traces=traces) as (workflow, collector):
        with contextlib.suppress(pytest.fail.Exception):
            drill(**case.arguments, l402_workflow=workflow, l402_evidence=collector)
        assert (case.line, case.check) in violated(collector)
