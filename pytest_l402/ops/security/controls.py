"""Decides what a control plane must be able to do before its security controls can be drilled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pytest_l402.ops.security.credentials import CredentialRole
from pytest_l402.ops.security.roles import RoleState

GLOBAL_PAUSE_ACTIVE = "global_pause_active"
OWNER_KILL_SWITCH_ACTIVE = "owner_kill_switch_active"


class RoleControls(Protocol):
    """What the drill does to credential roles; each operation returns the state it left."""

    def state(self, role: CredentialRole) -> RoleState | None:
        """Return how a role stands, or None if nothing was ever done to it."""
        ...

    def states(self) -> tuple[RoleState, ...]:
        """Return every role to which something was done, by name."""
        ...

    def rotate(
        self, role: CredentialRole, *, fingerprint: str | None = None, note: str | None = None
    ) -> RoleState:
        """Begin to hand out a new credential."""
        ...

    def activate(
        self, role: CredentialRole, *, fingerprint: str | None = None, note: str | None = None
    ) -> RoleState:
        """Put a credential into service."""
        ...

    def revoke(self, role: CredentialRole, *, note: str | None = None) -> RoleState:
        """Take the role out of service."""
        ...

    def recover(
        self, role: CredentialRole, found: RoleState | None, *, note: str | None = None
    ) -> RoleState | None:
        """Bring a role back to how it was found; a role that stands so already is left alone."""
        ...


class SecurityControls(Protocol):
    """The security half of a control plane: its switches, its gate, its credential roles."""

    @property
    def credential_roles(self) -> RoleControls:
        """The credential roles."""
        ...

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall, or resume."""
        ...

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        """Stop everything of one owner, or let it go on."""
        ...

    def security_state(self) -> SecurityState:
        """Return the switches as they stand."""
        ...

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        """Decide whether a request may go on, and record the decision."""
        ...


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Allowed, or the stable `code` and the `reason` in words for which the request is denied."""

    allowed: bool
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SecurityState:
    """The switches as they stand: `global_pause`, and the owners whose kill switch is on, sorted.

    `owner_reasons` holds why, in words, for each owner of whom that is told.
    """

    global_pause: bool
    global_reason: str | None
    killed_owners: tuple[str, ...]
    owner_reasons: Mapping[str, str] = field(default_factory=dict, hash=False)
