"""Decides whether the security controls work: each is switched on, seen to deny, and switched off again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from pytest_l402.ops.security.controls import (
    GLOBAL_PAUSE_ACTIVE,
    OWNER_KILL_SWITCH_ACTIVE,
    RoleControls,
    SecurityControls,
    SecurityState,
)
from pytest_l402.ops.security.credentials import (
    CredentialCode,
    CredentialRole,
    CredentialValidationError,
    validate_credentials,
)
from pytest_l402.ops.security.roles import RoleState, RoleStatus, way_back
from pytest_l402.ops.security.summary import CredentialLifecycle, SecurityDrill
from pytest_l402.ops.security.undo import NotUndone, Undo

DRILL_OWNER = "owner_security_smoke"
"""The owner whose kill switch is drilled; nobody sells under this name."""
DRILL_ROLE = CredentialRole.GATEWAY_INVOICE
PAUSE_REASON = "security drill: global pause"
KILL_REASON = "security drill: owner kill switch"
_NOTE = "security drill"
_Validation: TypeAlias = Callable[[Mapping[str, str]], object]
# Of the least length that may be used, and below of one less: a bound is held from both sides.
_GOOD: Mapping[str, str] = {role.value: "sixteen-letters!" for role in CredentialRole}
_UNUSABLE = (
    ("", CredentialCode.MISSING),
    ("fifteen-letters", CredentialCode.INVALID),
    ("long enough, with blanks", CredentialCode.INVALID),
)


class SecurityDrillRefused(RuntimeError):  # noqa: N818 - the outcome's name
    """A switch is on that the drill would have to switch: nothing was touched."""

    code = "security_drill_refused"

    def __init__(self, seen: str) -> None:
        super().__init__(
            "security drill: expected every switch it uses to be off (runbook lightning-ops, "
            f"smoke:security), saw {seen}; nothing was changed: end what it is on for, then drill"
        )


class SecurityDrillResidue(RuntimeError):  # noqa: N818 - the outcome's name
    """Something that the drill switched on could not be switched off; `left` names it."""

    code = "security_drill_residue"

    def __init__(self, left: tuple[str, ...]) -> None:
        super().__init__(
            "security drill: expected everything to be as before (runbook lightning-ops, smoke:security), "
            f"saw {', '.join(left)} left behind; undo it by hand in the control plane now"
        )
        self.left = left


def run_security_drill(
    control: SecurityControls,
    *,
    request_id: str = "smoke:security",
    validate: _Validation = validate_credentials,
) -> SecurityDrill:
    """Drill the security controls of a control plane, and leave it as it was found, also when interrupted.

    In order: credentials that must be refused and one set that must not; kill switch and global pause on, the
    gate asked; pause off, asked; kill switch off; the gateway's role rotated, revoked, activated; asked. What
    does not hold is in `failures`; nothing else stops the drill. Versions of the role grow by two or more:
    they never go back. A pause that somebody else sets meanwhile, with a reason of their own, stays.

    Source: runbook lightning-ops, smoke:security.

    Raises:
        SecurityDrillRefused: the global pause, or the drill owner's kill switch, is on already.
        SecurityDrillResidue: something could not be undone, whatever else was raised.
    """
    before = control.security_state()
    _refuse_if_on(before)
    ids = (f"{request_id}:global-pause", f"{request_id}:owner-kill-switch", f"{request_id}:recovery")
    fail_closed, empty_credential = _fail_closed(validate)
    accepted = _refusal(validate, _GOOD) is None
    roles = control.credential_roles
    found = roles.state(DRILL_ROLE)
    try:
        with Undo() as undo:
            undo.add("the owner kill switch", lambda: _release_owner(control))
            control.set_owner_kill_switch(DRILL_OWNER, True, KILL_REASON)
            undo.add("the global pause", lambda: _release_pause(control))
            control.set_global_pause(True, PAUSE_REASON)
            both_on = control.security_state()
            paused = control.gate(ids[0], DRILL_OWNER, None)
            _release_pause(control)
            killed = control.gate(ids[1], DRILL_OWNER, None)
            _release_owner(control)
            undo.add("the credential role", lambda: _recover(roles, found))
            lifecycle, lifecycle_right = _lifecycle(roles, found)
    except NotUndone as error:
        raise SecurityDrillResidue(error.left) from error.__cause__
    recovery = control.gate(ids[2], DRILL_OWNER, None)
    final = control.security_state()
    verdicts = {
        "credentials_not_fail_closed": fail_closed,
        "valid_credentials_refused": accepted,
        "security_state_not_switched": both_on.global_pause and DRILL_OWNER in both_on.killed_owners,
        "global_pause_not_enforced": not paused.allowed and paused.code == GLOBAL_PAUSE_ACTIVE,
        "owner_kill_switch_not_enforced": not killed.allowed and killed.code == OWNER_KILL_SWITCH_ACTIVE,
        "credential_lifecycle_wrong": lifecycle_right,
        "recovery_denied": recovery.allowed,
        "controls_not_restored": final == before and _is_as_found(roles.state(DRILL_ROLE), found),
    }
    return SecurityDrill(
        fail_closed=fail_closed,
        empty_credential=empty_credential,
        global_pause=paused,
        owner_kill_switch=killed,
        recovery=recovery,
        lifecycle=lifecycle,
        final=final,
        roles=roles.states(),
        request_ids=ids,
        failures=tuple(code for code, holds in verdicts.items() if not holds),
    )


def _refuse_if_on(state: SecurityState) -> None:
    if state.global_pause:
        raise SecurityDrillRefused("the global pause on")
    if DRILL_OWNER in state.killed_owners:
        raise SecurityDrillRefused(f"the kill switch of {DRILL_OWNER} on")


def _fail_closed(validate: _Validation) -> tuple[bool, CredentialValidationError | None]:
    """Offer credentials of which one role's is unusable, each in turn; return whether all were refused."""
    first: CredentialValidationError | None = None
    passed = True
    for role in CredentialRole:
        for value, code in _UNUSABLE:
            error = _refusal(validate, {**_GOOD, role.value: value})
            first = error if (role, value) == (DRILL_ROLE, "") else first
            passed = passed and error is not None and (error.role, error.code) == (role, code)
    return passed, first


