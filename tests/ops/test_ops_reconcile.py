"""A reconcile applies what passes every probe, names what does not, and puts back what ran before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from reconcile_world import (
    AFTER,
    BEFORE,
    NEW,
    PROVOKED_BY,
    active_hash,
    events,
    prepared,
    reconcile,
    sells,
    statuses,
)

from pytest_l402.contract import DeploymentStatus, record_departures
from pytest_l402.ops.reconcile.deployments import deployment_id
from pytest_l402.ops.reconcile.gateway_probes import PayingProbes
from pytest_l402.ops.reconcile.lock import ReconcileBusy
from pytest_l402.ops.reconcile.ports import ProbeTarget
from pytest_l402.ops.reconcile.reconciler import ReconcileRefused
from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.stack import Stack
from pytest_l402.stack.faults import (
    ChallengeAltered,
    DeployedChallengeWrong,
    DeployedUnhealthy,
    DeployFailure,
    GatewayDown,
    PaymentFailure,
    RollbackFailure,
)
from pytest_l402.stack.gateway.deployer import STAND_IN_IMAGE

OTHER_IMAGE = "sha256:" + "ab" * 32


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A deployment runs, and the control plane has one paywall more."""
    with prepared() as stack, stack.online():
        yield stack


@pytest.fixture
def fresh() -> Iterator[Stack]:
    """Nothing was ever deployed."""
    with prepared(deployed=False) as stack, stack.online():
        yield stack


def test_what_passes_every_probe_is_applied(stack: Stack) -> None:
    before = active_hash(stack)
    summary = reconcile(stack, "go")
    assert summary.ok
    assert summary.deployment_status is DeploymentStatus.APPLIED
    assert (summary.health_ok, summary.challenge_ok, summary.proxy_ok) == (True, True, True)
    assert active_hash(stack) == summary.config_hash != before
    assert sells(stack) == AFTER
    assert statuses(stack, "go") == ["pending", "applied"]
    assert events(stack, "go") == ["health_ok", "challenge_ok", "proxy_ok", "applied"]


def test_the_json_has_the_keys_of_the_original_and_says_what_is_true(stack: Stack) -> None:
    shown = reconcile(stack, "go").to_json()
    assert list(shown) == [
        "ok",
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
        "imageDigest",
        "diagnosticsCount",
        "diagnostics",
    ]
    assert shown["ok"] is True
    assert shown["executionPath"] == "hosted-node"
    assert shown["deploymentId"] == "dep_reconcile_go"
    assert shown["imageDigest"] == STAND_IN_IMAGE
    failed = reconcile(stack, "bad", DeployedUnhealthy()).to_json()
    assert failed["ok"] is False
    assert failed["failureCode"] == "health_check_failed"
    assert failed["rolledBackFrom"] == shown["configHash"]


@pytest.mark.parametrize("code", PROVOKED_BY)
def test_each_failure_is_named_and_leaves_what_ran_before(stack: Stack, code: str) -> None:
    before = active_hash(stack)
    summary = reconcile(stack, "bad", *PROVOKED_BY[code])
    assert not summary.ok
    assert summary.failure_code == code
    stages = ["compile", "active_lookup", "deploy_apply", "health_check", "challenge_check", "proxy_check"]
    reached = stages.index(
        (summary.original_failure_code or code).removesuffix("_failed").replace("_validation", "")
    )
    assert (summary.health_ok, summary.challenge_ok, summary.proxy_ok) == (reached > 3, reached > 4, False)
    if code == "rollback_failed":
        assert summary.deployment_status is DeploymentStatus.FAILED
        assert summary.original_failure_code == "challenge_check_failed"
        assert summary.rolled_back_from is None
        return
    assert active_hash(stack) == before
    assert sells(stack) == BEFORE
    rolled_back = code not in ("compile_validation_failed", "active_lookup_failed")
    assert summary.deployment_status == ("rolled_back" if rolled_back else "failed")
    assert summary.rolled_back_from == (before if rolled_back else None)
    assert summary.image_digest == (STAND_IN_IMAGE if rolled_back else None)
    assert summary.original_failure_code is None
    assert events(stack, "bad")[-1] == ("rolled_back" if rolled_back else f"failed_{code}")
    details = stack.ops.deployments.rows("gateway_events")[-1]["metadata"]["details"]
    assert details["failureReason"] == summary.failure_reason
    assert details.get("rolledBackFrom") == summary.rolled_back_from


