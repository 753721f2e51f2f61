"""Reconciles of a deployed platform: each failure code, what is undone, and what the control plane learns."""

from pathlib import Path
from typing import Any

import pytest
from served_platform import Platform, served
from tiers import sampled

from pytest_l402.contract import DeploymentStatus
from pytest_l402.live import LiveError
from pytest_l402.live.gateway_ops import NOTHING_HASH
from pytest_l402.ops.reconcile.steps import FailureCode

Fault = dict[str, Any]
UNHEALTHY: Fault = {"fault": "DeployedUnhealthy"}

FAILURES = [
    pytest.param([{"fault": "PaywallNotCompilable"}], "compile_validation_failed", id="compile"),
    pytest.param([{"fault": "ActiveLookupFailure"}], "active_lookup_failed", id="lookup"),
    pytest.param([{"fault": "DeployFailure"}], "deploy_apply_failed", id="refused"),
    pytest.param([{"fault": "DeployFailure", "how": "too_late"}], "deploy_apply_failed", id="too-late"),
    pytest.param(
        [{"fault": "DeployFailure", "how": "image_not_pinned"}], "deploy_apply_failed", id="not-pinned"
    ),
    pytest.param([UNHEALTHY], "health_check_failed", id="unhealthy"),
    pytest.param([{"fault": "DeployedChallengeWrong"}], "challenge_check_failed", id="open"),
    pytest.param([{"fault": "DeployedChallengeWrong", "how": "price"}], "challenge_check_failed", id="price"),
    pytest.param(
        [{"fault": "DeployedChallengeWrong", "how": "closed"}], "challenge_check_failed", id="closed"
    ),
    pytest.param([{"fault": "DeployedUpstreamUnreachable"}], "proxy_check_failed", id="upstream"),
    pytest.param([UNHEALTHY, {"fault": "RollbackFailure"}], "rollback_failed", id="rollback"),
    pytest.param(
        [UNHEALTHY, {"fault": "RollbackFailure", "silent": True}], "rollback_failed", id="silent-rollback"
    ),
]
UNTOUCHED = {"compile_validation_failed", "active_lookup_failed"}


def test_every_code_of_the_runbook_is_provoked() -> None:
    assert {case.values[1] for case in FAILURES} == set(FailureCode)


def test_what_the_control_plane_says_is_deployed_and_stays(shared: Platform, state: Path) -> None:
    price_msats = shared.change_price()
    said: list[str] = []
    with shared.live(state, allow_changes=True, said=said) as live:
        summary = live.reconcile("applied")
        assert summary.ok, summary.failure_reason
        assert live.probed_price_msats() == price_msats
        assert live.gateway.active(request_id="after").config_hash == summary.config_hash
        assert live.history.undelivered() == 0
    systems = [line.split(":")[0].removeprefix("live change at ") for line in said]
    assert systems == ["gateway 127.0.0.1", "control plane 127.0.0.1"]
    assert [row["status"] for row in shared.told_of("dep_reconcile_applied")] == ["pending", "applied"]
    told = [
        row["arguments"] for row in shared.requests() if row["requestId"] == "applied" and row["arguments"]
    ]
    assert [row["eventType"] for row in told if "eventType" in row] == [
        f"gateway_reconcile_{kind}" for kind in ("health_ok", "challenge_ok", "proxy_ok", "applied")
    ]
    assert {row["executionPath"] for row in told if "eventType" in row} == {"hosted-node"}
    assert {row["configHash"] for row in told} == {summary.config_hash}
    with shared.live(state) as live:
        assert live.inspect("look").ok


def test_the_same_request_again_sends_no_change(shared: Platform, state: Path) -> None:
    shared.change_price()
    with shared.live(state, allow_changes=True) as live:
        first = live.reconcile("again")
    before = len(shared.changes())
    with shared.live(state, allow_changes=True) as live:
        assert live.reconcile("again") == first
    assert len(shared.changes()) == before


