"""What the rehearsed workflow consists of: its steps, the artifact of each, the points that it passes."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

WORKFLOW: Final = "buy"
SLEEPER: Final = "sleep"
QUEUE: Final = "buys"
GATE: Final = "approve-plan"
"""The topic on which the workflow waits for the approval of its plan."""

RECIPES: Final = ("compile-default",)
PRICE_MSATS: Final = 10_000
"""What one purchase costs; the seller asks for no other amount."""
MOST_ATTEMPTS: Final = 3
"""How often `ExecuteST` is tried before its failure is that of the run (facts of runbook 4, A4)."""


class Step(StrEnum):
    """The steps of a purchase, in their order; the gate stands between `DecideST` and `ExecuteST`."""

    COMPILE = "CompileST"
    APPLY_PATCH = "ApplyPatchST"
    DECIDE = "DecideST"
    EXECUTE = "ExecuteST"
    RECORD = "RecordST"


class SleepStep(StrEnum):
    """The steps around a durable sleep (runbook section 5, walkthrough E)."""

    BEFORE = "sleep-before-sleep"
    AFTER = "sleep-after-sleep"


NO_ARTIFACT: Final = "none"
"""The kind of artifact that says of a step that it has none."""

DECLARED: Final = MappingProxyType(
    {
        Step.COMPILE: "plan_card",
        Step.APPLY_PATCH: NO_ARTIFACT,
        Step.DECIDE: "patch",
        Step.EXECUTE: "artifact_index",
        Step.RECORD: "receipt",
        SleepStep.BEFORE: NO_ARTIFACT,
        SleepStep.AFTER: NO_ARTIFACT,
    }
)
"""The kind of artifact that each step leaves, exactly one of it."""


class Point(StrEnum):
    """Where a worker says that it is, and where it can be held, made to fail, frozen, or killed."""

    BEGIN = "begin"
    AT_GATE = "at-gate"
    BEFORE_EFFECT = "before-effect"
    AFTER_EFFECT = "after-effect"
    AFTER_CHECKPOINT = "after-checkpoint"
    BEFORE_COMMIT = "before-commit"
    LEFT = "left"
