"""Decides what a reconcile leaves in writing: rows, events and observability records, from what it knows."""

from __future__ import annotations

from functools import partial
from typing import Any

from pytest_l402.contract import DeploymentStatus, ExecutionPath, ObservabilityRecord, Plane, Speaker
from pytest_l402.harness.observation import observation
from pytest_l402.ops.compile.compilation import Compilation
from pytest_l402.ops.reconcile.deployments import COMPILED, Deployment, Intent, deployment_id
from pytest_l402.ops.reconcile.ports import ActiveDeployment
from pytest_l402.ops.reconcile.steps import PROBES, Stage
from pytest_l402.ops.reconcile.summary import Failure, ReconcileSummary

RECONCILE_ENDPOINT = "/api/lightning/paywalls/reconcile"
HEALTH_ENDPOINT = "/l402/health"
PROBE_FAILED = "gateway_probe_failed"


def outcome(
    intent: Intent,
    status: DeploymentStatus,
    *,
    failure: Failure | None = None,
    original: Failure | None = None,
    image_digest: str | None = None,
    restored: ActiveDeployment | None = None,
    unverified: str | None = None,
) -> ReconcileSummary:
    """Return the summary of a run that ended; `restored` is what runs again after a rollback."""
    return ReconcileSummary.model_validate(
        dict(intent)
        | {f"{stage.value}_ok": stage in intent.passed for stage in PROBES}
        | {f"failure_{name}": value for name, value in failure or ()}
        | {
            "execution_path": ExecutionPath.HOSTED_NODE,
            "deployment_status": status,
            "original_failure_code": None if original is None else original.code,
            "image_digest": image_digest,
            "rolled_back_from": None if restored is None else restored.config_hash,
            "rollback_unverified": unverified,
        }
    )


def deployment_row(
    intent: Intent,
    now_ms: int,
    summary: ReconcileSummary | None = None,
    *,
    original: Failure | None = None,
    undone: dict[str, Any] | None = None,
) -> Deployment:
    """Return the row of a deployment as it stands now: `pending` without a summary, else how it ended."""
    metadata: dict[str, Any] = {
        "executionPath": ExecutionPath.HOSTED_NODE.value,
        "correlation": intent.correlation(),
        "progress": intent.progress(),
    }
    if summary is not None and summary.failure_code is not None:
        failure: dict[str, Any] = {"code": summary.failure_code.value}
        if summary.failure_stage is not Stage.COMPILE:
            failure["stage"] = None if summary.failure_stage is None else summary.failure_stage.value
        failure["reason"] = summary.failure_reason
        if original is not None:
            failure["original"] = original.to_row()
        metadata["failure"] = failure
    if undone is not None:
        metadata["rollback"] = undone
    status = DeploymentStatus.PENDING if summary is None else summary.deployment_status
    now_ms = max(now_ms, intent.started_at_ms)
    return Deployment(
        deployment_id=intent.deployment_id,
        config_hash=intent.config_hash,
        image_digest=None if summary is None else summary.image_digest,
        status=status,
        diagnostics={
            "diagnostics": list(intent.diagnostics),
            "metadata": metadata,
            "requestId": intent.request_id,
        },
        applied_at_ms=now_ms if status is DeploymentStatus.APPLIED else None,
        rolled_back_from=None if summary is None else summary.rolled_back_from,
        created_at_ms=intent.started_at_ms,
        updated_at_ms=now_ms,
        request_id=intent.request_id,
        execution_path=ExecutionPath.HOSTED_NODE,
    )


def compiled_row(compilation: Compilation, request_id: str, now_ms: int) -> Deployment:
    """Return the row of an intent to deploy what was compiled: `pending`, or `failed` if it is not valid."""
    metadata = {
        "executionPath": ExecutionPath.HOSTED_NODE.value,
        "ruleCount": compilation.rule_count,
        "valid": compilation.valid,
    }
    return Deployment(
        deployment_id=deployment_id(request_id, COMPILED),
        config_hash=compilation.config_hash,
        status=DeploymentStatus.PENDING if compilation.valid else DeploymentStatus.FAILED,
        diagnostics={
            "diagnostics": [item.to_json() for item in compilation.diagnostics],
            "metadata": metadata,
            "requestId": request_id,
        },
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        request_id=request_id,
        execution_path=ExecutionPath.HOSTED_NODE,
    )


def observations(
    summary: ReconcileSummary, control_at_ms: int, gateway_at_ms: int
) -> tuple[ObservabilityRecord, ...]:
    """Return what the planes say of a reconcile: the control plane its failure, the gateway its probes.

    Source: runbook lightning-ops, smoke:observability.
    """
    all_ok = summary.health_ok and summary.challenge_ok and summary.proxy_ok
    told = partial(observation, execution_path=ExecutionPath.HOSTED_NODE, request_id=summary.request_id)
    control = told(
        plane=Plane.CONTROL,
        executor=Speaker.SYSTEM,
        observed_at_ms=control_at_ms,
        endpoint=RECONCILE_ENDPOINT,
        deny_reason=None if summary.failure_code is None else summary.failure_code.value,
    )
    gateway = told(
        plane=Plane.GATEWAY,
        executor=Speaker.GATEWAY,
        observed_at_ms=gateway_at_ms,
        endpoint=HEALTH_ENDPOINT,
        deny_reason=None if all_ok else PROBE_FAILED,
    )
    return control, gateway