@pytest.mark.parametrize(("faults", "code"), FAILURES)
def test_a_failure_is_named_and_rolled_back(
    faults: list[Fault], code: str, shared: Platform, state: Path, request: pytest.FixtureRequest
) -> None:
    request_id = f"failing-{request.node.callspec.id}"
    shared.change_price()
    with shared.live(state, allow_changes=True) as live:
        good = live.reconcile(f"{request_id}-good")
        assert good.ok, good.failure_reason
        shared.change_price()
        shared.play(*({**fault, "requestId": request_id} for fault in faults))
        summary = live.reconcile(request_id)
        assert (summary.failure_code, summary.ok) == (code, False)
        rolls_back = code not in UNTOUCHED | {"rollback_failed"}
        wanted = DeploymentStatus.ROLLED_BACK if rolls_back else DeploymentStatus.FAILED
        assert summary.deployment_status is wanted
        assert summary.rolled_back_from == (good.config_hash if rolls_back else None)
        if code == "rollback_failed":
            assert summary.original_failure_code == "health_check_failed"
        active = live.gateway.active(request_id="after")
        assert active is not None
        if code != "rollback_failed":
            assert active.config_hash == good.config_hash
            assert live.probes.health(request_id="after").ok
        told = shared.told_of(summary.deployment_id)
        assert told[-1]["status"] == summary.deployment_status
        assert told[-1]["metadata"]["failure"]["code"] == code
        shared.play()
        mended = live.reconcile(f"{request_id}-mended")
        assert mended.ok, mended.failure_reason
        assert live.history.open_intents() == ()


@pytest.mark.parametrize(("faults", "code"), sampled(FAILURES[2:10], 3, "first deployments"))
def test_a_first_deployment_that_fails_is_withdrawn(
    faults: list[Fault], code: str, bare_platform: Platform, state: Path
) -> None:
    bare_platform.play(*({**fault, "requestId": "first"} for fault in faults))
    with bare_platform.live(state, allow_changes=True) as live:
        summary = live.reconcile("first")
        assert (summary.failure_code, summary.deployment_status) == (code, DeploymentStatus.FAILED)
        assert live.gateway.active(request_id="after") is None
        target = live.history.intent("first").targets[0]
        # What was refused never sold anything: what the gateway was started with is still for sale.
        sold = faults == [{"fault": "DeployFailure"}]
        assert (live.probes.challenge(target, request_id="after").status_code == 402) is sold


def test_nothing_sold_is_nothing_active(platform: Platform, state: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        live.permission.announce(live.gateway.url, live.gateway.where, "withdraw")
        live.gateway.withdraw(request_id="w", deployment_id="dep_w")
        live.gateway.withdraw(request_id="w", deployment_id="dep_w")
    assert [row["path"] for row in platform.changes()] == ["/ops/deploy"]
    with platform.live(state) as live:
        url = f"{live.gateway.url}/ops/deployment"
        answer = live.gateway._api.read("GET", url, headers=live.gateway._headers("raw"))
        assert answer["deployment"]["configHash"] == NOTHING_HASH
        assert live.gateway.active(request_id="look") is None


@pytest.mark.parametrize(
    "arguments", sampled([["--form=convex"], ["--protobuf"], ["--form=convex", "--protobuf"]], 1, "forms")
)
def test_each_form_of_the_control_plane(arguments: list[str], tmp_path: Path, state: Path) -> None:
    with served(tmp_path, "--previous", *arguments) as platform:
        assert ("OA_LIGHTNING_OPS_KHALA_URL" in platform.environment) == ("--form=convex" in arguments)
        with platform.live(state, allow_changes=True) as live:
            assert live.reconcile("forms").ok
            assert live.run_security_drill().ok
        with platform.live(state) as live:
            assert live.inspect("look").ok


def test_a_control_plane_that_does_not_take_the_deployment_keeps_the_gateway_untouched(
    shared: Platform, state: Path
) -> None:
    shared.change_price()
    with shared.live(state, allow_changes=True) as live:
        running = live.gateway.active(request_id="before")
        mutation = live.control_plane.mutation
        live.control_plane.mutation = _unwilling  # type: ignore[method-assign]
        with pytest.raises(LiveError) as caught:
            live.reconcile("unwilling")
        assert caught.value.code == "status_503"
        assert live.gateway.active(request_id="after") == running
        assert live.history.open_intents() == ()
        live.control_plane.mutation = mutation  # type: ignore[method-assign]
        assert live.history.undelivered() > 0
        assert live.reconcile("willing").ok
        assert live.history.undelivered() == 0
    assert [row["status"] for row in shared.told_of("dep_reconcile_unwilling")] == ["pending", "failed"]


def test_history_that_was_not_delivered_is_told_and_delivered_by_the_next_run(
    shared: Platform, state: Path
) -> None:
    shared.change_price()
    with shared.live(state, allow_changes=True) as live:
        told: list[str] = []
        mutation = live.control_plane.mutation

        def until_pending(function: str, arguments: Any, request_id: str = "") -> dict[str, Any]:
            if arguments.get("status") == "pending":
                return mutation(function, arguments, request_id)
            told.append(function)
            return _unwilling(function, arguments, request_id)

        live.control_plane.mutation = until_pending  # type: ignore[method-assign]
        with pytest.raises(LiveError, match="dep_reconcile_unheard is applied") as caught:
            live.reconcile("unheard")
        assert caught.value.code == "history_not_delivered"
        assert told
    assert [row["status"] for row in shared.told_of("dep_reconcile_unheard")] == ["pending"]
    with shared.live(state, allow_changes=True) as live:
        assert live.recover() == ()
    assert [row["status"] for row in shared.told_of("dep_reconcile_unheard")] == ["pending", "applied"]


def test_a_challenge_url_that_nothing_is_sold_at_deploys_nothing(shared: Platform, state: Path) -> None:
    elsewhere = shared.environment["OA_LIGHTNING_OPS_GATEWAY_BASE_URL"] + "/nowhere"
    before = len(shared.changes())
    with (
        shared.live(state, allow_changes=True, OA_LIGHTNING_OPS_CHALLENGE_URL=elsewhere) as live,
        pytest.raises(LiveError, match=r"none that answers for host .* and path /nowhere") as caught,
    ):
        live.reconcile("nowhere")
    assert caught.value.code == "missing_probe_route"
    assert len(shared.changes()) == before


def test_without_a_prepaid_proof_the_proxy_probe_fails(shared: Platform, state: Path) -> None:
    del shared.environment["OA_LIGHTNING_OPS_PROXY_AUTHORIZATION_HEADER"]
    try:
        with shared.live(state) as live:
            summary = live.inspect("unpaid")
    finally:
        shared.environment = dict(shared.told["environment"])
    assert (summary.failure_code, summary.failure_reason) == (
        "proxy_check_failed",
        "missing_proxy_authorization_header",
    )


def _unwilling(function: str, arguments: Any, request_id: str = "") -> dict[str, Any]:
    raise LiveError("control plane", code="status_503", expected="status 2xx", seen="503", remedy="wait")


PROOF_VARIABLE = "OA_LIGHTNING_OPS_PROXY_AUTHORIZATION_HEADER"


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        (PROOF_VARIABLE, None, "missing_proxy_authorization_header"),
        ("OA_LIGHTNING_OPS_GATEWAY_HEALTH_PATH", "/healthy", "wrong_health_path"),
        ("OA_LIGHTNING_OPS_CHALLENGE_URL", "{}/nowhere", "missing_probe_route"),
    ],
    ids=["no proof", "wrong health path", "nothing sold there"],
)
def test_what_could_never_pass_is_found_before_anything_is_deployed(
    variable: str, value: str | None, code: str, shared: Platform, state: Path
) -> None:
    shared.change_price()
    shared.environment.pop(variable)
    if value is not None:
        shared.environment[variable] = value.format(shared.environment["OA_LIGHTNING_OPS_GATEWAY_BASE_URL"])
    before = len(shared.changes())
    try:
        with shared.live(state, allow_changes=True) as live, pytest.raises(LiveError) as caught:
            live.reconcile("never")
    finally:
        shared.environment = dict(shared.told["environment"])
    assert (caught.value.code, len(str(caught.value).splitlines())) == (code, 1)
    assert variable in str(caught.value)
    assert len(shared.changes()) == before


