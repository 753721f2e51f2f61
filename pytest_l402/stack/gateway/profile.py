"""Decides which reading of L402 a gateway follows: what it accepts, and how it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_l402.protocol import Dialect


class Reuse(StrEnum):
    """How often one credential opens the service."""

    UNTIL_EXPIRY = "until-expiry"
    SINGLE_USE = "single-use"


@dataclass(frozen=True, slots=True)
class GatewayProfile:
    """The switches on which servers differ.

    `refusal_status` answers a credential that is present but invalid, `expired_refusal_status` one that has
    expired or was revoked: 402 comes with a fresh challenge, 401 with a bare `WWW-Authenticate: L402`, so
    that a client is not led into paying again. `superset_challenge` adds `version="0", token="…"` to the
    L402 line. `strict_verify` also wants the node to call the invoice settled.
    """

    name: str
    dialect: Dialect = Dialect.APERTURE
    refusal_status: int = 402
    expired_refusal_status: int = 402
    reuse: Reuse = Reuse.UNTIL_EXPIRY
    superset_challenge: bool = False
    strict_verify: bool = False

    def __post_init__(self) -> None:
        for field in ("refusal_status", "expired_refusal_status"):
            if (status := getattr(self, field)) not in (401, 402):
                raise ValueError(f"profile {self.name}: {field} is 401 or 402, saw {status}")


APERTURE = GatewayProfile("aperture")
SPEC = GatewayProfile("spec", dialect=Dialect.SPEC, refusal_status=401, expired_refusal_status=402)
SINGLE_USE = GatewayProfile(
    "single-use", refusal_status=401, expired_refusal_status=401, reuse=Reuse.SINGLE_USE
)
PROFILES = {profile.name: profile for profile in (APERTURE, SPEC, SINGLE_USE)}
