"""Decides how the security controls of a deployed control plane are drilled, and what is kept to undo it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from pytest_l402.contract import CamelDocument
from pytest_l402.contract.scalars import AnyText, Flag, member_of
from pytest_l402.live.change_notes import Change, ChangeKind, ChangeNotes
from pytest_l402.live.control_plane import SECURITY_STATE, LiveControlPlane
from pytest_l402.live.live_error import LiveError
from pytest_l402.live.permission import Permission
from pytest_l402.live.reported import Number, member_named, reported
from pytest_l402.ops.security.controls import (
    GLOBAL_PAUSE_ACTIVE,
    OWNER_KILL_SWITCH_ACTIVE,
    GateDecision,
    SecurityState,
)
from pytest_l402.ops.security.credentials import CredentialRole
from pytest_l402.ops.security.roles import RoleOperation, RoleState, RoleStatus, way_back

UPDATED_BY: Final = "pytest-l402"
_UNDONE: Final = "it is undone before the command ends"


# Protobuf's JSON may write a text that is not there as an empty one.
_Known = Annotated[AnyText | None, AfterValidator(lambda text: text or None)]


class _SwitchReport(CamelDocument):
    global_pause: Flag
    deny_reason: Any = None


class _OwnerReport(CamelDocument):
    owner_id: AnyText
    kill_switch: Flag
    deny_reason: Any = None


class _SecurityReport(CamelDocument):
    switch: _SwitchReport = Field(alias="global")
    owner_controls: tuple[_OwnerReport, ...]


class _RoleReport(CamelDocument):
    role: Annotated[CredentialRole, member_of(CredentialRole), member_named(CredentialRole)]
    status: Annotated[RoleStatus, member_of(RoleStatus), member_named(RoleStatus)]
    version: Number
    updated_at_ms: Number
    fingerprint: _Known = None
    note: _Known = None
    last_rotated_at_ms: Number | None = None
    revoked_at_ms: Number | None = None

    @property
    def state(self) -> RoleState:
        return RoleState(**dict(self))


class _RolesReport(CamelDocument):
    credential_roles: tuple[_RoleReport, ...]


class LiveSecurityControls:
    """The switches, gate and roles of a deployed control plane (`stack.ops.security_controls`).

    Each change is announced, and written down before it is made; it is struck out once it is seen to be
    undone: an answer alone does not show that. The gate is decided here, from the state that the control
    plane reports, in the platform's order: its operations API has no gate of its own.
    """

    def __init__(self, plane: LiveControlPlane, notes: ChangeNotes, permission: Permission) -> None:
        self._plane = plane
        self._notes = notes
        self._permission = permission
        self.credential_roles = LiveCredentialRoles(plane, notes, permission)

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall of the deployed platform, or resume. Raises `ChangeRefused`, `LiveError`."""
        if active:
            self._begin(ChangeKind.GLOBAL_PAUSE, "pause every paywall of the platform", reason)
        arguments = {"active": active, "updatedBy": UPDATED_BY, "reason": reason}
        self._plane.mutation("lightning/security:setGlobalPause", _given(arguments))
        if not active and not self.security_state().global_pause:
            self._notes.end(ChangeKind.GLOBAL_PAUSE)

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        """Stop everything of one owner, or let it go on. Raises `ChangeRefused`, `LiveError`."""
        if active:
            what = f"switch on the kill switch of owner {owner_id}"
            self._begin(ChangeKind.OWNER_KILL_SWITCH, what, reason, owner_id)
        arguments = {"ownerId": owner_id, "active": active, "updatedBy": UPDATED_BY, "reason": reason}
        self._plane.mutation("lightning/security:setOwnerKillSwitch", _given(arguments))
        if not active and owner_id not in self.security_state().killed_owners:
            self._notes.end(ChangeKind.OWNER_KILL_SWITCH, owner_id)

    def security_state(self) -> SecurityState:
        """Return the global pause and the owners whose kill switch is on. Raises `LiveError`."""
        state = reported(self._plane.where, _SecurityReport, self._plane.query(SECURITY_STATE, {}))
        reason = state.switch.deny_reason
        killed = [owner for owner in state.owner_controls if owner.kill_switch]
        return SecurityState(
            state.switch.global_pause,
            reason if isinstance(reason, str) and state.switch.global_pause else None,
            tuple(sorted(owner.owner_id for owner in killed)),
            {owner.owner_id: owner.deny_reason for owner in killed if _is_told(owner.deny_reason)},
        )

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        """Decide from the reported state whether a request may go on: the global pause before the owner.

        Raises:
            LiveError: the state cannot be read.
        """
        state = self.security_state()
        if state.global_pause:
            return GateDecision(False, GLOBAL_PAUSE_ACTIVE, state.global_reason)
        if owner_id in state.killed_owners:
            return GateDecision(False, OWNER_KILL_SWITCH_ACTIVE, state.owner_reasons.get(str(owner_id)))
        return GateDecision(True)

    def undo(self, change: Change) -> None:
        """Undo a change that was written down, if it was made and is still ours; then strike it out.

        Raises:
            LiveError: it cannot be undone; the note stays.
        """
        match change.kind:
            case ChangeKind.DEPLOYMENT:
                raise ValueError("a deployment is no security control")
            case ChangeKind.GLOBAL_PAUSE:
                self._release_pause(change)
            case ChangeKind.OWNER_KILL_SWITCH:
                self._release_owner(str(change.subject))
            case ChangeKind.CREDENTIAL_ROLE:
                found = None if change.found is None else role_state(self._notes.path.name, change.found)
                self.credential_roles.recover(CredentialRole(str(change.subject)), found)
        self._notes.end(change.kind, change.subject)

    def _release_pause(self, change: Change) -> None:
        # A pause with another reason is somebody's answer to an incident; one without any may be ours.
        def is_ours() -> bool:
            state = self.security_state()
            return state.global_pause and state.global_reason in (change.reason, None)

        if is_ours():
            self.set_global_pause(False)
            if is_ours():
                raise self._still_on("the global pause")

    def _release_owner(self, owner_id: str) -> None:
        if owner_id in self.security_state().killed_owners:
            self.set_owner_kill_switch(owner_id, False)
            if owner_id in self.security_state().killed_owners:
                raise self._still_on(f"the kill switch of {owner_id}")

    def _still_on(self, what: str) -> LiveError:
        return LiveError(
            self._plane.where,
            code="not_undone",
            expected=f"{what} off once it was switched off",
            seen="it on",
            remedy=f"switch it off by hand now; {self._notes.path} keeps word of it",
        )

    def _begin(self, kind: ChangeKind, what: str, reason: str | None, subject: str | None = None) -> None:
        where = self._plane.where
        self._permission.announce(self._plane.url, where, f"{what}; {_UNDONE}")
        self._notes.begin(Change(kind=kind, where=where, what=what, subject=subject, reason=reason))


