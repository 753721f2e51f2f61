"""Breaks the engine in this process in the ways that a drill asks for; each is one that the drills must notice."""

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