@pytest.mark.parametrize("code", [code for code in PROVOKED_BY if code != "rollback_failed"])
def test_without_a_deployment_before_the_bad_one_is_withdrawn(fresh: Stack, code: str) -> None:
    summary = reconcile(fresh, "bad", *PROVOKED_BY[code])
    assert (summary.deployment_status, summary.failure_code) == (DeploymentStatus.FAILED, code)
    assert active_hash(fresh) is None
    assert sells(fresh) == BEFORE
    row = fresh.ops.deployments.rows("deployments")[-1]
    touched = code not in ("compile_validation_failed", "active_lookup_failed")
    assert row["diagnostics"]["metadata"].get("rollback") == ({"withdrawn": True} if touched else None)


def test_a_withdrawal_that_fails_is_no_withdrawal(fresh: Stack) -> None:
    summary = reconcile(fresh, "bad", DeployedChallengeWrong("open"), RollbackFailure(silent=True))
    assert (summary.failure_code, summary.original_failure_code) == (
        "rollback_failed",
        "challenge_check_failed",
    )
    assert summary.failure_reason is not None
    assert summary.failure_reason.startswith("withdrawn_but_open_status_200")


def test_a_gateway_that_is_still_unhealthy_after_a_withdrawal_is_told_of(fresh: Stack) -> None:
    summary = reconcile(fresh, "bad", DeployedUnhealthy(), RollbackFailure(silent=True))
    assert summary.failure_code == "health_check_failed"
    undone = {"withdrawn": True, "stillUnhealthy": summary.failure_reason}
    assert fresh.ops.deployments.rows("deployments")[-1]["diagnostics"]["metadata"]["rollback"] == undone
    assert fresh.ops.deployments.rows("gateway_events")[-1]["metadata"]["details"].items() >= undone.items()


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (DeployedChallengeWrong("open"), "challenge_check_failed", "challenge_status_200"),
        (DeployedChallengeWrong("price"), "challenge_check_failed", "challenge_amount_10000_not_5000"),
        (DeployedChallengeWrong("closed"), "challenge_check_failed", "challenge_status_401"),
        (DeployFailure("refused"), "deploy_apply_failed", "status_500"),
        (DeployFailure("too_late"), "deploy_apply_failed", "status_504"),
        (DeployFailure("image_not_pinned"), "deploy_apply_failed", "image_digest_not_pinned"),
        (PaymentFailure(), "proxy_check_failed", "proxy_not_paid_PaymentFailed"),
    ],
)
def test_each_way_to_fail_has_its_reason(fresh: Stack, fault, code: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    summary = reconcile(fresh, "bad", fault)
    assert summary.failure_code == code
    assert summary.failure_reason is not None
    assert summary.failure_reason.startswith(reason)
    assert sells(fresh) == BEFORE


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("expired", "challenge_invoice_expired"),
        ("another_network", "challenge_wrong_network"),
        ("no_payment_secret", "challenge_invoice_outdated"),
        ("not_bound", "challenge_not_bound"),
        ("no_macaroon", "challenge_macaroon_unreadable"),
    ],
)
def test_a_challenge_that_nobody_should_pay_is_none(stack: Stack, how: Any, code: str) -> None:
    summary = reconcile(stack, "bad", ChallengeAltered(how))
    # It is altered on its way, so that going back does not mend it.
    assert summary.original_failure_code == "challenge_check_failed"
    assert f"restored_but_challenge: {code} at " in str(summary.failure_reason)


def test_an_apply_that_fails_after_it_took_effect_is_undone(stack: Stack) -> None:
    before = active_hash(stack)
    loaded = []
    at = {Failpoint.UNDO_WRITTEN: lambda: loaded.append(active_hash(stack))}
    reconcile(stack, "bad", DeployFailure("too_late"), failpoint=lambda point: at.get(point, lambda: None)())
    assert loaded != [before]
    assert active_hash(stack) == before
    assert sells(stack) == BEFORE


