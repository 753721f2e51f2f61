"""Decides that a failed deployment is gone: what ran before runs again, and passes the probes."""

from __future__ import annotations

from collections.abc import Callable

from pytest_l402.ops.reconcile.deployments import Intent
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOps, Probes, reason_of
from pytest_l402.ops.reconcile.probing import StageFailed, probe_stage
from pytest_l402.ops.reconcile.steps import PROBES, Failpoint, Stage


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


def undo(intent: Intent, gateway: GatewayOps, probes: Probes, at: Callable[[Failpoint], None]) -> str | None:
    """Put back what ran before, or take the deployment away, and see for oneself that it worked.

    Returns why the gateway is still unhealthy after a withdrawal, None if it is not. It may have been so
    before it was ever deployed to, so that is told, and is no failure of the withdrawal.

    Raises:
        UndoFailed: it did not work, or that cannot be seen.
    """
    try:
        if intent.previous is None:
            return _withdraw(intent, gateway, probes, at)
        _roll_back(intent, intent.previous, gateway, probes, at)
        return None
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
) -> None:
    gateway.rollback(request_id=intent.request_id, deployment_id=intent.deployment_id, target=previous)
    at(Failpoint.UNDONE)
    active = gateway.active(request_id=intent.request_id)
    if active is None or active.config_hash != previous.config_hash:
        raise UndoFailed(f"active_is_{'nothing' if active is None else active.config_hash}")
    if previous.image_digest is not None and active.image_digest != previous.image_digest:
        raise UndoFailed(f"image_is_{active.image_digest}")
    for stage in PROBES:
        probe_stage(probes, stage, intent.previous_targets, intent.request_id, formerly=intent.targets)


def _withdraw(
    intent: Intent, gateway: GatewayOps, probes: Probes, at: Callable[[Failpoint], None]
) -> str | None:
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
        return failed.reason
    return None
