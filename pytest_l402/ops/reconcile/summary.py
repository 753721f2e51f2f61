"""Decides what a reconcile says in the end: what was deployed or why not, and what is active instead."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pytest_l402.contract import CamelDocument, DeploymentStatus, ExecutionPath
from pytest_l402.contract.scalars import Count, Flag, Text, member_of
from pytest_l402.ops.reconcile.steps import FailureCode, Stage, step_of


class Failure(CamelDocument):
    """Why a deployment failed: a code of the runbook, the stage, and a reason of one line."""

    code: Annotated[FailureCode, member_of(FailureCode)]
    stage: Annotated[Stage, member_of(Stage)]
    reason: Text

    @classmethod
    def at(cls, stage: Stage, reason: str | None = None) -> Self:
        """Return the failure of a stage on the way to `applied`; without a reason its code says it all."""
        code = step_of(stage).code
        return cls(code=code, stage=stage, reason=reason or code.value)


class ReconcileSummary(CamelDocument):
    """How a reconcile ended.

    The three flags name the probes that passed before the failure. `rolled_back_from` holds the hash of the
    configuration that runs again after the rollback, as the original tool has it. `original_failure_code`
    is why a rollback was needed that failed in its turn, None in all other cases. `rollback_unverified` says
    of a rollback which probes cannot show that it worked, since what ran before did not pass them either.
    """

    request_id: Text
    execution_path: Annotated[ExecutionPath, member_of(ExecutionPath)]
    config_hash: Text
    rule_count: Count
    valid: Flag
    deployment_status: Annotated[DeploymentStatus, member_of(DeploymentStatus)]
    deployment_id: Text
    challenge_ok: Flag
    proxy_ok: Flag
    health_ok: Flag
    failure_code: Annotated[FailureCode, member_of(FailureCode)] | None = None
    failure_stage: Annotated[Stage, member_of(Stage)] | None = None
    failure_reason: Text | None = None
    original_failure_code: Annotated[FailureCode, member_of(FailureCode)] | None = None
    image_digest: Text | None = None
    rolled_back_from: Text | None = None
    rollback_unverified: Text | None = None
    diagnostics: tuple[dict[str, Any], ...]

    @property
    def ok(self) -> bool:
        """Whether what was asked for is true: the configuration is applied and passed every probe."""
        return self.deployment_status is DeploymentStatus.APPLIED and self.failure_code is None

    def to_json(self) -> dict[str, Any]:
        """Return what `reconcile --json` prints; keys that do not apply are left out."""
        row = self.to_row()
        diagnostics = row.pop("diagnostics")
        shown = {"ok": self.ok} | {key: value for key, value in row.items() if value is not None}
        if self.rolled_back_from is not None:
            # The original's key says "from" and holds the opposite. It stays for the scripts that read it.
            shown["rolledBackTo"] = self.rolled_back_from
        return shown | {"diagnosticsCount": len(diagnostics), "diagnostics": diagnostics}
