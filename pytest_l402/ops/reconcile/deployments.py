"""Decides what is kept of a deployment, of an event, and of the intent to deploy."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pytest_l402.contract import CamelDocument, DeploymentStatus, ExecutionPath
from pytest_l402.contract.scalars import Count, EpochMs, Flag, Text, member_of
from pytest_l402.ops.reconcile.ports import ActiveDeployment, ProbeTarget
from pytest_l402.ops.reconcile.steps import PROBES, Stage
from pytest_l402.ops.reconcile.summary import Failure, ReconcileSummary

DEPLOYMENTS_TABLE = "l402GatewayDeployments"
EVENTS_TABLE = "l402GatewayEvents"
PARITY_SCHEMA_VERSION = "l402_run_artifact_v1"
DEPLOYED, COMPILED = "dep_reconcile", "dep_compile"

_IMAGE_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OUTSIDE_ID = re.compile(r"[^A-Za-z0-9_-]")
_ID_LIMIT = 90


def is_pinned(image_digest: str | None) -> bool:
    """Return whether a digest pins an image: `sha256:` and 64 hex digits.

    Source: runbook staging-reconcile section 5.
    """
    return image_digest is not None and _IMAGE_DIGEST.fullmatch(image_digest) is not None


def deployment_id(request_id: str, prefix: str = DEPLOYED) -> str:
    """Return the id of the deployment of a request, with at most 90 characters of the latter.

    What is outside `[A-Za-z0-9_-]` becomes `_`, so that two requests may come to one id; the ledger refuses
    the second.
    """
    # A character above U+FFFF counts as two, as it does in JavaScript.
    text = _OUTSIDE_ID.sub(lambda found: "_" * (2 if ord(found[0]) > 0xFFFF else 1), request_id)
    return f"{prefix}_{text[:_ID_LIMIT] or 'run'}"


class Deployment(CamelDocument):
    """One row of `l402GatewayDeployments`: a deployment at one moment.

    The last row of an id is how it stands. `diagnostics` holds `{diagnostics, metadata, requestId}`: what the
    compiler found, and the correlation, progress, failure and rollback of the deployment. Source: runbook
    staging-reconcile section 3.
    """

    deployment_id: Text
    paywall_id: Text | None = None
    owner_id: Text | None = None
    config_hash: Text
    image_digest: Text | None = None
    status: Annotated[DeploymentStatus, member_of(DeploymentStatus)]
    diagnostics: dict[str, Any]
    applied_at_ms: EpochMs | None = None
    rolled_back_from: Text | None = None
    created_at_ms: EpochMs
    updated_at_ms: EpochMs
    request_id: Text
    execution_path: Annotated[ExecutionPath, member_of(ExecutionPath)]


class GatewayEvent(CamelDocument):
    """One row of `l402GatewayEvents`.

    `metadata` holds executionPath, deploymentId, configHash, routeId and details. Source: runbook
    staging-reconcile section 3.
    """

    event_id: Text
    paywall_id: Text
    owner_id: Text
    event_type: Text
    level: Literal["info", "warn", "error"]
    request_id: Text
    metadata: dict[str, Any]
    created_at_ms: EpochMs


class Intent(CamelDocument):
    """A reconcile as the ledger knows it: what it set out to do, how far it came, how it ended.

    `previous_known` tells a gateway that ran nothing before from one that was not asked yet. As long as it is
    false the gateway is untouched. `outcome` None is a run under way, or one that was cut off. Events are
    told under `rule_id`, `paywall_id` and `owner_id`: those of the first target, or of the first paywall.
    `baseline` are the probes that what runs did not pass before anything was deployed.
    """

    request_id: Text
    deployment_id: Text
    config_hash: Text
    rule_count: Count
    valid: Flag
    diagnostics: tuple[dict[str, Any], ...]
    image_digest: Text | None
    targets: tuple[ProbeTarget, ...]
    rule_id: Text | None
    paywall_id: Text | None
    owner_id: Text | None
    started_at_ms: EpochMs
    baseline: tuple[Failure, ...] = ()
    previous_known: Flag = False
    previous: ActiveDeployment | None = None
    previous_targets: tuple[ProbeTarget, ...] = ()
    passed: tuple[Annotated[Stage, member_of(Stage)], ...] = ()
    applied_digest: Text | None = None
    undoing: Failure | None = None
    outcome: ReconcileSummary | None = None

    def progress(self) -> dict[str, bool]:
        """Return healthOk, challengeOk and proxyOk: which probes passed."""
        return {f"{stage.value}Ok": stage in self.passed for stage in PROBES}

    def correlation(self) -> dict[str, Any]:
        """Return the metadata by which every plane finds the deployment again."""
        return {
            "requestId": self.request_id,
            "deploymentId": self.deployment_id,
            "configHash": self.config_hash,
            "paritySchemaVersion": PARITY_SCHEMA_VERSION,
            "parityKeys": ["executionPath", "requestId", "deploymentId", "configHash"],
        }
