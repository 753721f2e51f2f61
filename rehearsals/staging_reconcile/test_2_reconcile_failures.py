"""Sections 4 and 6: each failure has its code, is undone by itself, and is found from its records."""

from contextlib import ExitStack

import pytest

from pytest_l402.evidence import (
    Check,
    deployment_persisted,
    deployments_told_alike,
    events_persisted,
    events_told_alike,
    every_route_probed,
    gateway_challenged,
    gateway_delivered,
    reconcile_reported,
    recovered,
    result_shows,
    some_record,
    some_row,
    steady_state_restored,
    triaged_as,
)
from pytest_l402.ops.compile.hashes import config_hash
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.plugin.fixtures import Reconcile
from pytest_l402.stack import (
    ActiveLookupFailure,
    ControlPlane,
    DeployedChallengeWrong,
    DeployedUnhealthy,
    DeployedUpstreamUnreachable,
    DeployFailure,
    Executor,
    Fault,
    Paywall,
    PaywallNotCompilable,
    RollbackFailure,
    Stack,
)

pytestmark = pytest.mark.rehearsal("reconcile-failures", runbook="staging-reconcile", section="4")

GOOD, BAD = "staging:good", "staging:bad"
NEW_PAYWALL = Paywall("pw_maps", "owner_maps", "route_maps", "maps", "/maps", 5_000)

UNTOUCHED = [
    pytest.param(PaywallNotCompilable(), "compile_validation_failed", "4.compile", id="compile"),
    pytest.param(ActiveLookupFailure(), "active_lookup_failed", "4.lookup", id="active-lookup"),
]
DEPLOYED = [
    pytest.param(DeployFailure(), "deploy_apply_failed", "4.apply", id="apply-refused"),
    pytest.param(DeployFailure("too_late"), "deploy_apply_failed", "4.apply", id="apply-too-late"),
    pytest.param(DeployFailure("image_not_pinned"), "deploy_apply_failed", "4.apply", id="image-not-pinned"),
    pytest.param(DeployedUnhealthy(), "health_check_failed", "4.health", id="unhealthy"),
    pytest.param(DeployedChallengeWrong("open"), "challenge_check_failed", "4.challenge", id="open-paywall"),
    pytest.param(DeployedChallengeWrong("price"), "challenge_check_failed", "4.challenge", id="wrong-price"),
    pytest.param(DeployedUpstreamUnreachable(), "proxy_check_failed", "4.proxy", id="upstream"),
]


@pytest.fixture
def changed_paywalls(l402_control_plane: ControlPlane) -> None:
    """What is for sale is no longer what is deployed: there is something to roll back from."""
    l402_control_plane.create_paywall(NEW_PAYWALL)


@pytest.mark.parametrize(("fault", "code", "line"), UNTOUCHED)
def test_fails_before_the_gateway_is_touched(
    fault: Fault,
    code: str,
    line: str,
    l402_stack: Stack,
    l402_executor: Executor,
    l402_reconcile: Reconcile,
    l402_evidence: EvidenceCollector,
) -> None:
    l402_reconcile(GOOD)
    with l402_stack.faults.inject(fault, BAD):
        l402_reconcile(BAD)
    l402_evidence.verify(
        reconcile_reported(BAD, deploymentStatus="failed", failureCode=code).proves(line),
        deployment_persisted(BAD, "failed").proves("3.history"),
        events_persisted(BAD, f"gateway_reconcile_failed_{code}").proves(line),
        *_written_down(),
        *_found_by_the_on_call(code),
    )
    _verify_selling(l402_executor, l402_evidence)


@pytest.mark.parametrize(("fault", "code", "line"), DEPLOYED)
def test_rolls_back(
    fault: Fault,
    code: str,
    line: str,
    l402_stack: Stack,
    l402_executor: Executor,
    l402_reconcile: Reconcile,
    l402_evidence: EvidenceCollector,
    request: pytest.FixtureRequest,
) -> None:
    before = l402_reconcile(GOOD)
    request.getfixturevalue("changed_paywalls")
    with l402_stack.faults.inject(fault, BAD):
        l402_reconcile(BAD)
    l402_evidence.verify(
        reconcile_reported(
            BAD, deploymentStatus="rolled_back", failureCode=code, rolledBackFrom=before.config_hash
        ).proves(line),
        deployment_persisted(BAD, "rolled_back", rolled_back=True).proves("4.rollback"),
        every_route_probed().proves("4.rollback"),
        *_written_down(),
        gateway_challenged(BAD, 21_000).proves("4.rollback"),
        gateway_delivered(BAD).proves("4.rollback"),
        *_found_by_the_on_call(code),
    )
    _verify_selling(l402_executor, l402_evidence)