class LiveCredentialRoles:
    """The credential roles of a deployed control plane (`stack.ops.security_controls.RoleControls`)."""

    def __init__(self, plane: LiveControlPlane, notes: ChangeNotes, permission: Permission) -> None:
        self._plane = plane
        self._notes = notes
        self._permission = permission

    def state(self, role: CredentialRole) -> RoleState | None:
        """Return how a role stands, or None if nothing was ever done to it. Raises `LiveError`."""
        return next((state for state in self.states() if state.role is role), None)

    def states(self) -> tuple[RoleState, ...]:
        """Return every role to which something was done, by name. Raises `LiveError`."""
        answer = reported(self._plane.where, _RolesReport, self._plane.query(SECURITY_STATE, {}))
        return tuple(
            sorted((report.state for report in answer.credential_roles), key=lambda state: state.role.value)
        )

    def rotate(
        self, role: CredentialRole, *, fingerprint: str | None = None, note: str | None = None
    ) -> RoleState:
        """Begin to hand out a new credential. Raises `ChangeRefused`, `LiveError`."""
        return self._change("rotateCredentialRole", role, fingerprint=fingerprint, note=note)

    def activate(
        self, role: CredentialRole, *, fingerprint: str | None = None, note: str | None = None
    ) -> RoleState:
        """Put a credential into service. Raises `ChangeRefused`, `LiveError`."""
        return self._change("activateCredentialRole", role, fingerprint=fingerprint, note=note)

    def revoke(self, role: CredentialRole, *, note: str | None = None) -> RoleState:
        """Take the role out of service. Raises `ChangeRefused`, `LiveError`."""
        return self._change("revokeCredentialRole", role, note=note)

    def recover(
        self, role: CredentialRole, found: RoleState | None, *, note: str | None = None
    ) -> RoleState | None:
        """Bring a role back to how it was found, and strike its note out. Raises `LiveError`."""
        now = self.state(role)
        fingerprint = None if found is None else found.fingerprint
        match way_back(now, found):
            case RoleOperation.ROTATE:
                now = self.rotate(role, fingerprint=fingerprint, note=note)
            case RoleOperation.REVOKE:
                now = self.revoke(role, note=note)
            case RoleOperation.ACTIVATE:
                if fingerprint is None and now is not None and now.status is RoleStatus.ROTATING:
                    # An activation may keep the fingerprint being handed out; a revoked role has none.
                    self.revoke(role, note=note)
                now = self.activate(role, fingerprint=fingerprint, note=note)
        if way_back(self.state(role), found) is not None:
            raise LiveError(
                self._plane.where,
                code="not_undone",
                expected=f"credential role {role.value} as it was found",
                seen=f"it {'without a state' if now is None else now.status.value}",
                remedy=f"bring it back by hand now; {self._notes.path} keeps word of it",
            )
        self._notes.end(ChangeKind.CREDENTIAL_ROLE, role.value)
        return now

    def _change(self, function: str, role: CredentialRole, **arguments: str | None) -> RoleState:
        kind = ChangeKind.CREDENTIAL_ROLE
        if not any(change.key == (kind, role.value) for change in self._notes.underway):
            where, what = self._plane.where, f"rotate, revoke and activate credential role {role.value}"
            self._permission.announce(self._plane.url, where, f"{what}; {_UNDONE}")
            found = self.state(role)
            row = None if found is None else found.to_row()
            self._notes.begin(Change(kind=kind, where=where, what=what, subject=role.value, found=row))
        given = _given({"role": role.value, **arguments})
        answer = self._plane.mutation(f"lightning/security:{function}", given)
        return role_state(self._plane.where, answer.get("role"))


def _is_told(reason: object) -> bool:
    return isinstance(reason, str) and bool(reason)


def role_state(where: str, row: object) -> RoleState:
    """Return the state of a role that was reported at `where`, in either spelling. Raises `LiveError`."""
    return reported(where, _RoleReport, row).state


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}
