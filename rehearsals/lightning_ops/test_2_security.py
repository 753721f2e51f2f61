"""Security: credentials fail closed, switches deny, roles go through their life, and all is put back."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import pytest

from pytest_l402.evidence import (
    denial_recorded,
    no_row,
    result_shows,
    some_row,
    steady_state_restored,
    triaged_as,
)
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.security.controls import GateDecision
from pytest_l402.ops.security.credentials import (
    CredentialCode,
    CredentialRole,
    CredentialValidationError,
    validate_credentials,
)
from pytest_l402.ops.security.drill import (
    DRILL_OWNER,
    DRILL_ROLE,
    SecurityDrillRefused,
    run_security_drill,
)
from pytest_l402.ops.security.roles import CredentialRoleError, RoleState
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import ControlPlane, Stack

pytestmark = pytest.mark.rehearsal("security", runbook="lightning-ops", section="Commands")


def test_security_controls(
    l402_stack: Stack, l402_control_plane: ControlPlane, l402_evidence: EvidenceCollector
) -> None:
    drill = run_security_drill(l402_control_plane)
    l402_evidence.record("security_drill", drill.to_row())
    paused, killed, recovery = drill.request_ids
    _bring_back_what_was_revoked(l402_control_plane)
    refused = {"refusal": "revoked_fingerprint", "fromStatus": "revoked", "status": "revoked", "version": 1}
    l402_evidence.verify(
        result_shows(
            "security_drill",
            ok=True,
            failClosed__passed=True,
            failClosed__errorTag="CredentialValidationError",
            failClosed__errorCode="missing_credential_role",
            failClosed__role="gateway_invoice",
            failClosed__field="OA_LIGHTNING_OPS_CRED_GATEWAY_INVOICE",
        ).proves("security.fail-closed"),
        result_shows(
            "security_drill",
            globalPause__allowed=False,
            globalPause__denyReasonCode="global_pause_active",
            ownerKillSwitch__allowed=False,
            ownerKillSwitch__denyReasonCode="owner_kill_switch_active",
        ).proves("security.pause-and-kill"),
        *(
            some_row("controls", kind=kind, ownerId=owner, active=active).proves("security.pause-and-kill")
            for kind, owner in (("global_pause", None), ("owner_kill_switch", "owner_security_smoke"))
            for active in (True, False)
        ),
        denial_recorded(paused, "global_pause_active").proves("security.pause-and-kill"),
        denial_recorded(killed, "owner_kill_switch_active").proves("security.pause-and-kill"),
        triaged_as(paused, "policy"),
        triaged_as(killed, "policy"),
        result_shows(
            "security_drill",
            credentialLifecycle__rotatedVersion=1,
            credentialLifecycle__revokedStatus="revoked",
            credentialLifecycle__activatedStatus="active",
            credentialLifecycle__activatedVersion=2,
            recovery__allowed=True,
        ).proves("security.lifecycle"),
        some_row("credential_roles", role="gateway_invoice", operation="revoke").proves("security.lifecycle"),
        some_row("credential_roles", operation="activate", **refused).proves("security.lifecycle"),
        some_row("credential_roles", operation="rotate", **refused).proves("security.lifecycle"),
        some_row(
            "credential_roles", role="settlement_read", status="active", version=2, fingerprint="fp_new"
        ).proves("security.lifecycle"),
        # A role that never had a credential can be shut as well.
        some_row(
            "credential_roles",
            role="operator_admin",
            operation="revoke",
            fromStatus=None,
            status="revoked",
            version=1,
            note="lost",
        ).proves("security.lifecycle"),
        no_row(
            "credential_roles", witness="credential_roles", fromStatus="revoked", fingerprint="fp_revoked"
        ).proves("security.lifecycle"),
        result_shows(
            "security_drill",
            statusSnapshot__globalPauseActive=False,
            statusSnapshot__activeOwnerKillSwitches=0,
            statusSnapshot__credentialRoles=[{"role": "gateway_invoice", "status": "active", "version": 2}],
        ).proves("security.restored"),
        steady_state_restored().proves("security.restored"),
        triaged_as(recovery, "healthy").proves("security.restored"),
    )


def _bring_back_what_was_revoked(control_plane: ControlPlane) -> None:
    """Try to put a revoked credential into service again, then put a new one there."""
    roles, role = control_plane.credential_roles, CredentialRole.SETTLEMENT_READ
    roles.activate(role, fingerprint="fp_revoked")
    roles.revoke(role)
    for operation in (roles.activate, roles.rotate):
        with suppress(CredentialRoleError):
            operation(role, fingerprint="fp_revoked")
    roles.activate(role, fingerprint="fp_new")
    roles.revoke(CredentialRole.OPERATOR_ADMIN, note="lost")
    roles.activate(CredentialRole.OPERATOR_ADMIN, fingerprint="fp_found")


def _ignored(*told: object, **named: object) -> None:
    """What a control plane does that takes no notice."""


def _refuse_all(values: object) -> NoReturn:
    raise CredentialValidationError(CredentialCode.INVALID, CredentialRole.OPERATOR_ADMIN, "anything")


ACCEPT_ALL, AS_IT_IS = (lambda values: values), validate_credentials
OPEN, SHUT = GateDecision(True), GateDecision(False, "global_pause_active")
NOT_CLOSED, NOT_SWITCHED = "credentials_not_fail_closed", "security_state_not_switched"
NOT_PAUSED, NOT_KILLED = "global_pause_not_enforced", "owner_kill_switch_not_enforced"
BROKEN: tuple[tuple[dict[str, Any], Callable[[Any], object], list[str]], ...] = (
    ({"set_global_pause": _ignored}, AS_IT_IS, [NOT_SWITCHED, NOT_PAUSED]),
    ({"set_owner_kill_switch": _ignored}, AS_IT_IS, [NOT_SWITCHED, NOT_KILLED]),
    ({"gate": lambda *asked: OPEN}, AS_IT_IS, [NOT_PAUSED, NOT_KILLED]),
    ({"gate": lambda *asked: SHUT}, AS_IT_IS, [NOT_KILLED, "recovery_denied"]),
    ({}, ACCEPT_ALL, [NOT_CLOSED]),
    ({}, _refuse_all, [NOT_CLOSED, "valid_credentials_refused"]),
)
FOUND = ("active", "rotating", "revoked")


def test_the_drill_says_what_does_not_hold(l402_evidence: EvidenceCollector) -> None:
    for number, (methods, validate, _) in enumerate(BROKEN):
        control = _control_plane(**methods)
        drill = run_security_drill(control, validate=validate)
        l402_evidence.record("drills", {**drill.to_row(), "number": number})
    for status in FOUND:
        control = _control_plane()
        before = _brought_to(control, status)
        drill = run_security_drill(control)
        after = control.credential_roles.state(DRILL_ROLE)
        told = {"status": status, "before": before.to_row(), "after": after and after.to_row()}
        l402_evidence.record("drills_of_a_role", {**drill.to_row(), **told})
    not_rotated = _control_plane()
    not_rotated.credential_roles.rotate = lambda role, **named: not_rotated.credential_roles.revoke(role)  # type: ignore[method-assign]
    l402_evidence.record("drills", {**run_security_drill(not_rotated).to_row(), "number": len(BROKEN)})
    switched = [_is_refused(switch) for switch in (_pause, _kill)]
    l402_evidence.record("refused", {"while_switched": switched})
    wrong = [failures for _, _, failures in BROKEN] + [["credential_lifecycle_wrong"]]
    l402_evidence.verify(
        *(
            some_row("drills", number=number, ok=False, failures=failures, failureCode=failures[0]).proves(
                "security.pause-and-kill"
            )
            for number, failures in enumerate(wrong)
        ),
        some_row("drills", **{"number": len(BROKEN), "credentialLifecycle.activatedVersion": None}).proves(
            "security.lifecycle"
        ),
        *(
            some_row(
                "drills_of_a_role",
                **{
                    "before.status": status,
                    "after.status": status,
                    "after.note": "security drill",
                    "credentialLifecycle.rotatedVersion": 2,
                },
                ok=True,
            ).proves("security.restored")
            for status in FOUND
        ),
        *(
            some_row("drills_of_a_role", **{"status": status, "after.fingerprint": "fp_live"}).proves(
                "security.restored"
            )
            for status in FOUND[:2]
        ),
        result_shows("refused", while_switched=[True, True]).proves("security.restored"),
    )


def _control_plane(**methods: Any) -> ControlPlane:
    control = ControlPlane(Harness(402))
    for name, method in methods.items():
        setattr(control, name, method)
    return control


def _brought_to(control: ControlPlane, status: str) -> RoleState:
    roles = control.credential_roles
    state = roles.rotate(DRILL_ROLE, fingerprint="fp_live")
    if status != "rotating":
        state = roles.activate(DRILL_ROLE)
    return roles.revoke(DRILL_ROLE) if status == "revoked" else state


def _pause(control: ControlPlane) -> None:
    control.set_global_pause(True)


def _kill(control: ControlPlane) -> None:
    control.set_owner_kill_switch(DRILL_OWNER, True)


def _is_refused(switch: Callable[[ControlPlane], None]) -> bool:
    """Whether nothing is drilled while a switch is on that the drill would have to switch."""
    control = _control_plane()
    switch(control)
    try:
        run_security_drill(control)
    except SecurityDrillRefused:
        return True
    return False
