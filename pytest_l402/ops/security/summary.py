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
class FailClosed:
    """What came of credentials that must be refused; `error_*` are those of an empty gateway credential."""

    passed: bool
    error: CredentialValidationError | None = None

    def to_row(self) -> dict[str, Any]:
        """Return passed, errorTag, errorCode, role, field; without an error only passed."""
        row: dict[str, Any] = {"passed": self.passed}
        if self.error is not None:
            row.update(
                errorTag=self.error.tag,
                errorCode=self.error.code.value,
                role=self.error.role.value,
                field=self.error.field,
            )
        return row


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
    `final` and `roles` are what the control plane said once everything was switched off.
    """

    fail_closed: FailClosed
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
            "failClosed": self.fail_closed.to_row(),
            "globalPause": _gate_row(self.global_pause),
            "ownerKillSwitch": _gate_row(self.owner_kill_switch),
            "recovery": {"allowed": self.recovery.allowed},
            "credentialLifecycle": self.lifecycle.to_row(),
            "statusSnapshot": status_snapshot(self.final, self.roles),
        }
        if self.failures:
            row.update(failureCode=self.failures[0], failures=list(self.failures))
        return row


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
