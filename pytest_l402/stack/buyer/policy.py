"""Decides what the buyer may spend, and where; the buyer's own rules, whatever the control plane allows."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_l402.stack.control.paywalls import HOST_BLOCKED, host_denial

AMOUNT_OVER_CAP = "amount_over_cap"
DEFAULT_CAP_MSATS = 100_000


@dataclass(frozen=True, slots=True)
class Denial:
    """Why the buyer's policy says no: a stable code, the error's name in the local artifact, and words."""

    code: str
    error_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class BuyerPolicy:
    """Blocked hosts first, then the allowlist if there is one, then the cap in msats.

    Hosts compare in lower case, without blanks around them or the dot of a full name, and with their port.
    """

    blocked_hosts: frozenset[str] = frozenset()
    allowed_hosts: frozenset[str] = frozenset()
    default_cap_msats: int = DEFAULT_CAP_MSATS

    def __post_init__(self) -> None:
        if self.default_cap_msats < 0:
            raise ValueError(f"default_cap_msats: expected msats >= 0, saw {self.default_cap_msats}")

    def cap_msats(self, request_cap_msats: int | None) -> int:
        """Return the cap that applies: the smaller of the default and the request's own.

        Raises:
            ValueError: a negative cap.
        """
        if request_cap_msats is None:
            return self.default_cap_msats
        if request_cap_msats < 0:
            raise ValueError(f"max_spend_msats: expected msats >= 0, saw {request_cap_msats}")
        return min(self.default_cap_msats, request_cap_msats)

    def host_denial(self, host: str) -> Denial | None:
        """Return why nothing may be bought from `host`, or None; asked before the first request."""
        code = host_denial(host, self.blocked_hosts, self.allowed_hosts)
        if code is None:
            return None
        word = "is blocked" if code == HOST_BLOCKED else "is not on the allowlist"
        return Denial(code, "DomainNotAllowedError", f"Host {host} {word}")

    def amount_denial(self, quoted_msats: int, cap_msats: int) -> Denial | None:
        """Return why the quote may not be paid, or None; the cap itself may be spent."""
        if quoted_msats <= cap_msats:
            return None
        return Denial(
            AMOUNT_OVER_CAP, "BudgetExceededError", "Quoted invoice amount exceeds configured spend cap"
        )