def test_a_rollback_that_only_claims_to_have_worked_is_found_out(stack: Stack) -> None:
    summary = reconcile(stack, "bad", DeployedChallengeWrong("price"), RollbackFailure(silent=True))
    assert summary.failure_code == "rollback_failed"
    assert summary.failure_reason == (
        "restored_but_challenge: challenge_amount_42000_not_21000 at pw_premium:route_premium"
    )
    row = stack.ops.deployments.rows("deployments")[-1]
    failure = row["diagnostics"]["metadata"]["failure"]
    assert (failure["code"], failure["original"]["code"]) == ("rollback_failed", "challenge_check_failed")
    event = stack.ops.deployments.rows("gateway_events")[-1]
    assert event["eventType"] == "gateway_reconcile_failed_rollback_failed"
    assert event["level"] == "error"
    assert event["metadata"]["details"]["failureCode"] == "challenge_check_failed"


def test_a_rollback_that_cannot_be_seen_is_no_verified_one(stack: Stack) -> None:
    summary = reconcile(stack, "bad", GatewayDown())
    assert summary.failure_code == "rollback_failed"
    assert summary.original_failure_code == "health_check_failed"
    assert summary.failure_reason == "restored_but_health: health_unreachable_ConnectError"


def test_every_route_is_asked_and_one_is_paid(fresh: Stack) -> None:
    summary = reconcile(fresh, "go")
    asked = [row for row in fresh.journal.rows("exchanges") if row["challenge"] == "issued"]
    assert {row["path"] for row in asked} == {"/new", "/premium", "/premium-expensive", "/premium-expiring"}
    assert summary.rule_count == len(asked)
    assert [row["status"] for row in fresh.journal.rows("payments")] == ["succeeded"]


def test_the_image_has_to_be_the_one_that_was_ordered(stack: Stack) -> None:
    assert reconcile(stack, "go", image_digest=OTHER_IMAGE).image_digest == OTHER_IMAGE
    stack.control_plane.create_paywall(type(NEW)("pw_2", "owner_2", "route_2", "2", "/two", 1_000))
    back = reconcile(stack, "bad", DeployedUnhealthy(), image_digest=STAND_IN_IMAGE)
    assert back.deployment_status == "rolled_back"
    assert back.image_digest == OTHER_IMAGE


def test_no_more_is_paid_for_a_probe_than_the_target_allows(stack: Stack) -> None:
    probes = PayingProbes(stack.client, stack.wallet)
    target = ProbeTarget(
        rule_id="r",
        paywall_id="p",
        owner_id="o",
        host="gateway.l402.test",
        path="/premium",
        price_msats=None,
        max_msats=20_999,
        timeout_ms=1_000,
    )
    assert probes.challenge(target, request_id="probe").amount_msats == 21_000
    paid = len(stack.journal.rows("payments"))
    assert probes.proxy(target, request_id="probe").reason == "proxy_not_paid_AmountOverCap"
    assert probes.proxy(target.model_copy(update={"max_msats": 21_000}), request_id="probe").ok
    told = stack.journal.rows("payments")[paid:]
    assert [row["status"] for row in told if row["preimageReleased"]] == ["succeeded"]


# Rows and records