@pytest.mark.parametrize("fault", ["UpstreamDown", "GatewayPausedByHand"])
def test_a_rollback_to_what_never_passed_is_one_that_cannot_be_verified(
    fault: str, platform: Platform, state: Path
) -> None:
    platform.change_price()
    with platform.live(state, allow_changes=True) as live:
        running = live.gateway.active(request_id="before")
        assert running is not None
        if fault == "UpstreamDown":
            platform.play({"fault": fault})
            told = "not verifiable: proxy_status_502 before the deployment, too"
        else:
            live.security.set_global_pause(True, "an incident")
            told = (
                "not verifiable: challenge_status_403 at pw_premium:route_premium before the deployment, too"
            )
        summary = live.reconcile("unverifiable")
        assert (summary.deployment_status, summary.rolled_back_from) == ("rolled_back", running.config_hash)
        assert str(summary.rollback_unverified).startswith(told)
        assert summary.original_failure_code is None
        told_row = platform.told_of(summary.deployment_id)[-1]
        assert told_row["status"] == "rolled_back"
        assert told_row["metadata"]["rollback"]["verified"] is False
        assert live.gateway.active(request_id="after").config_hash == running.config_hash  # type: ignore[union-attr]


def test_the_probes_are_taken_once_before_the_deployment(platform: Platform, state: Path) -> None:
    platform.change_price()
    with platform.live(state, allow_changes=True) as live:
        assert live.reconcile("looked-first").ok
    asked = [row["path"] for row in platform.requests() if row["requestId"] == "looked-first"]
    assert asked.index("/healthz") < asked.index("/ops/deploy")
    assert asked[: asked.index("/ops/deploy")].count("/healthz") == 1
    assert asked.count("/healthz") == 2
