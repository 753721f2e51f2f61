"""Security: credentials fail closed, switches deny, roles go through their life, and all is put back."""

from contextlib import suppress

import pytest

from pytest_l402.evidence import (
    denial_recorded,
    no_row,
    result_shows,
    some_row,
    steady_state_restored,
    triaged_as,
)
from pytest_l402.ops.security.credentials import CredentialRole
from pytest_l402.ops.security.drill import run_security_drill
from pytest_l402.ops.security.roles import CredentialRoleError
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
