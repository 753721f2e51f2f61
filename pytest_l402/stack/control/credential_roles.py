"""Which credential of each role is in service, and keeps the history of how it came to that."""

from __future__ import annotations

from pytest_l402.boundary import printable, quoted, redact_text
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.security.credentials import CredentialRole
from pytest_l402.ops.security.roles import (
    FINGERPRINT,
    CredentialRoleError,
    RoleOperation,
    RoleRefusal,
    RoleState,
    RoleStatus,
    way_back,
)

TABLE = "credential_roles"


class CredentialRoles:
    """The roles of one control plane; every operation, also a refused one, is appended to `credential_roles`.

    No order of operations is refused: that of an emergency cannot be foreseen. Refused is what no emergency
    asks for: an unknown role, a fingerprint that may be the credential itself, and one that was revoked.
    Fingerprints are `sha256:` with 16 to 64 hex digits, or `fp_` and a name; notes are redacted.
    """

    def __init__(self, harness: Harness) -> None:
        self._journal = harness.journal
        self._clock = harness.clock
        self._states: dict[CredentialRole, RoleState] = {}
        self._revoked: dict[CredentialRole, set[str]] = {}

    def state(self, role: CredentialRole | str) -> RoleState | None:
        """Return how a role stands, or None if nothing was ever done to it. Raises `CredentialRoleError`."""
        return self._states.get(_known(role))

    def states(self) -> tuple[RoleState, ...]:
        """Return how every role stands to which something was done, by name."""
        return tuple(sorted(self._states.values(), key=lambda state: state.role.value))

    def rotate(
        self, role: CredentialRole | str, *, fingerprint: str | None = None, note: str | None = None
    ) -> RoleState:
        """Begin to hand out a new credential: status `rotating`, the next version.

        Raises:
            CredentialRoleError: unknown role, or a fingerprint that is malformed or was revoked.
        """
        return self._hand_out(RoleOperation.ROTATE, _known(role), fingerprint, note)

    def activate(
        self, role: CredentialRole | str, *, fingerprint: str | None = None, note: str | None = None
    ) -> RoleState:
        """Put a credential into service: the one being handed out, or else the next version.

        Without a fingerprint, that of the credential being handed out stays.

        Raises:
            CredentialRoleError: unknown role, or a fingerprint that is malformed or was revoked.
        """
        known = _known(role)
        before = self._states.get(known)
        if fingerprint is None and before is not None and before.status is RoleStatus.ROTATING:
            fingerprint = before.fingerprint
        return self._hand_out(RoleOperation.ACTIVATE, known, fingerprint, note)

    def revoke(self, role: CredentialRole | str, *, note: str | None = None) -> RoleState:
        """Take the role out of service; the fingerprint it had never comes back.

        A role that never had a credential can be revoked too, and stays shut until one is activated.

        Raises:
            CredentialRoleError: unknown role.
        """
        role = _known(role)
        before, at_ms = self._states.get(role), self._clock.tick()
        if before is not None and before.fingerprint is not None:
            self._revoked.setdefault(role, set()).add(before.fingerprint)
        version = 1 if before is None else before.version
        # As the platform records it: what is not of the revocation is gone, also when it was last rotated.
        state = RoleState(role, RoleStatus.REVOKED, version, at_ms, note=_shown(note), revoked_at_ms=at_ms)
        return self._keep(RoleOperation.REVOKE, before, state)

    def recover(
        self, role: CredentialRole | str, found: RoleState | None, *, note: str | None = None
    ) -> RoleState | None:
        """Bring a role back to the status and fingerprint it was found in, after a drill or an accident.

        A role that was found with no state and has one now is left in service. Versions only grow, so they do
        not come back.

        Raises:
            CredentialRoleError: unknown role, or the fingerprint was revoked since.
        """
        now = self.state(role)
        fingerprint = None if found is None else found.fingerprint
        operation = way_back(now, found)
        if operation is None:
            return now
        if operation is RoleOperation.REVOKE:
            return self.revoke(role, note=note)
        return self._hand_out(operation, _known(role), fingerprint, note)

    def _hand_out(
        self, operation: RoleOperation, role: CredentialRole, fingerprint: str | None, note: str | None
    ) -> RoleState:
        before, at_ms = self._states.get(role), self._clock.tick()
        try:
            shown = self._usable(role, fingerprint)
        except CredentialRoleError as refused:
            self._append(operation, before, before, role, refused.code, note)
            raise
        is_activated = operation is RoleOperation.ACTIVATE
        version = 0 if before is None else before.version
        if before is None or not (is_activated and before.status is RoleStatus.ROTATING):
            version += 1
        status = RoleStatus.ACTIVE if is_activated else RoleStatus.ROTATING
        state = RoleState(role, status, version, at_ms, shown, _shown(note), at_ms)
        return self._keep(operation, before, state)

    def _usable(self, role: CredentialRole, fingerprint: str | None) -> str | None:
        if fingerprint is None:
            return None
        if not isinstance(fingerprint, str) or FINGERPRINT.fullmatch(fingerprint) is None:
            # Not shown: it may be the credential.
            raise CredentialRoleError(
                RoleRefusal.INVALID_FINGERPRINT,
                role.value,
                "a fingerprint, sha256: with 16 to 64 hex digits or fp_ with a name",
                "text of another form" if isinstance(fingerprint, str) else type(fingerprint).__name__,
                "pass a digest of the credential, never the credential",
            )
        if fingerprint in self._revoked.get(role, ()):
            raise CredentialRoleError(
                RoleRefusal.REVOKED_FINGERPRINT,
                role.value,
                "a fingerprint that was not revoked",
                quoted(fingerprint),
                "make a new credential: a revoked one stays revoked",
            )
        return fingerprint

    def _keep(self, operation: RoleOperation, before: RoleState | None, state: RoleState) -> RoleState:
        self._states[state.role] = state
        self._append(operation, before, state, state.role, None, state.note)
        return state

    def _append(
        self,
        operation: RoleOperation,
        before: RoleState | None,
        after: RoleState | None,
        role: CredentialRole,
        refusal: RoleRefusal | None,
        note: str | None,
    ) -> None:
        self._journal.append(
            TABLE,
            {
                "role": role.value,
                "operation": operation.value,
                "refusal": None if refusal is None else refusal.value,
                "fromStatus": None if before is None else before.status.value,
                "fromVersion": None if before is None else before.version,
                "status": None if after is None else after.status.value,
                "version": None if after is None else after.version,
                "fingerprint": None if after is None else after.fingerprint,
                "note": _shown(note),
                "lastRotatedAtMs": None if after is None else after.last_rotated_at_ms,
                "revokedAtMs": None if after is None else after.revoked_at_ms,
                "atMs": self._clock.now_ms(),
            },
        )


def _known(role: CredentialRole | str) -> CredentialRole:
    try:
        return CredentialRole(role)
    except ValueError:
        raise CredentialRoleError(
            RoleRefusal.UNKNOWN_ROLE,
            quoted(role),
            "one of " + ", ".join(CredentialRole),
            quoted(role),
            "name one of the three roles",
        ) from None


def _shown(note: str | None) -> str | None:
    return None if note is None else redact_text(printable(note))