def test_rows_say_what_the_runbook_says(stack: Stack) -> None:
    reconcile(stack, "go:1")
    rows = stack.tables()["deployments"][-2:]
    pending, applied = rows
    assert pending["createdAtMs"] == applied["createdAtMs"] < applied["updatedAtMs"] == applied["appliedAtMs"]
    for row in rows:
        assert row["deploymentId"] == "dep_reconcile_go_1"
        assert row["executionPath"] == row["diagnostics"]["metadata"]["executionPath"] == "hosted-node"
        assert row["requestId"] == row["diagnostics"]["requestId"] == "go:1"
        assert row["diagnostics"]["metadata"]["correlation"] == {
            "requestId": "go:1",
            "deploymentId": row["deploymentId"],
            "configHash": row["configHash"],
            "paritySchemaVersion": "l402_run_artifact_v1",
            "parityKeys": ["executionPath", "requestId", "deploymentId", "configHash"],
        }
    assert pending["imageDigest"] is None
    assert applied["imageDigest"] == STAND_IN_IMAGE
    told = [row for row in stack.tables()["gateway_events"] if row["requestId"] == "go:1"]
    for row in told:
        metadata = row["metadata"]
        assert (metadata["executionPath"], metadata["deploymentId"]) == ("hosted-node", "dep_reconcile_go_1")
        assert metadata["configHash"] == applied["configHash"]
        assert metadata["routeId"] == "pw_new:route_new"
        assert (row["paywallId"], row["ownerId"], row["level"]) == ("pw_new", "owner_new", "info")
    assert told[1]["metadata"]["details"] == {"statusCode": 402, "amountMsats": 5_000, "routesChecked": 4}
    assert len({row["eventId"] for row in stack.tables()["gateway_events"]}) == len(
        stack.tables()["gateway_events"]
    )


@pytest.mark.parametrize("code", [None, *PROVOKED_BY])
def test_the_planes_tell_of_it(stack: Stack, code: str | None) -> None:
    reconcile(stack, "go", *PROVOKED_BY.get(code or "", ()))
    told = [
        row
        for row in stack.journal.rows("records")
        if row["requestId"] == "go"
        and row["endpoint"] in ("/api/lightning/paywalls/reconcile", "/l402/health")
    ]
    assert [(row["plane"], row["executor"], row["denyReason"]) for row in told] == [
        ("control", "system", code),
        ("gateway", "gateway", "gateway_probe_failed" if code else None),
    ]
    for row in told:
        assert record_departures(row) == ()
        assert row["executionPath"] == "hosted-node"
    assert any("oa_req=go reconcile dep_" in row["line"] for row in stack.journal.rows("logs"))


def test_nothing_that_is_kept_holds_a_secret(stack: Stack) -> None:
    reconcile(stack, "go")
    reconcile(stack, "bad", *PROVOKED_BY["rollback_failed"])
    kept = "\n".join(stack.ops.deployments._db.iterdump())
    preimages = [held.preimage.hex() for held in stack.node._held.values()]
    assert preimages
    for secret in (*preimages, "macaroon", "lnbcrt", "Authorization"):
        assert secret not in kept


# The same request again


def test_the_same_request_again_returns_the_recorded_outcome(stack: Stack) -> None:
    first = reconcile(stack, "go")
    tables = stack.tables()
    assert reconcile(stack, "go", DeployedUnhealthy()) == first
    again = stack.tables()
    assert {name: again[name] for name in ("deployments", "gateway_events", "records", "payments")} == {
        name: tables[name] for name in ("deployments", "gateway_events", "records", "payments")
    }


def test_a_failure_is_an_outcome_too(stack: Stack) -> None:
    first = reconcile(stack, "bad", DeployedUnhealthy())
    assert reconcile(stack, "bad") == first
    assert statuses(stack, "bad") == ["pending", "rolled_back"]


def test_a_request_id_is_not_used_for_two_configurations(stack: Stack) -> None:
    reconcile(stack, "go")
    stack.control_plane.create_paywall(type(NEW)("pw_2", "owner_2", "route_2", "2", "/two", 1_000))
    with pytest.raises(ReconcileRefused, match="expected the configuration and image of its first run") as no:
        reconcile(stack, "go")
    assert "\n" not in str(no.value)
    with pytest.raises(ReconcileRefused):
        reconcile(stack, "go", image_digest=OTHER_IMAGE)
    assert statuses(stack, "go") == ["pending", "applied"]
    assert sells(stack) == AFTER


def test_two_requests_with_one_deployment_id_are_told_apart(stack: Stack) -> None:
    reconcile(stack, "go:1")
    with pytest.raises(ValueError, match="deployment dep_reconcile_go_1 is taken"):
        reconcile(stack, "go_1")
    assert statuses(stack, "go_1") == []


