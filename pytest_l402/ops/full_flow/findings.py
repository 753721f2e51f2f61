"""What a stage of the full flow notes of its findings: in the summary, in its event, and against its checks.

It is the same for a stack and for a deployed platform; how the findings come about is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_l402.contract import (
    DeniedStatus,
    GatewayReconcile,
    ObservabilitySection,
    PaidRequest,
    PaidStatus,
    ParitySection,
    PaywallCreation,
    Plane,
    PolicyDeniedRequest,
    SettlementCorrelation,
    Speaker,
)
from pytest_l402.contract.rows import Row
from pytest_l402.ops.full_flow.verification import (
    PathsCompared,
    observability_failures,
    observability_section,
)
from pytest_l402.ops.reconcile.summary import ReconcileSummary

_PROBES = ("challengeOk", "proxyOk", "healthOk")


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


@dataclass
class Sections:
    """The parts of the summary that the stages have filled so far; None is a part that was never reached."""

    paywall_creation: PaywallCreation | None = None
    gateway_reconcile: GatewayReconcile | None = None
    paid_request: PaidRequest | None = None
    policy_denied_request: PolicyDeniedRequest | None = None
    settlement_correlation: SettlementCorrelation | None = None
    observability: ObservabilitySection | None = None
    parity: ParitySection | None = None


def note_paywall(sections: Sections, stage: Stage, paywall_id: str, owner_id: str, route_id: str) -> None:
    """paywall.create: which paywall the flow sells through."""
    stage.details.update(paywallId=paywall_id, ownerId=owner_id, routeId=route_id)
    sections.paywall_creation = PaywallCreation(
        ok=True, paywall_id=paywall_id, owner_id=owner_id, route_id=route_id
    )


def note_reconcile(sections: Sections, stage: Stage, summary: ReconcileSummary) -> None:
    """gateway.reconcile: how a reconcile, or a look at what runs, has ended."""
    reasons = [str(part) for part in (summary.failure_code, summary.failure_reason) if part is not None]
    stage.expect("gateway_reconcile", summary.ok, ": ".join(reasons) or summary.deployment_status.value)
    section = GatewayReconcile(
        request_id=summary.request_id,
        deployment_id=summary.deployment_id,
        config_hash=summary.config_hash,
        deployment_status=summary.deployment_status,
        challenge_ok=summary.challenge_ok,
        proxy_ok=summary.proxy_ok,
        health_ok=summary.health_ok,
    )
    note_gateway(sections, stage, section)


def note_gateway(sections: Sections, stage: Stage, section: GatewayReconcile) -> None:
    """gateway.reconcile: how the gateway was found."""
    sections.gateway_reconcile, row = section, section.to_row()
    stage.details.update({key: row[key] for key in ("deploymentId", "configHash")})
    stage.details.update({"status": section.deployment_status.value} | {key: row[key] for key in _PROBES})


def note_paid(sections: Sections, stage: Stage, settlement: Row, task_id: str | None = None) -> PaidRequest:
    """request.paid: what the settlement of the paid request says; empty when there is none."""
    sections.paid_request = section = PaidRequest(
        status=PaidStatus.FAILED if stage.failures else PaidStatus.PAID,
        request_id=settlement.get("requestId") or stage.request_id,
        task_id=settlement.get("taskId") or task_id,
        route_id=settlement.get("routeId"),
        settlement_id=settlement.get("settlementId"),
        amount_msats=settlement.get("amountMsats"),
        payment_proof_ref=settlement.get("paymentProofRef"),
    )
    stage.request_id, told = section.request_id, section.to_row()
    keys = ("settlementId", "paymentProofRef", "amountMsats", "taskId", "routeId")
    stage.details.update({key: told[key] for key in keys})
    return section


def note_correlation(
    sections: Sections, stage: Stage, records: Iterable[Row], settlements: Iterable[Row], paid: PaidRequest
) -> None:
    """request.paid: what was told of is in the store, and every plane tells of this payment alone."""
    told = [row for row in records if row["executor"] != Speaker.DESKTOP]
    stored = {row["paymentProofRef"]: row["settlementId"] for row in settlements}
    processed = [
        row["paymentProofRef"] for row in told if row["plane"] == Plane.SETTLEMENT and not row["denyReason"]
    ]
    known = [value for value in processed if value in stored]
    sections.settlement_correlation = SettlementCorrelation(
        processed=len(processed),
        settlement_ids=tuple(stored[value] for value in known),
        payment_proof_refs=tuple(known),
    )
    check, terms = "settlement_correlation", (paid.payment_proof_ref, paid.amount_msats)
    stage.expect(check, known == processed, "expected every settlement record in the store, saw another")
    for plane in (Plane.GATEWAY, Plane.SETTLEMENT, Plane.UI):
        seen = {
            (row["paymentProofRef"], row["paidAmountMsats"])
            for row in told
            if row["plane"] == plane and row["requestId"] == paid.request_id and row["paymentProofRef"]
        }
        stage.expect(
            check,
            seen == {terms},
            f"expected plane {plane.value} to tell of {terms[0]} and {terms[1]} msats alone",
        )


def note_denied(
    sections: Sections, stage: Stage, *, denied: bool, code: str | None, reason: str | None
) -> None:
    """request.denied: what the control plane said under the global pause."""
    sections.policy_denied_request = PolicyDeniedRequest(
        status=DeniedStatus.DENIED if denied else DeniedStatus.ALLOWED,
        request_id=stage.request_id,
        deny_reason_code=code,
        deny_reason=reason,
        source="global_pause",
    )
    stage.details.update(denyReasonCode=code, denyReason=reason)


def note_observability(sections: Sections, stage: Stage, records: Sequence[Row]) -> None:
    """observability.verify: every record of the flow is complete, and every plane has spoken."""
    section = sections.observability = observability_section(records)
    stage.details.update(recordCount=section.record_count, missingFieldKeys=list(section.missing_field_keys))
    for reason in observability_failures(records):
        stage.expect("observability", False, reason)


def note_parity(
    sections: Sections, stage: Stage, compared: PathsCompared, *, by_value: bool, may_be_missing: bool
) -> None:
    """parity.verify: both paths hold the parity keys, and those of one run agree by value."""
    section = sections.parity = compared.section
    row = section.to_row()
    keys = ("localArtifactPresent", "localArtifactPath", "hostedMissingKeys", "localMissingKeys")
    stage.details.update({key: row[key] for key in keys})
    missing = ", ".join(section.hosted_missing_keys)
    stage.expect("hosted_parity", not missing, f"no hosted record has a value for {missing}")
    if section.local_artifact_present or not may_be_missing:
        for reason in compared.local_failures(by_value=by_value):
            stage.expect("local_parity", False, reason)
