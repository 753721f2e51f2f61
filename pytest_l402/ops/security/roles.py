"""How a credential role stands, what can be done to it, and why that is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pytest_l402.contract.camel_document import camel_row
from pytest_l402.ops.security.credentials import CredentialRole

# What has one of these forms cannot be taken for the credential itself, and so may stand in evidence.
FINGERPRINT = re.compile(r"sha256:[0-9a-f]{16,64}|fp_[A-Za-z0-9_.-]{1,64}")


class RoleStatus(StrEnum):
    """How a role stands: `rotating` means that a new credential is being handed out."""

    ACTIVE = "active"
    ROTATING = "rotating"
    REVOKED = "revoked"


class RoleOperation(StrEnum):
    """What can be done to a role."""

    ROTATE = "rotate"
    REVOKE = "revoke"
    ACTIVATE = "activate"


class RoleRefusal(StrEnum):
    """Why an operation was refused, as a stable code."""

    UNKNOWN_ROLE = "unknown_credential_role"
    INVALID_FINGERPRINT = "invalid_fingerprint"
    REVOKED_FINGERPRINT = "revoked_fingerprint"


class CredentialRoleError(ValueError):
    """An operation was refused and changed nothing; `code` is stable."""

    def __init__(self, code: RoleRefusal, role: str, expected: str, seen: str, remedy: str) -> None:
        super().__init__(
            f"credential role {role}: expected {expected} (runbook lightning-ops, smoke:security), "
            f"saw {seen}; {remedy} [{code.value}]"
        )
        self.code = code
        self.role = role


@dataclass(frozen=True, slots=True)
class RoleState:
    """A role as it stands; times in epoch milliseconds. `version` counts the credentials it has had."""

    role: CredentialRole
    status: RoleStatus
    version: int
    updated_at_ms: int
    fingerprint: str | None = None
    note: str | None = None
    last_rotated_at_ms: int | None = None
    revoked_at_ms: int | None = None

    def to_row(self) -> dict[str, Any]:
        """Return the state as the control plane answers it; keys that it does not have are left out."""
        return camel_row(self, unknown=False)


def way_back(now: RoleState | None, found: RoleState | None) -> RoleOperation | None:
    """Return what brings a role back from `now` to how it was `found`, None when nothing has to be done.

    A role that was found with no state and has one now is left in service: it cannot go back to having none.
    """
    if now is None or now == found or (found is None and now.status is RoleStatus.ACTIVE):
        return None
    if found is None:
        return RoleOperation.ACTIVATE
    if (now.status, now.fingerprint) == (found.status, found.fingerprint):
        return None
    if found.status is RoleStatus.REVOKED:
        return RoleOperation.REVOKE
    return RoleOperation.ROTATE if found.status is RoleStatus.ROTATING else RoleOperation.ACTIVATE