def _refusal(validate: _Validation, values: Mapping[str, str]) -> CredentialValidationError | None:
    try:
        validate(values)
    except CredentialValidationError as error:
        return error
    return None


def _lifecycle(roles: RoleControls, found: RoleState | None) -> tuple[CredentialLifecycle, bool]:
    """Rotate, revoke and activate; return the states, and whether each was right and could be read back."""
    version = 1 if found is None else found.version + 1
    # A fingerprint of this drill alone: the drill revokes it, and what was revoked never comes back.
    rotated = roles.rotate(DRILL_ROLE, fingerprint=f"fp_security_drill_{version}", note=_NOTE)
    if not _is(rotated, RoleStatus.ROTATING, version) or roles.state(DRILL_ROLE) != rotated:
        # Without a rotation, the credential to be revoked would be the one in use.
        return CredentialLifecycle(rotated), False
    revoked = roles.revoke(DRILL_ROLE, note=_NOTE)
    right = _is(revoked, RoleStatus.REVOKED, version) and roles.state(DRILL_ROLE) == revoked
    in_use = None if found is None else found.fingerprint
    activated = roles.activate(DRILL_ROLE, fingerprint=in_use, note=_NOTE)
    right = right and _is(activated, RoleStatus.ACTIVE, version + 1) and roles.state(DRILL_ROLE) == activated
    return CredentialLifecycle(rotated, revoked, activated), right


def _is(state: RoleState, status: RoleStatus, version: int) -> bool:
    return (state.status, state.version) == (status, version)


def _is_as_found(now: RoleState | None, found: RoleState | None) -> bool:
    return way_back(now, found) is None and (found is None or now is not None)


def _recover(roles: RoleControls, found: RoleState | None) -> None:
    roles.recover(DRILL_ROLE, found, note=_NOTE)
    if not _is_as_found(roles.state(DRILL_ROLE), found):
        raise RuntimeError("the credential role is not as it was found")


def _release_pause(control: SecurityControls) -> None:
    # A pause with another reason is somebody's answer to an incident; one without any may be the drill's.
    if _is_paused_by_drill(control):
        control.set_global_pause(False)
        if _is_paused_by_drill(control):
            raise RuntimeError("the global pause is still on")


def _is_paused_by_drill(control: SecurityControls) -> bool:
    state = control.security_state()
    return state.global_pause and state.global_reason in (PAUSE_REASON, None)


def _release_owner(control: SecurityControls) -> None:
    if DRILL_OWNER in control.security_state().killed_owners:
        control.set_owner_kill_switch(DRILL_OWNER, False)
        if DRILL_OWNER in control.security_state().killed_owners:
            raise RuntimeError("the owner kill switch is still on")
