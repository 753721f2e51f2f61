"""The workflow itself: what each step does, what it checkpoints, and where it says that it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dbos import DBOS

from pytest_l402.workflow.faults import EngineFault
from pytest_l402.workflow.steps import (
    DECLARED,
    GATE,
    MOST_ATTEMPTS,
    NO_ARTIFACT,
    SLEEPER,
    WORKFLOW,
    Point,
    SleepStep,
    Step,
)
from pytest_l402.workflow.worker.books import Books
from pytest_l402.workflow.worker.outside_client import OutsideClient
from pytest_l402.workflow.worker.tracing import traced

Document = dict[str, Any]

_GATE_WAIT_S = 600
_RETRY_S = 0.01


@dataclass
class Surroundings:
    """What the bodies of this process work with; set once, before the engine is launched."""

    books: Books
    outside: OutsideClient
    faults: frozenset[EngineFault]


HERE: list[Surroundings] = []


@DBOS.step(name=Step.COMPILE)
def compile_plan(intent: Document) -> Document:
    """Make a plan of the goal."""
    with _body(Step.COMPILE) as here:
        plan = {"goal": intent["goal"], "resource": "/premium"}
        _leave(here, Step.COMPILE, plan)
    return plan


@DBOS.step(name=Step.APPLY_PATCH)
def apply_patch(plan: Document, inputs: Document) -> Document:
    """Apply the inputs to the plan; leaves no artifact of its own."""
    with _body(Step.APPLY_PATCH) as here:
        _leave(here, Step.APPLY_PATCH, {"status": "no_artifacts"})
    return {**plan, "inputs": inputs}


@DBOS.step(name=Step.DECIDE)
def decide(plan: Document, constraints: Document) -> Document:
    """Decide whether the plan fits its constraints."""
    with _body(Step.DECIDE) as here:
        decision = {"plan": plan, "constraints": constraints, "needs": "approval"}
        _leave(here, Step.DECIDE, decision)
    return decision


@DBOS.step(name=Step.EXECUTE, retries_allowed=True, max_attempts=MOST_ATTEMPTS, interval_seconds=_RETRY_S)
def execute(root_intent: str) -> Document:
    """Buy: 402, pay, 200. The wallet's key is the root intent, which a fork shares with what it came from."""
    with _body(Step.EXECUTE) as here:
        workflow_id = str(DBOS.workflow_id)
        here.outside.at(Point.BEFORE_EFFECT, workflow_id, step=Step.EXECUTE)
        macaroon, invoice = here.outside.ask()
        paid = here.outside.pay(_key(here, root_intent, workflow_id), workflow_id, macaroon, invoice)
        bought = {"paymentHash": paid["paymentHash"], "sha256": here.outside.fetch(paid)}
        _leave(here, Step.EXECUTE, bought)
        here.outside.at(Point.AFTER_EFFECT, workflow_id, step=Step.EXECUTE)
    return bought


@DBOS.step(name=Step.RECORD)
def record(bought: Document) -> Document:
    """Write down what was bought."""
    with _body(Step.RECORD) as here:
        _leave(here, Step.RECORD, bought)
    return bought


@DBOS.workflow(name=WORKFLOW)
def buy(intent: Document) -> Document:
    """Compile, apply the patch, decide, wait for the approval, execute, record."""
    outside, workflow_id = HERE[0].outside, str(DBOS.workflow_id)
    try:
        plan = apply_patch(compile_plan(intent), intent["inputs"])
        decide(plan, intent["constraints"])
        if intent["approval"]:
            outside.at(Point.AT_GATE, workflow_id)
            if DBOS.recv(GATE, timeout_seconds=_GATE_WAIT_S) is None:
                raise TimeoutError(f"nobody approved the plan within {_GATE_WAIT_S} s")
        bought = execute(intent["intentId"])
        outside.at(Point.AFTER_CHECKPOINT, workflow_id, step=Step.EXECUTE)
        return record(bought)
    finally:
        outside.at(Point.LEFT, workflow_id)


@DBOS.step(name=SleepStep.BEFORE)
def before_sleep() -> None:
    """Leave a sign that the sleep is about to begin."""
    with _body(SleepStep.BEFORE) as here:
        _leave(here, SleepStep.BEFORE, {"status": "no_artifacts"})


@DBOS.step(name=SleepStep.AFTER)
def after_sleep() -> int:
    """Leave a sign that the sleep is over, and when that was, in milliseconds."""
    with _body(SleepStep.AFTER) as here:
        _leave(here, SleepStep.AFTER, {"status": "no_artifacts"})
    return int(time.time() * 1000)


@DBOS.workflow(name=SLEEPER)
def sleep(sleep_ms: int) -> int:
    """Sleep durably between two steps (runbook section 5, walkthrough E)."""
    before_sleep()
    DBOS.sleep(sleep_ms / 1000)
    return after_sleep()


@contextmanager
def _body(step: str) -> Iterator[Surroundings]:
    here, workflow_id = HERE[0], str(DBOS.workflow_id)
    status = DBOS.step_status
    attempt = 1 + (status.current_attempt or 0 if status is not None else 0)
    attributes = {"workflowID": workflow_id, "step.functionID": str(step), "attempt": attempt}
    if EngineFault.SPANS_WITHOUT_ATTEMPT in here.faults:
        del attributes["attempt"]
    with traced(step, attributes):
        here.outside.at(Point.BEGIN, workflow_id, step=step, functionID=DBOS.step_id, attempt=attempt)
        yield here


def _leave(here: Surroundings, step: Step | SleepStep, inline: Document) -> None:
    kind = DECLARED[step]
    shown = {"status": "no_artifacts"} if kind == NO_ARTIFACT else inline
    with here.books.transaction() as connection:
        here.books.leave_artifact(connection, str(DBOS.workflow_id), step, kind, shown)


def _key(here: Surroundings, root_intent: str, workflow_id: str) -> str | None:
    if EngineFault.EFFECT_REPEATED in here.faults:
        return f"{root_intent}:{os.urandom(4).hex()}"
    if EngineFault.KEY_ON_WORKFLOW_ID in here.faults:
        return f"run:{workflow_id}"
    if EngineFault.FORK_PAYS in here.faults and workflow_id != root_intent:
        return workflow_id
    return root_intent
