"""Sections 4 and 6: each failure has its code, is undone by itself, and is found from its records."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from pytest_l402.evidence import (
    Check,
    deployment_persisted,
    deployments_told_alike,
    events_persisted,
    events_told_alike,
    every_route_probed,
    found_in_logs,
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
from pytest_l402.ops.reconcile.reconciler import ReconcileRefused
from pytest_l402.ops.reconcile.summary import ReconcileSummary
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.plugin.fixtures import Reconcile
from pytest_l402.stack import (
    ActiveLookupFailure,
    ChallengeAltered,
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
from pytest_l402.stack.shop import GATEWAY_HOST, SELLER_HOST

pytestmark = pytest.mark.rehearsal("reconcile-failures", runbook="staging-reconcile", section="4")

GOOD, BAD = "staging:good", "staging:bad"
NEW_PAYWALL = Paywall("pw_maps.v2", "owner_maps", "route_maps", "maps", "/maps", 5_000)
FORBIDDEN = Paywall(
    *("pw_forbidden", "owner_maps", "route_forbidden", "forbidden", "/forbidden", 5_000),
    blocked_hosts=frozenset({GATEWAY_HOST}),
)
# How the file calls its service, and what somebody may call it who writes the file by hand.
SERVICE, BY_HAND = "pw_maps~2ev2.route_maps", ("handmade", "hand.made.twice")
FIRST_ROUTE = f"{NEW_PAYWALL.paywall_id}:{NEW_PAYWALL.route_id}"

UNTOUCHED = [
    pytest.param(
        PaywallNotCompilable(),
        "compile_validation_failed",
        "compile_validation_failed",
        "4.compile",
        id="compile",
    ),
    pytest.param(ActiveLookupFailure(), "active_lookup_failed", "status_503", "4.lookup", id="active-lookup"),
]
APPLY, CHALLENGE = "deploy_apply_failed", "challenge_check_failed"
DEPLOYED = [
    pytest.param(DeployFailure(), APPLY, "status_500", "4.apply", id="apply-refused"),
    pytest.param(DeployFailure("too_late"), APPLY, "status_504", "4.apply", id="apply-too-late"),
    pytest.param(
        DeployFailure("image_not_pinned"),
        APPLY,
        'image_digest_not_pinned: "gateway:latest"',
        "4.apply",
        id="image-not-pinned",
    ),
    pytest.param(DeployedUnhealthy(), "health_check_failed", "health_status_503", "4.health", id="unhealthy"),
    pytest.param(
        DeployedChallengeWrong("open"),
        CHALLENGE,
        f"challenge_status_200 at {FIRST_ROUTE}",
        "4.challenge",
        id="open-paywall",
    ),
    pytest.param(
        DeployedChallengeWrong("price"),
        CHALLENGE,
        f"challenge_amount_10000_not_5000 at {FIRST_ROUTE}",
        "4.challenge",
        id="wrong-price",
    ),
    pytest.param(
        DeployedUpstreamUnreachable(), "proxy_check_failed", "proxy_status_502", "4.proxy", id="upstream"
    ),
]
# What ran before is gone by then, and what was deployed never came up.
NOTHING_STARTS = [
    pytest.param(DeployFailure("file_unreadable"), APPLY, "does_not_start", "4.apply", id="file-unreadable"),
    pytest.param(DeployFailure("port_taken"), APPLY, "does_not_start", "4.apply", id="port-taken"),
]
# What is altered on the way is altered after a rollback, too.
ALTERED = pytest.param(
    ChallengeAltered("not_bound"),
    CHALLENGE,
    f"challenge_not_bound at {FIRST_ROUTE}",
    "4.challenge",
    id="not-bound",
)


@pytest.fixture
def changed_paywalls(l402_control_plane: ControlPlane) -> None:
    """What is for sale is no longer what is deployed: there is something to roll back from."""
    l402_control_plane.create_paywall(NEW_PAYWALL)


@pytest.mark.parametrize(("fault", "code", "reason", "line"), UNTOUCHED)
def test_fails_before_the_gateway_is_touched(
    fault: Fault,
    code: str,
    reason: str,
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
        reconcile_reported(BAD, deploymentStatus="failed", failureCode=code, failureReason=reason).proves(
            line
        ),
        deployment_persisted(BAD, "failed").proves("3.history"),
        events_persisted(BAD, f"gateway_reconcile_failed_{code}").proves(line),
        *_written_down(),
        *_found_by_the_on_call(code),
    )
    _verify_selling(l402_executor, l402_evidence)


@pytest.mark.parametrize(("fault", "code", "reason", "line"), [*DEPLOYED, *NOTHING_STARTS])
def test_rolls_back(
    fault: Fault,
    code: str,
    reason: str,
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
            BAD,
            deploymentStatus="rolled_back",
            failureCode=code,
            failureReason=reason,
            rolledBackFrom=before.config_hash,
        ).proves(line),
        some_row("seller_calls", requestId=GOOD, host=SELLER_HOST).proves("5.proxy"),
        deployment_persisted(BAD, "rolled_back", rolled_back=True).proves("4.rollback"),
        every_route_probed().proves("4.rollback"),
        *_written_down(),
        gateway_challenged(BAD, 21_000).proves("4.rollback"),
        gateway_delivered(BAD).proves("4.rollback"),
        *_found_by_the_on_call(code),
    )
    _verify_selling(l402_executor, l402_evidence)


@pytest.mark.parametrize(("fault", "code", "reason", "line"), [*DEPLOYED, ALTERED])
@pytest.mark.usefixtures("changed_paywalls")
def test_is_withdrawn_without_a_previous_deployment(
    fault: Fault,
    code: str,
    reason: str,
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
        reconcile_reported(
            BAD, deploymentStatus="failed", failureCode=code, failureReason=reason, rolledBackFrom=None
        ).proves(line),
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
def test_an_inspection_says_what_runs(
    l402_stack: Stack, l402_control_plane: ControlPlane, l402_evidence: EvidenceCollector
) -> None:
    def record(what: str, summary: ReconcileSummary) -> None:
        l402_evidence.record("inspected", {**summary.to_row(), "ok": summary.ok, "what": what})

    def inspected(what: str) -> None:
        record(what, l402_stack.ops.inspect(f"staging:{what}"))

    reconcile = l402_stack.reconciler().reconcile
    inspected("nothing")
    reconcile(GOOD)
    inspected("ordered")
    l402_control_plane.create_paywall(NEW_PAYWALL)
    refused = _is_refused(reconcile, GOOD)
    reconcile("staging:changed")
    with l402_stack.faults.inject(DeployFailure("image_not_pinned"), "staging:by-hand"):
        _deploy_again(l402_stack, "staging:by-hand")
    inspected("unpinned")
    another = _deploy_again(l402_stack, "staging:pinned", "# by hand\n")
    inspected("another")
    with l402_stack.faults.inject(DeployedUnhealthy(), BAD):
        record("undone", reconcile(BAD))
    for name in BY_HAND:
        _deploy_again(l402_stack, f"staging:{name}:deployed", instead=(SERVICE, name))
        inspected(name)
        _deploy_again(l402_stack, f"staging:{name}:undone", instead=(name, SERVICE))
    _deploy_again(l402_stack, "staging:dearer", instead=("price: 5\n", "price: 50\n"))
    inspected("dearer")
    l402_control_plane.create_paywall(FORBIDDEN)
    inspected("forbidden")
    probed = {"healthOk": True, "challengeOk": True, "proxyOk": True}
    l402_evidence.record("asked_again", {"refused": refused})
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
        *(
            some_row(
                "inspected", what=what, deploymentStatus="failed", ok=False, failureReason=reason
            ).proves("5.inspected")
            for what, reason in (
                # What nobody ordered is paid up to the price that was.
                ("dearer", "proxy_not_paid_AmountOverCap"),
                ("forbidden", "compile_validation_failed"),
            )
        ),
        some_row("inspected", what="undone", deploymentStatus="rolled_back", rolledBackFrom=another).proves(
            "4.rollback"
        ),
        *(
            some_record(requestId=f"staging:{name}", endpoint="/maps", paywallId=f"pw_{name}").proves(
                "5.inspected"
            )
            for name in BY_HAND
        ),
        result_shows("asked_again", refused=True).proves("project.idempotent"),
    )


def _is_refused(reconcile: Callable[[str], ReconcileSummary], request_id: str) -> bool:
    try:
        reconcile(request_id)
    except ReconcileRefused:
        return True
    return False


def _deploy_again(
    stack: Stack, request_id: str, more: str = "", *, instead: tuple[str, str] = ("", "")
) -> str:
    """Deploy the file that runs, with more text or another one, as somebody at the gateway may do.

    The reconcile does not hear of it.
    """
    running = stack.ops.deployer.active(request_id=request_id)
    assert running is not None
    text = stack.ops.deployer.disk.config(running.config_hash).replace(*instead) + more
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
        found_in_logs(BAD, "control").proves("6.correlation"),
    )


def _verify_selling(executor: Executor, evidence: EvidenceCollector) -> None:
    evidence.verify(
        recovered(executor.buy("/premium")).proves("4.rollback"), steady_state_restored().proves("4.rollback")
    )
