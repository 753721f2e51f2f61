"""Decides whether a gateway does what its configuration says: the same probes after a deploy and an undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pytest_l402.ops.reconcile.deployments import Intent
from pytest_l402.ops.reconcile.ports import (
    ActiveDeployment,
    GatewayOps,
    ProbeAnswer,
    Probes,
    ProbeTarget,
    reason_of,
)
from pytest_l402.ops.reconcile.steps import PROBES, Failpoint, Stage
from pytest_l402.ops.reconcile.summary import Failure

_PAYMENT_REQUIRED = 402


class StageFailed(Exception):  # noqa: N818 - an outcome of the run, not an error of it
    """A stage did not pass; `reason` is one line without secrets."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(f"{stage.value}: {reason}")
        self.stage = stage
        self.reason = reason


def probe_stage(
    probes: Probes,
    stage: Stage,
    targets: tuple[ProbeTarget, ...],
    request_id: str,
    *,
    formerly: tuple[ProbeTarget, ...] = (),
) -> dict[str, Any] | None:
    """Take one of the three probes, and return what its event says; None when nothing was to be asked.

    The challenge of every target is asked for, as that moves no money; the first target is paid. Where a
    configuration sells nothing, what was sold `formerly` must be neither sold nor delivered any more.

    Raises:
        StageFailed: the gateway does something else.
    """
    try:
        if stage is Stage.HEALTH:
            outcome = probes.health(request_id=request_id)
            return _passed(stage, outcome)
        if not targets:
            if stage is Stage.CHALLENGE:
                _none_is_sold(probes, formerly, request_id)
            return None
        if stage is Stage.PROXY:
            return _passed(stage, probes.proxy(targets[0], request_id=request_id))
        details = [
            _passed(stage, probes.challenge(target, request_id=request_id), target.rule_id)
            for target in targets
        ]
        return details[0] | {"routesChecked": len(targets)}
    except StageFailed:
        raise
    except Exception as error:
        raise StageFailed(stage, reason_of(error)) from error


def _passed(stage: Stage, outcome: ProbeAnswer, rule_id: str | None = None) -> dict[str, Any]:
    if outcome.reason is not None:
        where = "" if rule_id is None else f" at {rule_id}"
        raise StageFailed(stage, outcome.reason + where)
    details = {"statusCode": outcome.status_code, "amountMsats": outcome.amount_msats}
    return {key: value for key, value in details.items() if value is not None}


def _none_is_sold(probes: Probes, formerly: tuple[ProbeTarget, ...], request_id: str) -> None:
    for target in formerly:
        status = probes.challenge(target, request_id=request_id).status_code
        if status is not None and (status == _PAYMENT_REQUIRED or 200 <= status < 300):
            raise StageFailed(Stage.CHALLENGE, f"still_sold_status_{status} at {target.rule_id}")


def probe_all(
    probes: Probes, targets: tuple[ProbeTarget, ...], request_id: str
) -> tuple[tuple[Stage, ...], tuple[Failure, ...]]:
    """Take every probe, also after one that failed; return the stages that passed, and what failed."""
    passed: list[Stage] = []
    failures: list[Failure] = []
    for stage in PROBES:
        try:
            probe_stage(probes, stage, targets, request_id)
            passed.append(stage)
        except StageFailed as failed:
            failures.append(Failure.at(stage, failed.reason))
    return tuple(passed), tuple(failures)


class Undone(NamedTuple):
    """How a deployment was undone: what runs again, None after a withdrawal, and what is to be told of it.

    `unverified` names the probes that say nothing about the undo: what ran before the deployment did not pass
    them either, or, after a withdrawal, nobody knows whether it did.
    """

    active: ActiveDeployment | None
    unverified: tuple[Failure, ...] = ()


class UndoFailed(Exception):  # noqa: N818 - an outcome of the run, not an error of it
    """The gateway is not known to be as it was; `reason` is one line without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_superseded(intent: Intent, active: ActiveDeployment | None) -> bool:
    """Return whether the gateway runs what is neither this deployment nor what it found: not ours to undo."""
    if active is None:
        return False
    before = None if intent.previous is None else intent.previous.config_hash
    return active.config_hash not in (intent.config_hash, before)


def undo(intent: Intent, gateway: GatewayOps, probes: Probes, at: Callable[[Failpoint], None]) -> Undone:
    """Put back what ran before, or take the deployment away, and see for oneself that it worked.

    A probe that failed before the deployment too is no measure of the undo. Neither is the health of a
    gateway after a withdrawal, which may have been as bad before it was ever deployed to.

    Raises:
        UndoFailed: it did not work, or that cannot be seen.
    """
    try:
        if intent.previous is None:
            return _withdraw(intent, gateway, probes, at)
        return _roll_back(intent, intent.previous, gateway, probes, at)
    except UndoFailed:
        raise
    except StageFailed as failed:
        raise UndoFailed(f"restored_but_{failed.stage.value}: {failed.reason}") from failed
    except Exception as error:
        raise UndoFailed(reason_of(error)) from error


def _roll_back(
    intent: Intent,
    previous: ActiveDeployment,
    gateway: GatewayOps,
    probes: Probes,
    at: Callable[[Failpoint], None],
) -> Undone:
    told = gateway.rollback(request_id=intent.request_id, deployment_id=intent.deployment_id, target=previous)
    at(Failpoint.UNDONE)
    active = gateway.active(request_id=intent.request_id)
    if active is None or active.config_hash != previous.config_hash:
        raise UndoFailed(f"active_is_{'nothing' if active is None else active.config_hash}")
    if previous.image_digest is not None and active.image_digest != previous.image_digest:
        raise UndoFailed(f"image_is_{active.image_digest}")
    unverified = []
    for stage in PROBES:
        try:
            probe_stage(probes, stage, intent.previous_targets, intent.request_id, formerly=intent.targets)
        except StageFailed:
            before = next((failure for failure in intent.baseline if failure.stage is stage), None)
            if before is None:
                raise
            unverified.append(before)
    if active.image_digest is None and told is not None and told.config_hash == active.config_hash:
        # Some gateways name the image in their reply to a rollback, and not when they are asked.
        active = active.model_copy(update={"image_digest": told.image_digest})
    return Undone(active, tuple(unverified))


def _withdraw(intent: Intent, gateway: GatewayOps, probes: Probes, at: Callable[[Failpoint], None]) -> Undone:
    gateway.withdraw(request_id=intent.request_id, deployment_id=intent.deployment_id)
    at(Failpoint.UNDONE)
    active = gateway.active(request_id=intent.request_id)
    if active is not None:
        raise UndoFailed(f"active_is_{active.config_hash}")
    for target in intent.targets:
        status = probes.challenge(target, request_id=intent.request_id).status_code
        if status is not None and 200 <= status < 300:
            raise UndoFailed(f"withdrawn_but_open_status_{status} at {target.rule_id}")
    try:
        probe_stage(probes, Stage.HEALTH, (), intent.request_id)
    except StageFailed as failed:
        return Undone(None, (Failure.at(Stage.HEALTH, failed.reason),))
    return Undone(None)
