"""Decides what a control plane must be able to do before its security controls can be drilled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_l402.stack.security_gate import GateDecision, SecurityState

    from .credential_roles import RoleState
    from .credential_validation import CredentialRole


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