@pytest.mark.parametrize(("fault", "code", "line"), DEPLOYED)
@pytest.mark.usefixtures("changed_paywalls")
def test_is_withdrawn_without_a_previous_deployment(
    fault: Fault,
    code: str,
    line: str,
    l402_stack: Stack,
    l402_executor: Executor,
    l402_reconcile: Reconcile,
    l402_evidence: EvidenceCollector,
) -> None:
    with l402_stack.faults.inject(fault, BAD):
        l402_reconcile(BAD)
    active = l402_stack.ops.deployer.active(request_id="staging:after")
    l402_evidence.record(
        "active_deployment", {"deploymentId": active and active.deployment_id, "asked": True}
    )
    l402_evidence.verify(
        reconcile_reported(BAD, deploymentStatus="failed", failureCode=code, rolledBackFrom=None).proves(
            line
        ),
        deployment_persisted(BAD, "failed").proves("3.history"),
        result_shows("active_deployment", deploymentId=None).proves("4.withdrawn"),
        every_route_probed().proves("4.withdrawn"),
        *_written_down(),
        *_found_by_the_on_call(code),
    )
    _verify_selling(l402_executor, l402_evidence)


@pytest.mark.parametrize(
    "rollback",
    [pytest.param(RollbackFailure(), id="refused"), pytest.param(RollbackFailure(silent=True), id="silent")],
)
def test_rollback_fails(
    rollback: Fault,
    l402_stack: Stack,
    l402_reconcile: Reconcile,
    l402_evidence: EvidenceCollector,
    request: pytest.FixtureRequest,
) -> None:
    l402_reconcile(GOOD)
    request.getfixturevalue("changed_paywalls")
    with ExitStack() as faults:
        faults.enter_context(l402_stack.faults.inject(DeployedUnhealthy(), BAD))
        faults.enter_context(l402_stack.faults.inject(rollback, BAD))
        l402_reconcile(BAD)
    l402_evidence.verify(
        reconcile_reported(
            BAD,
            deploymentStatus="failed",
            failureCode="rollback_failed",
            originalFailureCode="health_check_failed",
        ).proves("4.rollback-failed"),
        deployment_persisted(BAD, "failed").proves("4.rollback-failed"),
        events_persisted(BAD, "gateway_reconcile_failed_rollback_failed").proves("4.rollback-failed"),
        *_written_down(),
        *_found_by_the_on_call("rollback_failed"),
    )
    l402_reconcile("staging:mended")
    l402_evidence.verify(
        reconcile_reported("staging:mended", deploymentStatus="applied"), steady_state_restored()
    )


@pytest.mark.usefixtures("l402_executor")
def test_an_inspection_says_what_runs(l402_stack: Stack, l402_evidence: EvidenceCollector) -> None:
    def inspected(what: str) -> None:
        summary = l402_stack.ops.inspect(f"staging:{what}")
        l402_evidence.record("inspected", {**summary.to_row(), "ok": summary.ok, "what": what})

    inspected("nothing")
    l402_stack.reconciler().reconcile(GOOD)
    inspected("ordered")
    with l402_stack.faults.inject(DeployFailure("image_not_pinned"), "staging:by-hand"):
        _deploy_again(l402_stack, "staging:by-hand")
    inspected("unpinned")
    another = _deploy_again(l402_stack, "staging:pinned", "# by hand\n")
    inspected("another")
    probed = {"healthOk": True, "challengeOk": True, "proxyOk": True}
    l402_evidence.verify(
        *(
            some_row(
                "inspected", what=what, deploymentStatus="pending", ok=False, failureReason=reason
            ).proves("5.inspected")
            for what, reason in (
                ("nothing", "nothing_deployed"),
                ("unpinned", "image_digest_not_pinned"),
                ("another", f"active_is_{another}"),
            )
        ),
        some_row("inspected", what="ordered", deploymentStatus="applied", ok=True, **probed).proves(
            "5.inspected"
        ),
    )


def _deploy_again(stack: Stack, request_id: str, more: str = "") -> str:
    """Deploy the file that runs, with more text, past the reconcile, as somebody at the gateway may do."""
    running = stack.ops.deployer.active(request_id=request_id)
    assert running is not None
    text = stack.ops.deployer.disk.config(running.config_hash) + more
    deployed = stack.ops.deployer.apply(
        request_id=request_id,
        deployment_id="dep_by_hand",
        config_hash=config_hash(text.encode()),
        aperture_yaml=text,
        image_digest=stack.ops.deployer.image,
    )
    return deployed.config_hash


def _written_down() -> tuple[Check, ...]:
    return (deployments_told_alike().proves("3.history"), events_told_alike().proves("6.correlation"))


def _found_by_the_on_call(code: str) -> tuple[Check, ...]:
    return (
        some_record(
            requestId=BAD, plane="control", endpoint="/api/lightning/paywalls/reconcile", denyReason=code
        ).proves("6.correlation"),
        some_record(
            requestId=BAD, plane="gateway", endpoint="/l402/health", denyReason="gateway_probe_failed"
        ).proves("6.correlation"),
        triaged_as(BAD, "gateway", field="denyReason").proves("6.correlation"),
    )


def _verify_selling(executor: Executor, evidence: EvidenceCollector) -> None:
    evidence.verify(
        recovered(executor.buy("/premium")).proves("4.rollback"), steady_state_restored().proves("4.rollback")
    )
