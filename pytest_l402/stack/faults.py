"""Decides which part of the stack misbehaves right now, on purpose, and makes sure that it stops doing so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pytest_l402.harness.fault_names import FaultNames
from pytest_l402.harness.faults import Fault

StopPoint = Literal["before_payment", "during_payment", "after_payment"]
DeployTrouble = Literal["refused", "too_late", "image_not_pinned", "file_unreadable", "port_taken"]
"""How a deploy can fail; with the last two what ran before is gone, and nothing runs."""
ChallengeTrouble = Literal["open", "price", "closed"]
LostAt = Literal[
    "request", "challenge", "payment", "paid_request", "before_settlement", "after_settlement", "delivery"
]
"""Where a message of a purchase can be lost: the request; the challenge; the wallet's answer, once it has
paid; the paid request; the gateway's answer, with its process, before or after it has settled; the delivery.
"""
Altered = Literal[
    "expired", "another_network", "no_payment_secret", "not_bound", "no_macaroon", "one_line", "json_body"
]
"""How a challenge can differ from Aperture's: five that nobody should pay, and two that anybody can."""


def _one_of(fault: Fault, words: object, seen: str) -> None:
    if seen not in get_args(words):
        raise ValueError(f"{fault.name}: expected one of {', '.join(get_args(words))}, saw {seen!r}")


def _at_least(least: int, fault: Fault, name: str, seen: int) -> None:
    if seen < least:
        raise ValueError(f"{fault.name}: expected {name} >= {least}, saw {seen}")


class GatewayDown(Fault):
    """The gateway's host refuses connections; it sees nothing and records nothing."""


class ChallengeFailure(Fault):
    """The seller's node creates no invoice, so the gateway cannot challenge (500 `challenge failure`)."""


@dataclass(frozen=True)
class UpstreamFailure(Fault):
    """The seller's API answers `status` (400 to 599) instead of its content."""

    status: int = 503

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise ValueError(f"UpstreamFailure: expected an error status 400..599, saw {self.status}")


@dataclass(frozen=True)
class AnswerLost(Fault):
    """A message of a purchase is lost on its way, `times` times: the connection breaks at the named place."""

    at: LostAt = "delivery"
    times: int = 1

    def __post_init__(self) -> None:
        _one_of(self, LostAt, self.at)
        _at_least(1, self, "times", self.times)

    @property
    def most(self) -> int:
        """How often a message is lost; a try after that comes through."""
        return self.times


@dataclass(frozen=True)
class AnswerSlow(Fault):
    """The gateway's answer takes `ms` milliseconds, over loopback of real time."""

    ms: int = 2_000

    def __post_init__(self) -> None:
        _at_least(1, self, "ms", self.ms)


class ChallengeKept(Fault):
    """A cache before the gateway keeps a 402, and answers with it whatever comes to that URL afterwards."""


@dataclass(frozen=True)
class ChallengeAltered(Fault):
    """The challenge is not as Aperture's: past its time, of another network, bound to nothing, or other."""

    how: Altered = "expired"

    def __post_init__(self) -> None:
        _one_of(self, Altered, self.how)


@dataclass(frozen=True)
class CredentialRefused(Fault):
    """The gateway refuses a credential that is good with `status`: 402 and a fresh challenge, or 401."""

    status: int = 402

    def __post_init__(self) -> None:
        if self.status not in (401, 402):
            raise ValueError(f"CredentialRefused: expected status 401 or 402, saw {self.status}")


class UpstreamDown(Fault):
    """The seller's API refuses connections (Aperture: 502, empty body)."""


class SettlementLost(Fault):
    """A settlement event is dropped before it is stored: paid, but nowhere to be found."""


class SettlementDelayed(Fault):
    """A settlement event is queued and stored only when it is released."""


class SettlementProofMismatch(Fault):
    """The settlement store keeps another proof reference than the one that was paid with."""


class ProjectionStale(Fault):
    """The user interface is not told about the settlement."""


class ProjectionProofMismatch(Fault):
    """The user interface shows another proof reference than the settlement store holds."""


class PaymentFailure(Fault):
    """The payment fails on its way; no money moves, no preimage comes back."""


class PaymentPending(Fault):
    """The payment neither succeeds nor fails yet; it is resolved later."""


@dataclass(frozen=True)
class PaymentLate(Fault):
    """The wallet gives the payment up as pending, and it succeeds `ms` milliseconds later by itself."""

    ms: int = 60_000

    def __post_init__(self) -> None:
        _at_least(1, self, "ms", self.ms)


@dataclass(frozen=True)
class PaymentSlow(Fault):
    """The payment succeeds, but takes `ms` milliseconds."""

    ms: int = 5_000

    def __post_init__(self) -> None:
        _at_least(0, self, "ms", self.ms)


class PreimageMissing(Fault):
    """The payment succeeds, but the wallet hands no preimage over."""


@dataclass(frozen=True)
class PreimageLate(Fault):
    """The payment succeeds, but the wallet hands its preimage over only `ms` milliseconds later."""

    ms: int = 60_000

    def __post_init__(self) -> None:
        _at_least(1, self, "ms", self.ms)


class WalletLocked(Fault):
    """The wallet is locked and pays nothing."""


class NodeDegraded(Fault):
    """The buyer's node reports itself degraded; payments may still succeed."""


@dataclass(frozen=True)
class ExecutorStops(Fault):
    """The buyer's executor is gone at the named point, as a killed process is: it leaves no word."""

    at: StopPoint = "before_payment"

    def __post_init__(self) -> None:
        _one_of(self, StopPoint, self.at)


class HeartbeatStopped(Fault):
    """The buyer's executor lives, but its heartbeats no longer arrive."""


class PaywallNotCompilable(Fault):
    """The control plane holds a price that no gateway can ask for: a fraction of a sat."""


class ActiveLookupFailure(Fault):
    """The gateway's operations do not say what it runs."""


@dataclass(frozen=True)
class DeployFailure(Fault):
    """A deploy fails: refused, after it took effect, with an image not pinned, or nothing starts with it."""

    how: DeployTrouble = "refused"

    def __post_init__(self) -> None:
        _one_of(self, DeployTrouble, self.how)


class DeployedUnhealthy(Fault):
    """What a deploy brings up answers its health path with 503."""


@dataclass(frozen=True)
class DeployedChallengeWrong(Fault):
    """What a deploy brings up asks for nothing, for twice the configured price, or refuses everybody."""

    how: ChallengeTrouble = "open"

    def __post_init__(self) -> None:
        _one_of(self, ChallengeTrouble, self.how)


class DeployedUpstreamUnreachable(Fault):
    """What a deploy brings up takes the money, but its seller's API cannot be reached."""


@dataclass(frozen=True)
class RollbackFailure(Fault):
    """A rollback or withdrawal fails; a silent one claims to have worked and changes nothing."""

    silent: bool = False


FAULTS: dict[str, type[Fault]] = {
    name: kind
    for name, kind in sorted(globals().items())
    if isinstance(kind, type) and issubclass(kind, Fault) and kind is not Fault
}
"""Every fault by its name."""

_NAMES = FaultNames(FAULTS)
fault_named, fault_of = _NAMES.fault_named, _NAMES.fault_of
