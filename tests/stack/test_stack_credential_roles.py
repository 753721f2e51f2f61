"""Which credential of a role is in service, and the history of how it came to that."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.harness.harness import Harness
from pytest_l402.ops.security.credentials import CredentialRole
from pytest_l402.ops.security.roles import CredentialRoleError, RoleStatus
from pytest_l402.stack import ControlPlane
from pytest_l402.stack.control.credential_roles import CredentialRoles

ROLE = "gateway_invoice"
FP = "fp_one"


class Registry:
    def __init__(self) -> None:
        harness = Harness()
        self.clock, self.journal = harness.clock, harness.journal
        self.roles = CredentialRoles(harness)

    def history(self) -> tuple[dict[str, Any], ...]:
        return self.journal.rows("credential_roles")


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_rotate_revoke_activate_from_nothing(registry: Registry) -> None:
    roles = registry.roles
    states = [roles.rotate(ROLE), roles.revoke(ROLE), roles.activate(ROLE)]
    assert [(state.status.value, state.version) for state in states] == [
        ("rotating", 1),
        ("revoked", 1),
        ("active", 2),
    ]
    assert roles.state(ROLE) == states[-1]


@pytest.mark.parametrize(
    ("before", "operation", "status", "version"),
    [
        ((), "rotate", "rotating", 1),
        ((), "revoke", "revoked", 1),
        ((), "activate", "active", 1),
        (("activate",), "rotate", "rotating", 2),
        (("activate",), "activate", "active", 2),
        (("activate",), "revoke", "revoked", 1),
        (("rotate",), "activate", "active", 1),
        (("rotate",), "rotate", "rotating", 2),
        (("rotate",), "revoke", "revoked", 1),
        (("revoke",), "rotate", "rotating", 2),
        (("revoke",), "activate", "active", 2),
        (("revoke",), "revoke", "revoked", 1),
    ],
)
def test_each_operation_on_each_status(
    registry: Registry, before: tuple[str, ...], operation: str, status: str, version: int
) -> None:
    for step in before:
        getattr(registry.roles, step)(ROLE)
    state = getattr(registry.roles, operation)(ROLE)
    assert (state.status.value, state.version) == (status, version)


def test_times_say_when_it_was_rotated_and_revoked(registry: Registry) -> None:
    rotated = registry.roles.rotate(ROLE)
    revoked = registry.roles.revoke(ROLE)
    activated = registry.roles.activate(ROLE)
    assert rotated.last_rotated_at_ms == rotated.updated_at_ms
    assert rotated.revoked_at_ms is None
    # As the platform records a revocation: of the rotation before it nothing is left.
    assert revoked.last_rotated_at_ms is None
    assert revoked.revoked_at_ms == revoked.updated_at_ms > rotated.updated_at_ms
    assert activated.last_rotated_at_ms == activated.updated_at_ms > revoked.updated_at_ms
    assert activated.revoked_at_ms is None


def test_the_fingerprint_handed_out_is_the_one_put_into_service(registry: Registry) -> None:
    registry.roles.activate(ROLE, fingerprint="fp_old")
    registry.roles.rotate(ROLE, fingerprint="fp_new")
    assert registry.roles.activate(ROLE).fingerprint == "fp_new"
    # Whoever activates again without naming a credential has put in one that nobody knows.
    assert registry.roles.activate(ROLE).fingerprint is None
    assert registry.roles.revoke(ROLE).fingerprint is None


def test_another_fingerprint_at_activation_wins(registry: Registry) -> None:
    registry.roles.rotate(ROLE, fingerprint="fp_new")
    assert registry.roles.activate(ROLE, fingerprint="fp_newer").fingerprint == "fp_newer"


@pytest.mark.parametrize("operation", ["rotate", "activate"])
def test_what_was_revoked_never_comes_back(registry: Registry, operation: str) -> None:
    registry.roles.activate(ROLE, fingerprint=FP)
    revoked = registry.roles.revoke(ROLE)
    registry.roles.activate(ROLE, fingerprint="fp_two")
    before = registry.roles.state(ROLE)
    with pytest.raises(CredentialRoleError, match="revoked_fingerprint") as error:
        getattr(registry.roles, operation)(ROLE, fingerprint=FP, note="again")
    assert error.value.code == "revoked_fingerprint"
    assert registry.roles.state(ROLE) == before != revoked
    # Another role has credentials of its own.
    assert getattr(registry.roles, operation)("operator_admin", fingerprint=FP).fingerprint == FP


@pytest.mark.parametrize("operation", ["rotate", "activate"])
@pytest.mark.parametrize(
    "fingerprint",
    ["", "fp_", "fp_" + "a" * 65, "gateway-credential-0123456789", "sha256:" + "A" * 16, "sha256:" + "a" * 15,
     "sha256:" + "a" * 65, "fp_a b", "fp_a\n", 7],
)  # fmt: skip
def test_what_may_be_the_credential_itself_is_no_fingerprint(
    registry: Registry, operation: str, fingerprint: Any
) -> None:
    with pytest.raises(CredentialRoleError) as error:
        getattr(registry.roles, operation)(ROLE, fingerprint=fingerprint)
    assert error.value.code == "invalid_fingerprint"
    assert registry.roles.state(ROLE) is None
    assert not fingerprint or str(fingerprint).strip() == "fp_" or str(fingerprint) not in str(error.value)
    assert "gateway-credential" not in repr(registry.history())


@pytest.mark.parametrize("fingerprint", ["sha256:" + "a" * 16, "sha256:" + "0" * 64, "fp_A.b-c_9"])
def test_digests_and_names_are_fingerprints(registry: Registry, fingerprint: str) -> None:
    assert registry.roles.rotate(ROLE, fingerprint=fingerprint).fingerprint == fingerprint


@pytest.mark.parametrize("operation", ["rotate", "activate", "revoke", "state"])
@pytest.mark.parametrize("role", ["", "Gateway_Invoice", "root", None, 3])
def test_an_unknown_role_is_refused(registry: Registry, operation: str, role: Any) -> None:
    with pytest.raises(CredentialRoleError) as error:
        getattr(registry.roles, operation)(role)
    assert error.value.code == "unknown_credential_role"
    assert registry.history() == ()


def test_the_history_is_appended_and_keeps_refusals(registry: Registry) -> None:
    registry.roles.rotate(ROLE, fingerprint=FP, note="monthly")
    registry.roles.revoke(ROLE, note="lost, token=abcdef0123456789")
    with pytest.raises(CredentialRoleError):
        registry.roles.activate(ROLE, fingerprint=FP)
    registry.roles.activate(ROLE, fingerprint="fp_two")
    keys = ("operation", "refusal", "fromStatus", "fromVersion", "status", "version")
    told = [tuple(row[key] for key in keys) for row in registry.history()]
    assert told == [
        ("rotate", None, None, None, "rotating", 1),
        ("revoke", None, "rotating", 1, "revoked", 1),
        ("activate", "revoked_fingerprint", "revoked", 1, "revoked", 1),
        ("activate", None, "revoked", 1, "active", 2),
    ]
    assert [row["note"] for row in registry.history()][:2] == ["monthly", "lost, token=[redacted]"]
    first = registry.history()[0]
    assert list(first) == ["role", *keys, "fingerprint", "note", "lastRotatedAtMs", "revokedAtMs", "atMs"]
    times = [row["atMs"] for row in registry.history()]
    assert times == sorted(times)


def test_a_state_as_a_row_leaves_out_what_it_does_not_have(registry: Registry) -> None:
    state = registry.roles.revoke(ROLE)
    assert state.to_row() == {
        "role": ROLE,
        "status": "revoked",
        "version": 1,
        "updatedAtMs": state.updated_at_ms,
        "revokedAtMs": state.updated_at_ms,
    }


def test_a_state_as_a_row_shows_all_it_has(registry: Registry) -> None:
    state = registry.roles.rotate(ROLE, fingerprint=FP, note="monthly")
    assert state.to_row() == {
        "role": ROLE,
        "status": "rotating",
        "version": 1,
        "fingerprint": FP,
        "note": "monthly",
        "updatedAtMs": state.updated_at_ms,
        "lastRotatedAtMs": state.updated_at_ms,
    }
    with pytest.raises(AttributeError):
        state.version = 2  # type: ignore[misc]


def test_a_refusal_says_what_was_expected_seen_and_to_do(registry: Registry) -> None:
    with pytest.raises(CredentialRoleError) as error:
        registry.roles.rotate("root")
    assert str(error.value) == (
        'credential role "root": expected one of gateway_invoice, settlement_read, operator_admin (runbook '
        'lightning-ops, smoke:security), saw "root"; name one of the three roles [unknown_credential_role]'
    )


def test_states_come_by_name(registry: Registry) -> None:
    for role in CredentialRole:
        registry.roles.activate(role)
    assert [state.role.value for state in registry.roles.states()] == sorted(CredentialRole)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["rotate", "activate", "revoke"]), st.sampled_from([None, "fp_1", "fp_2", "fp_3"])
    ),
    max_size=6,
)


def play(registry: Registry, steps: list[tuple[str, str | None]]) -> None:
    for operation, fingerprint in steps:
        given_too = {} if operation == "revoke" else {"fingerprint": fingerprint}
        # The fingerprints are well formed, so that the one refusal there can be is of a revoked one.
        with contextlib.suppress(CredentialRoleError):
            getattr(registry.roles, operation)(ROLE, **given_too)


@given(STEPS)
def test_versions_never_fall_and_every_step_is_in_the_history(steps: list[tuple[str, str | None]]) -> None:
    registry = Registry()
    play(registry, steps)
    history = registry.history()
    assert [row["operation"] for row in history] == [operation for operation, _ in steps]
    versions = [row["version"] for row in history if row["version"] is not None]
    assert versions == sorted(versions)
    gone: set[str] = set()
    fingerprint = None
    for row in history:
        if row["operation"] == "revoke" and fingerprint is not None:
            gone.add(fingerprint)
        fingerprint = row["fingerprint"]
        assert fingerprint not in gone


@given(STEPS, STEPS)
def test_a_role_recovers_to_how_it_was_found(
    before: list[tuple[str, str | None]], between: list[tuple[str, str | None]]
) -> None:
    registry = Registry()
    play(registry, before)
    found = registry.roles.state(ROLE)
    # What the found credential is revoked for meanwhile cannot be undone, and is a story of its own.
    kept = [step for step in between if found is None or found.fingerprint is None or step[0] != "revoke"]
    play(registry, kept)
    touched = registry.roles.state(ROLE) != found
    now = registry.roles.recover(ROLE, found)
    assert now == registry.roles.state(ROLE)
    if found is None:
        assert (now is None) is not touched
        assert now is None or now.status is RoleStatus.ACTIVE
    else:
        assert now is not None
        assert (now.status, now.fingerprint) == (found.status, found.fingerprint)
    again = len(registry.history())
    assert registry.roles.recover(ROLE, found) == now
    assert len(registry.history()) == again


def test_a_credential_that_was_revoked_meanwhile_is_not_recovered(registry: Registry) -> None:
    found = registry.roles.activate(ROLE, fingerprint=FP)
    registry.roles.revoke(ROLE)
    with pytest.raises(CredentialRoleError, match="revoked_fingerprint"):
        registry.roles.recover(ROLE, found)


def test_the_control_plane_keeps_roles_and_says_which_are_out_of_service() -> None:
    control = ControlPlane(Harness(1))
    assert control.roles_out_of_service() == ()
    control.credential_roles.activate("operator_admin")
    control.credential_roles.revoke(ROLE)
    control.credential_roles.rotate("settlement_read")
    assert control.roles_out_of_service() == ("gateway_invoice revoked", "settlement_read rotating")
