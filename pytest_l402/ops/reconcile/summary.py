"""Decides what a reconcile says in the end: what was deployed or why not, and what is active instead."""

from __future__ import annotations

from typing import Annotated, Any

from pytest_l402.contract import CamelDocument, DeploymentStatus, ExecutionPath
from pytest_l402.contract.scalars import Count, Flag, Text, member_of
from pytest_l402.ops.reconcile.steps import FailureCode, Stage

_OPTIONAL = (
    "failureCode",
    "failureStage",
    "failureReason",
    "originalFailureCode",
    "imageDigest",
    "rolledBackFrom",
)


class Failure(CamelDocument):
    """Why a deployment failed: a code of the runbook, the stage, and a reason of one line."""

    code: Annotated[FailureCode, member_of(FailureCode)]
    stage: Annotated[Stage, member_of(Stage)]
    reason: Text


class ReconcileSummary(CamelDocument):
    """How a reconcile ended.

    The three flags name the probes that passed before the failure. `rolled_back_from` holds the hash of the
    configuration that runs again after the rollback, as the original tool has it. `original_failure_code`
    is why a rollback was needed that failed in its turn, None in all other cases.
    """

    request_id: Text
    execution_path: Annotated[ExecutionPath, member_of(ExecutionPath)]
    config_hash: Text
    rule_count: Count
    valid: Flag
    diagnostics: tuple[dict[str, Any], ...]
    deployment_status: Annotated[DeploymentStatus, member_of(DeploymentStatus)]
    deployment_id: Text
    health_ok: Flag
    challenge_ok: Flag
    proxy_ok: Flag
    failure_code: Annotated[FailureCode, member_of(FailureCode)] | None
    failure_stage: Annotated[Stage, member_of(Stage)] | None
    failure_reason: Text | None
    original_failure_code: Annotated[FailureCode, member_of(FailureCode)] | None
    image_digest: Text | None
    rolled_back_from: Text | None

    @property
    def ok(self) -> bool:
        """Whether what was asked for is true: the configuration is applied and passed every probe."""
        return self.deployment_status is DeploymentStatus.APPLIED and self.failure_code is None

    def to_json(self) -> dict[str, Any]:
        """Return what `reconcile --json` prints; keys that do not apply are left out."""
        row = self.to_row()
        shown: dict[str, Any] = {"ok": self.ok}
        for key in (
            "requestId",
            "executionPath",
            "configHash",
            "ruleCount",
            "valid",
            "deploymentStatus",
            "deploymentId",
            "challengeOk",
            "proxyOk",
            "healthOk",
        ):
            shown[key] = row[key]
        shown.update({key: row[key] for key in _OPTIONAL if row[key] is not None})
        if self.rolled_back_from is not None:
            # The original's key says "from" and holds the opposite. It stays for the scripts that read it.
            shown["rolledBackTo"] = self.rolled_back_from
        shown["diagnosticsCount"] = len(self.diagnostics)
        shown["diagnostics"] = row["diagnostics"]
        return shown
