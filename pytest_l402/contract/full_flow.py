"""Decides what the artifacts of a full flow are: the events in order and the summary that judges them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import model_validator

from pytest_l402.contract.camel_document import CamelDocument
from pytest_l402.contract.record import REQUIRED_KEYS, ExecutionPath
from pytest_l402.contract.scalars import AnyText, Count, EpochMs, Flag, Msats, Text, member_of

CHECK_NAMES: tuple[str, ...] = (
    "paywall_creation",
    "gateway_reconcile",
    "paid_request_success",
    "policy_deny",
    "settlement_correlation",
    "observability",
    "hosted_parity",
    "local_parity",
)
"""The eight checks that a summary's coverage counts, in order."""


class FlowStage(StrEnum):
    """Stages of a full flow, in the order in which they happen."""

    PAYWALL_CREATE = "paywall.create"
    GATEWAY_RECONCILE = "gateway.reconcile"
    REQUEST_PAID = "request.paid"
    REQUEST_DENIED = "request.denied"
    OBSERVABILITY_VERIFY = "observability.verify"
    PARITY_VERIFY = "parity.verify"


FLOW_STAGES: tuple[FlowStage, ...] = tuple(FlowStage)
"""Every stage, in order."""


class EventStatus(StrEnum):
    """How a stage ended."""

    OK = "ok"
    FAILED = "failed"


class FlowMode(StrEnum):
    """Against what a full flow ran; `convex` and `api` are the original tool's words for live."""

    MOCK = "mock"
    LIVE = "live"
    CONVEX = "convex"
    API = "api"


class DeploymentStatus(StrEnum):
    """State of a gateway deployment."""

    PENDING = "pending"
    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class PaidStatus(StrEnum):
    """How the request that should be paid ended."""

    PAID = "paid"
    FAILED = "failed"


class DeniedStatus(StrEnum):
    """How the request that policy should deny ended."""

    DENIED = "denied"
    ALLOWED = "allowed"


class FlowEvent(CamelDocument):
    """One line of events.jsonl; `ts` is in epoch milliseconds."""

    ts: EpochMs
    stage: Annotated[FlowStage, member_of(FlowStage)]
    request_id: Text
    status: Annotated[EventStatus, member_of(EventStatus)]
    details: dict[str, Any]


class PaywallCreation(CamelDocument):
    """The paywall that the flow sells through."""

    ok: Flag
    paywall_id: Text
    owner_id: Text
    route_id: Text


class GatewayReconcile(CamelDocument):
    """What the probes of the gateway said."""

    request_id: Text
    deployment_id: Text | None
    config_hash: Text | None
    deployment_status: Annotated[DeploymentStatus, member_of(DeploymentStatus)]
    challenge_ok: Flag
    proxy_ok: Flag
    health_ok: Flag


class PaidRequest(CamelDocument):
    """The request that was paid; the amount is in msats."""

    status: Annotated[PaidStatus, member_of(PaidStatus)]
    request_id: Text
    task_id: Text | None
    route_id: Text | None
    settlement_id: Text | None
    amount_msats: Msats | None
    payment_proof_ref: Text | None


class PolicyDeniedRequest(CamelDocument):
    """The request that policy denied before payment."""

    status: Annotated[DeniedStatus, member_of(DeniedStatus)]
    request_id: Text
    deny_reason_code: Text | None
    deny_reason: AnyText | None
    source: Text | None


class SettlementCorrelation(CamelDocument):
    """The settlements that the flow saw; replays repeat their ids."""

    processed: Count
    settlement_ids: tuple[Text, ...]
    payment_proof_refs: tuple[Text, ...]


class Correlation(CamelDocument):
    """The ids that the records of the flow carry, each once, nulls left out."""

    request_ids: tuple[Text, ...]
    paywall_ids: tuple[Text, ...]
    task_ids: tuple[Text, ...]
    payment_proof_refs: tuple[Text, ...]


class ObservabilitySection(CamelDocument):
    """Whether the records of the flow have all their keys."""

    record_count: Count
    required_field_keys: tuple[Text, ...]
    missing_field_keys: tuple[Text, ...]
    correlation: Correlation


