"""How a reconcile is written down while it goes on, and told when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pytest_l402.contract import DeploymentStatus, ExecutionPath, Plane
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.journal import Journal
from pytest_l402.ops.reconcile.deployments import GatewayEvent, Intent
from pytest_l402.ops.reconcile.ledger import DeploymentHistory
from pytest_l402.ops.reconcile.ports import ActiveDeployment
from pytest_l402.ops.reconcile.records import deployment_row, observations, outcome
from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.ops.reconcile.summary import Failure, ReconcileSummary

EVENT = "gateway_reconcile"
Level = Literal["info", "warn", "error"]


class ReconcileBook:
    """Writes events and ends into the ledger, and tells the witness of an end once it is written."""

    def __init__(
        self,
        ledger: DeploymentHistory,
        clock: Clock,
        witness: Journal | None,
        failpoint: Callable[[Failpoint], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._witness = witness
        self._at = failpoint

    def tell(self, intent: Intent, kind: str, level: Level, details: dict[str, Any]) -> None:
        """Append one event."""
        event = self._event(intent, kind, level, details)
        if event is not None:
            self._ledger.event(event)

    def applied(self, intent: Intent) -> ReconcileSummary:
        """End a run whose configuration passed every probe."""
        digest = intent.applied_digest
        summary = outcome(intent, DeploymentStatus.APPLIED, image_digest=digest)
        return self._end(intent, summary, self._event(intent, "applied", "info", {"imageDigest": digest}))

    def rolled_back(
        self, intent: Intent, failure: Failure, to: ActiveDeployment, unverified: tuple[Failure, ...] = ()
    ) -> ReconcileSummary:
        """End a run that failed, where what ran before runs again; `unverified` probes do not show that."""
        reasons = "; ".join(f"{each.reason} before the deployment, too" for each in unverified)
        doubt = f"not verifiable: {reasons}" if reasons else None
        summary = outcome(
            intent,
            DeploymentStatus.ROLLED_BACK,
            failure=failure,
            image_digest=to.image_digest,
            restored=to,
            unverified=doubt,
        )
        details = {
            "failureCode": failure.code.value,
            "failureReason": failure.reason,
            "rolledBackFrom": to.config_hash,
            "unverified": doubt,
        }
        undone: dict[str, Any] = {"rolledBackFrom": to.config_hash, "verified": doubt is None}
        if doubt is not None:
            undone["unverified"] = doubt
        return self._end(intent, summary, self._event(intent, "rolled_back", "warn", details), undone=undone)

    def failed(
        self,
        intent: Intent,
        failure: Failure,
        *,
        original: Failure | None = None,
        undone: dict[str, Any] | None = None,
    ) -> ReconcileSummary:
        """End a run that failed without a rollback; `original` is why the rollback that failed was needed."""
        summary = outcome(intent, DeploymentStatus.FAILED, failure=failure, original=original)
        if original is None:
            details = {"failureReason": failure.reason, "failureStage": failure.stage.value}
        else:
            details = {
                "failureCode": original.code.value,
                "failureReason": original.reason,
                "rollbackFailure": failure.reason,
            }
        event = self._event(intent, f"failed_{failure.code.value}", "error", details | (undone or {}))
        return self._end(intent, summary, event, original=original, undone=undone)

    def _end(
        self,
        intent: Intent,
        summary: ReconcileSummary,
        event: GatewayEvent | None,
        *,
        original: Failure | None = None,
        undone: dict[str, Any] | None = None,
    ) -> ReconcileSummary:
        row = deployment_row(intent, self._clock.tick(), summary, original=original, undone=undone)
        self._ledger.finish(summary, row, () if event is None else (event,))
        self._at(Failpoint.OUTCOME_WRITTEN)
        if self._witness is not None:
            for record in observations(summary, self._clock.tick(), self._clock.tick()):
                self._witness.emit(record)
            code = "" if summary.failure_code is None else f" failure={summary.failure_code.value}"
            text = f"reconcile {summary.deployment_id} {summary.config_hash} {row.status.value}{code}"
            self._witness.log(Plane.CONTROL, summary.request_id, text)
        return summary

    def _event(self, intent: Intent, kind: str, level: Level, details: dict[str, Any]) -> GatewayEvent | None:
        """Return the next event of a request, or None when there is no paywall to tell it of."""
        now_ms = self._clock.tick()
        if intent.paywall_id is None or intent.owner_id is None:
            return None
        number = self._ledger.event_count(intent.request_id) + 1
        return GatewayEvent(
            event_id=f"evt_{intent.deployment_id}_{number}",
            paywall_id=intent.paywall_id,
            owner_id=intent.owner_id,
            event_type=f"{EVENT}_{kind}",
            level=level,
            request_id=intent.request_id,
            metadata={
                "executionPath": ExecutionPath.HOSTED_NODE.value,
                "deploymentId": intent.deployment_id,
                "configHash": intent.config_hash,
                "routeId": intent.rule_id,
                "details": {key: value for key, value in details.items() if value is not None},
            },
            created_at_ms=now_ms,
        )
