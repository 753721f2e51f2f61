"""Decides in which window each worker of a soak is killed: drawn from a seed, so that it can be repeated."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

from pytest_l402.workflow.durable_workflow import DurableWorkflow
from pytest_l402.workflow.steps import Point, Step

Row = dict[str, Any]

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
