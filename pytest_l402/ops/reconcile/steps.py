"""Decides in which order a reconcile goes, and what each step is called when it fails."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    """Why a deployment failed. Source: runbook staging-reconcile section 4."""

    COMPILE_VALIDATION_FAILED = "compile_validation_failed"
    """A paywall cannot be compiled to a rule of the gateway."""
    ACTIVE_LOOKUP_FAILED = "active_lookup_failed"
    """The gateway does not say what it runs."""
    DEPLOY_APPLY_FAILED = "deploy_apply_failed"
    """The gateway did not take the configuration, or runs it under an image that is not pinned."""
    HEALTH_CHECK_FAILED = "health_check_failed"
    """The gateway is not healthy."""
    CHALLENGE_CHECK_FAILED = "challenge_check_failed"
    """The gateway does not ask who has not paid for the configured price."""
    PROXY_CHECK_FAILED = "proxy_check_failed"
    """The gateway does not deliver to who has paid."""
    ROLLBACK_FAILED = "rollback_failed"
    """What ran before could not be put back."""


class Stage(StrEnum):
    """The steps of a reconcile, in order; a rollback is taken only after one of the others failed."""

    COMPILE = "compile"
    ACTIVE_LOOKUP = "active_lookup"
    APPLY = "apply"
    HEALTH = "health"
    CHALLENGE = "challenge"
    PROXY = "proxy"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is called when it fails, and whether the gateway may have changed by then."""

    stage: Stage
    code: FailureCode
    may_have_changed: bool


STEPS = (
    Step(Stage.COMPILE, FailureCode.COMPILE_VALIDATION_FAILED, may_have_changed=False),
    Step(Stage.ACTIVE_LOOKUP, FailureCode.ACTIVE_LOOKUP_FAILED, may_have_changed=False),
    # An apply that reports a failure may have taken effect all the same.
    Step(Stage.APPLY, FailureCode.DEPLOY_APPLY_FAILED, may_have_changed=True),
    Step(Stage.HEALTH, FailureCode.HEALTH_CHECK_FAILED, may_have_changed=True),
    Step(Stage.CHALLENGE, FailureCode.CHALLENGE_CHECK_FAILED, may_have_changed=True),
    Step(Stage.PROXY, FailureCode.PROXY_CHECK_FAILED, may_have_changed=True),
)
"""The way to `applied`. Source: runbook staging-reconcile sections 2 and 4."""

PROBES = (Stage.HEALTH, Stage.CHALLENGE, Stage.PROXY)


def step_of(stage: Stage) -> Step:
    """Return the step of a stage. Raises `KeyError` for `rollback`, which is no step on the way."""
    return {step.stage: step for step in STEPS}[stage]


def next_step(passed: Collection[Stage]) -> Step | None:
    """Return the first step that has not passed: where a run goes on, or was cut off. None when all have."""
    return next((step for step in STEPS if step.stage not in passed), None)


class Failpoint(StrEnum):
    """The places at which a test may cut a reconcile off, in the order in which they are passed.

    The next run has to leave a whole state, wherever the one before ended.
    """

    STARTED = "started"
    COMPILED = "compiled"
    PENDING_WRITTEN = "pending_written"
    PREVIOUS_FOUND = "previous_found"
    PREVIOUS_WRITTEN = "previous_written"
    APPLIED = "applied"
    APPLY_WRITTEN = "apply_written"
    HEALTH_WRITTEN = "health_written"
    CHALLENGE_WRITTEN = "challenge_written"
    PROXY_PROBED = "proxy_probed"
    PROXY_WRITTEN = "proxy_written"
    OUTCOME_WRITTEN = "outcome_written"
    UNDO_WRITTEN = "undo_written"
    UNDONE = "undone"
    UNDO_VERIFIED = "undo_verified"
