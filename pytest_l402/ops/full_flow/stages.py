"""What each stage of the full flow fills in: what it found, and which checks it bears out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_l402.contract import (
    GatewayReconcile,
    ObservabilitySection,
    PaidRequest,
    ParitySection,
    PaywallCreation,
    PolicyDeniedRequest,
    SettlementCorrelation,
)


@dataclass(slots=True)
class Stage:
    """What came of a stage: the details of its event, and why a check is not borne out (check, reason)."""

    request_id: str
    details: dict[str, Any] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def expect(self, check: str, holds: bool, reason: str) -> None:
        """Note that a check is not borne out unless `holds`."""
        if not holds:
            self.failures.append((check, reason))


@dataclass(slots=True)
class Sections:
    """The parts of the summary that the stages have filled so far; None is a part that was never reached."""

    paywall_creation: PaywallCreation | None = None
    gateway_reconcile: GatewayReconcile | None = None
    paid_request: PaidRequest | None = None
    policy_denied_request: PolicyDeniedRequest | None = None
    settlement_correlation: SettlementCorrelation | None = None
    observability: ObservabilitySection | None = None
    parity: ParitySection | None = None
