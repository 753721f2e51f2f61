"""Decides without changing anything whether a deployed gateway does what the control plane says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_l402.boundary import printable
from pytest_l402.contract import DeploymentStatus, ExecutionPath
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.journal import Journal
from pytest_l402.ops.compile.compilation import Compilation, compile_paywalls
from pytest_l402.ops.reconcile.deployments import deployment_id, is_pinned
from pytest_l402.ops.reconcile.ports import (
    ActiveDeployment,
    GatewayOps,
    PaywallSource,
    Probes,
    ProbeTarget,
    reason_of,
)
from pytest_l402.ops.reconcile.probe_targets import of_unknown_price
from pytest_l402.ops.reconcile.probing import probe_all
from pytest_l402.ops.reconcile.reconciler import check_order
from pytest_l402.ops.reconcile.records import observations
from pytest_l402.ops.reconcile.steps import PROBES, Stage
from pytest_l402.ops.reconcile.summary import Failure, ReconcileSummary


def inspect(
    source: PaywallSource,
    gateway: GatewayOps,
    probes: Probes,
    *,
    request_id: str,
    targets: Callable[[Compilation], tuple[ProbeTarget, ...]],
    clock: Clock,
    witness: Journal,
    image_digest: str | None = None,
) -> ReconcileSummary:
    """Return what a reconcile would find: the compiled configuration, what runs, and what the probes see.

    `applied` means that the compiled configuration runs under a pinned image, that of `image_digest` unless
    None, and passes all probes. `pending` means that something else runs; it is probed, at any price. A probe
    that fails, a gateway that does not say what it runs and paywalls that do not compile are `failed`, with
    the code of the reconcile. Every probe is taken, also after one that failed; the witness is told what the
    planes say. Source: runbook staging-reconcile sections 2 and 4.

    Raises:
        ReconcileRefused: the id or digest cannot be used; nothing was asked.
        Exception: whatever the source of the paywalls, or `targets`, raises.
    """
    check_order(request_id, image_digest)
    compilation = compile_paywalls(tuple(source.paywalls(request_id=request_id)))
    summary = _inspected(compilation, gateway, probes, request_id, targets, image_digest)
    for record in observations(summary, clock.tick(), clock.tick()):
        witness.emit(record)
    return summary


def _inspected(
    compilation: Compilation,
    gateway: GatewayOps,
    probes: Probes,
    request_id: str,
    targets: Callable[[Compilation], tuple[ProbeTarget, ...]],
    image_digest: str | None,
) -> ReconcileSummary:
    if not compilation.valid:
        return _summary(request_id, compilation, (), failure=Failure.at(Stage.COMPILE))
    wanted = targets(compilation)
    try:
        active = gateway.active(request_id=request_id)
    except Exception as error:
        unknown = Failure.at(Stage.ACTIVE_LOOKUP, reason_of(error))
        return _summary(request_id, compilation, probe_all(probes, wanted, request_id)[0], failure=unknown)
    is_deployed = active is not None and active.config_hash == compilation.config_hash
    passed, failures = probe_all(probes, wanted if is_deployed else of_unknown_price(wanted), request_id)
    reason = _what_is_wrong(active, compilation, image_digest)
    failure = failures[0] if failures else None
    return _summary(request_id, compilation, passed, active=active, failure=failure, reason=reason)


def _what_is_wrong(
    active: ActiveDeployment | None, compilation: Compilation, image_digest: str | None
) -> str | None:
    if active is None:
        return "nothing_deployed"
    if active.config_hash != compilation.config_hash:
        return f"active_is_{printable(active.config_hash, 100)}"
    if not is_pinned(active.image_digest):
        return "image_digest_not_pinned"
    if image_digest not in (None, active.image_digest):
        return f"image_digest_not_as_ordered: {active.image_digest}"
    return None


def _summary(
    request_id: str,
    compilation: Compilation,
    passed: tuple[Stage, ...],
    *,
    active: ActiveDeployment | None = None,
    failure: Failure | None = None,
    reason: str | None = None,
) -> ReconcileSummary:
    status = DeploymentStatus.APPLIED if reason is None else DeploymentStatus.PENDING
    told: dict[str, Any] = {f"{stage.value}_ok": stage in passed for stage in PROBES}
    told |= {"failure_reason": reason} | {f"failure_{name}": value for name, value in failure or ()}
    return ReconcileSummary(
        request_id=request_id,
        execution_path=ExecutionPath.HOSTED_NODE,
        config_hash=compilation.config_hash,
        rule_count=compilation.rule_count,
        valid=compilation.valid,
        diagnostics=tuple(item.to_json() for item in compilation.diagnostics),
        deployment_status=DeploymentStatus.FAILED if failure is not None else status,
        deployment_id=deployment_id(request_id) if active is None else active.deployment_id,
        image_digest=None if active is None else active.image_digest,
        **told,
    )
