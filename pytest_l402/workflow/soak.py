"""Decides in which window each worker of a soak is killed: drawn from a seed, so that it can be repeated."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

from pytest_l402.workflow.durable_workflow import DurableWorkflow
from pytest_l402.workflow.steps import Point, Step

Row = dict[str, Any]

_LONGEST_MS: Final = 200
_CHAOS_S: Final = 120.0
WINDOWS: Final = (Point.BEFORE_EFFECT, Point.AFTER_EFFECT, Point.AFTER_CHECKPOINT)


def soak(workflow: DurableWorkflow, rounds: int, seed: str) -> Row:
    """Kill a worker in each of `rounds` runs and let another finish it; return what was done and paid.

    Every window comes up in each three rounds, in an order that the seed decides. Raises `NotReached` or
    `NotSoInTime` when a run does not come to its window, or to its end.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    order: list[Point] = []
    while len(order) < rounds:
        order += draw.sample(WINDOWS, len(WINDOWS))
    killed: Counter[str] = Counter()
    points = workflow.outside.points
    worker = workflow.worker()
    for window in order[:rounds]:
        with points.held(window, step=Step.EXECUTE) as hold:
            run = workflow.start(partition=f"p{draw.randrange(3)}")
            points.reached(hold)
            workflow.kill(worker)
        killed[window] += 1
        worker = workflow.worker()
        workflow.finished(run)
    return {
        "rounds": rounds,
        "kills": sum(killed.values()),
        "windows": {str(window): killed[window] for window in WINDOWS},
        "receipts": len(workflow.outside.wallet.receipts),
        "walletCalls": len(workflow.outside.wallet.calls),
    }


def chaos(workflow: DurableWorkflow, kills: int, runs_a_kill: int, seed: str) -> Row:
    """Kill a worker at any moment, `kills` times, while many runs are at work; return what was paid.

    After each kill another worker takes over. Raises `NotSoInTime` when the runs do not all end.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    runs: list[str] = []
    worker = workflow.worker()
    for _ in range(kills):
        runs += [workflow.start(partition=f"p{draw.randrange(3)}") for _ in range(runs_a_kill)]
        workflow.clock.advance(draw.randrange(_LONGEST_MS))
        workflow.kill(worker)
        worker = workflow.worker()
    workflow.database.until(
        f"{len(runs)} runs to succeed",
        lambda database: database.count_of("SUCCESS") == len(runs) or None,
        _CHAOS_S,
    )
    bodies = Counter(
        (call["workflowID"], call["step"])
        for call in workflow.outside.points.calls
        if call["point"] == Point.BEGIN
    )
    return {
        "kills": kills,
        "runs": len(runs),
        "receipts": len(workflow.outside.wallet.receipts),
        "absorbed": len(workflow.outside.wallet.calls) - len(workflow.outside.wallet.receipts),
        "mostBodies": max(bodies.values()),
    }