class ParitySection(CamelDocument):
    """Which required keys the hosted and the local evidence hold."""

    required_keys: tuple[Text, ...]
    hosted_keys: tuple[Text, ...]
    hosted_missing_keys: tuple[Text, ...]
    local_artifact_path: Text
    local_artifact_present: Flag
    local_keys: tuple[Text, ...]
    local_missing_keys: tuple[Text, ...]
    shared_keys: tuple[Text, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for side, keys, missing in (
            ("hosted", self.hosted_keys, self.hosted_missing_keys),
            ("local", self.local_keys, self.local_missing_keys),
        ):
            if set(missing) != {key for key in self.required_keys if key not in keys}:
                raise ValueError(f"{side}MissingKeys to be the requiredKeys that {side}Keys lacks")
        if self.local_keys and not self.local_artifact_present:
            raise ValueError("localKeys to be empty when localArtifactPresent is false")
        if not set(self.shared_keys) <= set(self.hosted_keys) & set(self.local_keys):
            raise ValueError("sharedKeys to be in both hostedKeys and localKeys")
        return self


class Coverage(CamelDocument):
    """How many of the eight checks passed."""

    total_checks: Count
    passed_checks: Count
    failed_checks: tuple[Text, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        failed = set(self.failed_checks)
        if not failed <= set(CHECK_NAMES) or len(failed) != len(self.failed_checks):
            raise ValueError("failedChecks to name each failed check once, from " + ", ".join(CHECK_NAMES))
        if self.total_checks != len(CHECK_NAMES):
            raise ValueError(f"totalChecks to be {len(CHECK_NAMES)}")
        if self.passed_checks + len(failed) != self.total_checks:
            raise ValueError("passedChecks and failedChecks to add up to totalChecks")
        return self


class FlowArtifacts(CamelDocument):
    """Where the artifacts were written, and when in epoch milliseconds."""

    artifact_dir: Text
    summary_path: Text
    events_path: Text
    generated_at_ms: EpochMs


class FullFlowSummary(CamelDocument):
    """What summary.json holds; a section never reached is null, and its check is among the failed ones.

    Source: runbook observability, section 1 "Hosted Success"; the original tool's nested form. A summary that
    contradicts itself is refused.
    """

    ok: Flag
    mode: Annotated[FlowMode, member_of(FlowMode)]
    request_id: Text
    execution_path: Annotated[ExecutionPath, member_of(ExecutionPath)]
    paywall_creation: PaywallCreation | None
    gateway_reconcile: GatewayReconcile | None
    paid_request: PaidRequest | None
    policy_denied_request: PolicyDeniedRequest | None
    settlement_correlation: SettlementCorrelation | None
    observability: ObservabilitySection | None
    parity: ParitySection | None
    coverage: Coverage
    artifacts: FlowArtifacts

    @model_validator(mode="after")
    def _tells_the_truth(self) -> Self:
        failed = set(self.coverage.failed_checks)
        if self.ok != (not failed):
            raise ValueError("ok to be true exactly when failedChecks is empty")
        if self.execution_path is not ExecutionPath.HOSTED_NODE:
            raise ValueError("executionPath to be hosted-node")
        for check, holds in self._what_holds().items():
            if check not in failed and not holds:
                raise ValueError(f"{check} among failedChecks, since its section does not bear it out")
        return self

    def _what_holds(self) -> dict[str, bool]:
        """Return for each check whether its own section bears it out; `local_parity` may be waived."""
        gateway, paid, denied = self.gateway_reconcile, self.paid_request, self.policy_denied_request
        settled, observed, parity = self.settlement_correlation, self.observability, self.parity
        proof = paid.payment_proof_ref if paid is not None else None
        return {
            "paywall_creation": self.paywall_creation is not None and self.paywall_creation.ok,
            "gateway_reconcile": gateway is not None
            and gateway.challenge_ok
            and gateway.proxy_ok
            and gateway.health_ok,
            "paid_request_success": paid is not None
            and paid.status is PaidStatus.PAID
            and paid.settlement_id is not None
            and proof is not None,
            "policy_deny": denied is not None
            and denied.status is DeniedStatus.DENIED
            and denied.deny_reason_code is not None,
            "settlement_correlation": settled is not None
            and settled.processed > 0
            and proof in settled.payment_proof_refs,
            "observability": observed is not None
            and observed.record_count > 0
            and set(observed.required_field_keys) == set(REQUIRED_KEYS)
            and not observed.missing_field_keys,
            "hosted_parity": parity is not None and not parity.hosted_missing_keys,
            "local_parity": parity is not None,
        }


def stage_order_departures(events: Sequence[FlowEvent]) -> tuple[str, ...]:
    """Return what is wrong with the order of `events` as one sentence each; empty for a complete flow.

    A complete flow has every stage once, in order, at times that never run backwards.
    """
    departures = []
    stages = [event.stage for event in events]
    if stages != list(FLOW_STAGES):
        expected = ", ".join(FLOW_STAGES)
        departures.append(f"expected the stages {expected}; saw {', '.join(stages) or 'none'}")
    for earlier, later in pairwise(events):
        if later.ts < earlier.ts:
            departures.append(
                f"expected {later.stage} not before {earlier.stage}, saw {later.ts} < {earlier.ts}"
            )
    return tuple(departures)
