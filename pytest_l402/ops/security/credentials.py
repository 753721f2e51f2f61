"""Decides whether the credentials of the three operating roles can be used: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MIN_CREDENTIAL_LENGTH = 16
"""A shorter credential can be guessed. Source: lightning-ops, role credentials."""
_FIELD_PREFIX = "OA_LIGHTNING_OPS_CRED_"


class CredentialRole(StrEnum):
    """Who a credential speaks for; the order is the one in which they are validated."""

    GATEWAY_INVOICE = "gateway_invoice"
    SETTLEMENT_READ = "settlement_read"
    OPERATOR_ADMIN = "operator_admin"

    @property
    def variable(self) -> str:
        """The environment variable that holds the role's credential."""
        return _FIELD_PREFIX + self.value.upper()


class CredentialCode(StrEnum):
    """Why a credential is refused, as a stable code."""

    MISSING = "missing_credential_role"
    INVALID = "invalid_credential_role"


_REASONS = {
    CredentialCode.MISSING: "missing required role credential",
    CredentialCode.INVALID: "credential format failed validation",
}


class CredentialValidationError(ValueError):
    """A role has no usable credential; never shows the value.

    `code`, `role`, `field` (the environment variable) and `reason` are stable.
    """

    tag = "CredentialValidationError"

    def __init__(self, code: CredentialCode, role: CredentialRole, seen: str) -> None:
        super().__init__(
            f"{role.variable}: expected {MIN_CREDENTIAL_LENGTH} or more printable ASCII characters without "
            f"blanks (runbook lightning-ops, smoke:security), saw {seen}; set the credential of the role "
            f"{role.value}: without it nothing is run [{code.value}]"
        )
        self.code = code
        self.role = role
        self.field = role.variable
        self.reason = _REASONS[code]


@dataclass(frozen=True, slots=True)
class RoleCredentials:
    """The credentials of all three roles; secrets, so the repr shows none of them."""

    gateway_invoice: str = field(repr=False)
    settlement_read: str = field(repr=False)
    operator_admin: str = field(repr=False)


def validate_credentials(values: Mapping[str, Any]) -> RoleCredentials:
    """Return the credentials, trimmed, if every role has a usable one.

    Keys are the roles. They are judged in the order of `CredentialRole`, and the first that fails decides; a
    value that is absent, None or blank is missing, any other that is no text, too short, or not printable
    ASCII without blanks is invalid.

    Raises:
        CredentialValidationError: for the first role without a usable credential.
    """
    return RoleCredentials(*(_usable(role, values.get(role.value)) for role in CredentialRole))


def credentials_from_environment(environment: Mapping[str, str] | None = None) -> RoleCredentials:
    """Return the credentials that the environment holds, by default that of this process.

    Raises:
        CredentialValidationError: for the first role without a usable credential.
    """
    environment = os.environ if environment is None else environment
    return validate_credentials({role.value: environment.get(role.variable) for role in CredentialRole})


def _usable(role: CredentialRole, value: object) -> str:
    if value is None:
        raise CredentialValidationError(CredentialCode.MISSING, role, "no value")
    if not isinstance(value, str):
        raise CredentialValidationError(
            CredentialCode.INVALID, role, f"a value of type {type(value).__name__}"
        )
    text = value.strip()
    if not text:
        raise CredentialValidationError(CredentialCode.MISSING, role, "a blank value")
    if len(text) < MIN_CREDENTIAL_LENGTH:
        raise CredentialValidationError(CredentialCode.INVALID, role, f"{len(text)} characters")
    # Beyond printable ASCII no HTTP header carries it unchanged, so it could never be the one in use.
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise CredentialValidationError(
            CredentialCode.INVALID, role, f"{len(text)} characters with blanks or others among them"
        )
    return text
