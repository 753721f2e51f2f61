"""Decides which part of the stack misbehaves right now, on purpose, and makes sure that it stops doing so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pytest_l402.harness.fault_names import FaultNames
from pytest_l402.harness.faults import Fault

StopPoint = Literal["before_payment", "during_payment", "after_payment"]
DeployTrouble = Literal["refused", "too_late", "image_not_pinned"]
ChallengeTrouble = Literal["open", "price", "closed"]


def _one_of(fault: Fault, words: object, seen: str) -> None:
    if seen not in get_args(words):
        raise ValueError(f"{fault.name}: expected one of {', '.join(get_args(words))}, saw {seen!r}")


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
class PaymentSlow(Fault):
    """The payment succeeds, but takes `ms` milliseconds."""

    ms: int = 5_000

    def __post_init__(self) -> None:
        if self.ms < 0:
            raise ValueError(f"PaymentSlow: expected milliseconds >= 0, saw {self.ms}")


class PreimageMissing(Fault):
    """The payment succeeds, but the wallet hands no preimage over."""


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
    """A deploy fails: refused, failed after it has taken effect, or run under an image that is not pinned."""

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
