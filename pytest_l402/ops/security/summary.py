"""Decides what a security drill tells: what held, what did not, and how the switches stand afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_l402.contract import ExecutionPath
from pytest_l402.ops.security.controls import GateDecision, SecurityState
from pytest_l402.ops.security.credentials import CredentialValidationError
from pytest_l402.ops.security.roles import RoleState


@dataclass(frozen=True, slots=True)
class CredentialLifecycle:
    """How the drilled role answered to rotate, revoke and activate; None is what was not tried any more."""

    rotated: RoleState
    revoked: RoleState | None = None
    activated: RoleState | None = None

    def to_row(self) -> dict[str, Any]:
        """Return rotatedVersion, revokedStatus, activatedStatus, activatedVersion."""
        return {
            "rotatedVersion": self.rotated.version,
            "revokedStatus": None if self.revoked is None else self.revoked.status.value,
            "activatedStatus": None if self.activated is None else self.activated.status.value,
            "activatedVersion": None if self.activated is None else self.activated.version,
        }


@dataclass(frozen=True, slots=True)
class SecurityDrill:
    """What a drill showed; `failures` are the stable codes of what did not hold, in the order of the drill.

    `request_ids` are those of its three decisions: under the pause, under the kill switch, after recovery.
    `fail_closed` says whether every unusable credential was refused, `empty_credential` how an empty one of
    the gateway was. `final` and `roles` are what the control plane said once everything was switched off.
    """

    fail_closed: bool
    empty_credential: CredentialValidationError | None
    global_pause: GateDecision
    owner_kill_switch: GateDecision
    recovery: GateDecision
    lifecycle: CredentialLifecycle
    final: SecurityState
    roles: tuple[RoleState, ...]
    request_ids: tuple[str, str, str]
    failures: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every control did what it is there for, and everything was as before afterwards."""
        return not self.failures

    def to_row(self) -> dict[str, Any]:
        """Return what `smoke:security` prints; `failureCode` and `failures` only when something failed."""
        row: dict[str, Any] = {
            "ok": self.ok,
            "executionPath": ExecutionPath.HOSTED_NODE.value,
            "failClosed": {"passed": self.fail_closed} | _error_row(self.empty_credential),
            "globalPause": _gate_row(self.global_pause),
            "ownerKillSwitch": _gate_row(self.owner_kill_switch),
            "recovery": {"allowed": self.recovery.allowed},
            "credentialLifecycle": self.lifecycle.to_row(),
            "statusSnapshot": status_snapshot(self.final, self.roles),
        }
        if self.failures:
            row.update(failureCode=self.failures[0], failures=list(self.failures))
        return row


def _error_row(error: CredentialValidationError | None) -> dict[str, str]:
    if error is None:
        return {}
    told = {"errorTag": error.tag, "errorCode": error.code.value}
    return told | {"role": error.role.value, "field": error.field}


def status_snapshot(state: SecurityState, roles: Iterable[RoleState]) -> dict[str, Any]:
    """Return how the switches and the credential roles stand, as `smoke:security` prints it."""
    return {
        "globalPauseActive": state.global_pause,
        "activeOwnerKillSwitches": len(state.killed_owners),
        "credentialRoles": [
            {"role": role.role.value, "status": role.status.value, "version": role.version} for role in roles
        ],
    }


def _gate_row(decision: GateDecision) -> dict[str, Any]:
    if decision.code is None:
        return {"allowed": decision.allowed}
    return {"allowed": decision.allowed, "denyReasonCode": decision.code}
