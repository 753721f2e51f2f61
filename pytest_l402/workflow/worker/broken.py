"""Breaks the engine in this process as a drill asks for; the drills must notice each way."""

from __future__ import annotations

from typing import Any

from dbos._error import DBOSWorkflowCancelledError
from dbos._sys_db import SystemDatabase

from pytest_l402.workflow.faults import EngineFault


def break_engine(faults: tuple[EngineFault, ...]) -> None:
    """Put what is broken in the place of the engine's own methods, for as long as this process lives."""
    engine: Any = SystemDatabase
    if EngineFault.NO_CHECKPOINT in faults:
        engine.record_operation_result = lambda *arguments, **named: None
    if EngineFault.CANCEL_DOES_NOT_STOP in faults:
        asked = engine._check_operation_execution_txn

        def goes_on(*arguments: Any, **named: Any) -> Any:
            try:
                return asked(*arguments, **named)
            except DBOSWorkflowCancelledError:
                return None

        engine._check_operation_execution_txn = goes_on
        engine._check_owner_txn = lambda *arguments, **named: None
    if EngineFault.SLEEP_FROM_ZERO in faults:
        recorded = engine.record_sleep

        def from_zero(database: Any, workflow_id: str, step: int, seconds: float, **named: Any) -> float:
            recorded(database, workflow_id, step, seconds, **named)
            return seconds

        engine.record_sleep = from_zero