@pytest.mark.parametrize("request_id", ["", "two words", "line\nbreak", "x" * 129, "schön"])
def test_an_id_that_no_header_carries_is_refused(stack: Stack, request_id: str) -> None:
    with pytest.raises(ReconcileRefused, match="request id: expected 1 to 128") as refused:
        reconcile(stack, request_id)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "digest", ["latest", "sha256:" + "a" * 32, "sha256:" + "A" * 64, "sha256:" + "a" * 64 + "\n", ""]
)
def test_an_image_that_is_not_pinned_is_refused(stack: Stack, digest: str) -> None:
    with pytest.raises(ReconcileRefused, match="image digest: expected sha256: and 64 hex digits"):
        reconcile(stack, "go", image_digest=digest)
    assert statuses(stack, "go") == []


@pytest.mark.parametrize(
    ("request_id", "expected"),
    [
        ("smoke:full-flow:1:reconcile", "dep_reconcile_smoke_full-flow_1_reconcile"),
        ("", "dep_reconcile_run"),
        ("a" * 200, "dep_reconcile_" + "a" * 90),
        ("a\U0001f600b", "dep_reconcile_a__b"),
    ],
)
def test_a_deployment_is_named_after_its_request(request_id: str, expected: str) -> None:
    assert deployment_id(request_id) == expected


# Two at once


def test_two_at_once_do_not_interleave(stack: Stack) -> None:
    refused: list[ReconcileBusy] = []

    def second(point: Failpoint) -> None:
        try:
            reconcile(stack, f"second-{point.value}")
        except ReconcileBusy as busy:
            refused.append(busy)

    assert reconcile(stack, "first", failpoint=second).ok
    assert len(refused) == 12
    assert all("\n" not in str(busy) for busy in refused)
    assert {row["requestId"] for row in stack.tables()["deployments"]} == {"before", "first"}
    assert reconcile(stack, "third").ok


def test_who_waits_has_its_turn(stack: Stack) -> None:
    begun, go_on = threading.Event(), threading.Event()
    results = []

    def slow(point: Failpoint) -> None:
        if point is Failpoint.APPLIED:
            begun.set()
            assert go_on.wait(30)

    first = threading.Thread(target=lambda: results.append(reconcile(stack, "first", failpoint=slow)))
    second = threading.Thread(target=lambda: results.append(stack.reconciler(wait_s=30).reconcile("second")))
    first.start()
    assert begun.wait(30)
    second.start()
    go_on.set()
    first.join(30)
    second.join(30)
    assert [summary.request_id for summary in results] == ["first", "second"]
    assert all(summary.ok for summary in results)
    order = [row["requestId"] for row in stack.tables()["deployments"]]
    assert order == ["before", "before", "first", "first", "second", "second"]


# Interrupted by hand


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("point", Failpoint)
def test_who_interrupts_gets_the_gateway_back(stack: Stack, point: Failpoint, interruption) -> None:  # type: ignore[no-untyped-def]
    before, done = active_hash(stack), []

    def interrupt(reached: Failpoint) -> None:
        if reached is point and not done:
            done.append(reached)
            raise interruption

    faults = (DeployedUnhealthy(),) if point.value.startswith("und") else ()
    with pytest.raises(interruption):
        reconcile(stack, "cut", *faults, failpoint=interrupt)
    assert done == [point]
    assert stack.ops.deployments.open_intents() == ()
    decided = point in (Failpoint.PROXY_WRITTEN, Failpoint.OUTCOME_WRITTEN)
    assert sells(stack) == (AFTER if decided else BEFORE)
    if not decided:
        assert active_hash(stack) == before
        ended = statuses(stack, "cut")[-1:]
        assert ended in ([], ["failed"], ["rolled_back"])


def test_paywalls_that_cannot_be_read_change_nothing(stack: Stack) -> None:
    def broken() -> None:
        raise ConnectionError("control plane")

    stack.control_plane.paywalls = broken  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        reconcile(stack, "go")
    assert statuses(stack, "go") == []
    assert sells(stack) == BEFORE


def test_a_stack_that_never_reconciled_has_no_such_rows() -> None:
    with Stack(1) as stack:
        assert not {"deployments", "gateway_events"} & stack.tables().keys()
