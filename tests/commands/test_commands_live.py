"""Against a deployed system the same commands look, and change it only when they are allowed to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_runs import Run

from pytest_l402.harness.clock import SystemClock
from pytest_l402.harness.randomness import SeededRandomness
from pytest_l402.ops.settlement.drill import contradictions
from pytest_l402.stack import LoopbackServer, Request, Response, Stack
from pytest_l402.stack.served.served import ServedStack

ALLOWED = ("--allow-live-changes",)


class Deployed(NamedTuple):
    """A platform on ports of this machine, and the environment by which it is found."""

    stack: Stack
    environment: dict[str, str]
    record: Path
    scenario: Path

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def told(self, function: str) -> list[dict[str, Any]]:
        return [row["arguments"] for row in self.requests() if row["function"] == f"lightning/ops:{function}"]

    def set_faults(self, *faults: dict[str, Any]) -> None:
        self.scenario.write_text(json.dumps({"faults": list(faults)}))


@pytest.fixture(params=["api"])
def deployed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployed]:
    record, scenario = tmp_path / "requests.jsonl", tmp_path / "scenario.json"
    with (
        Stack(clock=SystemClock(), randomness=SeededRandomness("commands")) as stack,
        ServedStack(
            stack, previous=True, convex=request.param == "convex", record=record, scenario=scenario
        ).serving() as platform,
    ):
        for name, value in platform.environment.items():
            monkeypatch.setenv(name, value)
        yield Deployed(stack, platform.environment, record, scenario)


READ_ONLY = {
    "smoke:compile": (0, None),
    "smoke:staging": (1, "not_deployed"),
    "smoke:observability": (1, "not_deployed"),
    "smoke:full-flow": (1, "gateway_reconcile"),
    "smoke:settlement": (0, None),
    "smoke:security": (2, "change_refused"),
    "reconcile": (2, "change_refused"),
}


@pytest.mark.parametrize("command", READ_ONLY)
def test_without_permission_nothing_is_changed(run: Run, deployed: Deployed, command: str) -> None:
    told = run(command, "--json", "--mode", "live")
    code, failure = READ_ONLY[command]
    assert (told.code, told.document.get("failureCode")) == (code, failure)
    assert {row["kind"] for row in deployed.requests()} <= {"read"}
    assert not list(Path("output").glob("lightning-ops/state/*"))
    assert told.err == ""
    secrets = [value for name, value in deployed.environment.items() if not name.endswith(("URL", "PATH"))]
    assert len(secrets) == 4
    files = [path.read_text() for path in Path("output").rglob("*") if path.is_file()]
    for text in (told.out, told.err, *files):
        assert not any(secret in text for secret in secrets)


def test_security_tells_how_the_switches_stand_although_nothing_is_drilled(
    run: Run, deployed: Deployed
) -> None:
    deployed.stack.control_plane.set_global_pause(True, "an incident")
    document = run("smoke:security", "--json", "--mode", "live").document
    assert document["statusSnapshot"]["globalPauseActive"] is True
    refused = run("smoke:security", "--json", "--mode", "live", *ALLOWED)
    assert (refused.code, refused.document["failureCode"]) == (1, "security_drill_refused")
    assert deployed.stack.control_plane.security_state().global_reason == "an incident"


@pytest.mark.parametrize(
    ("deployed", "mode"),
    [("api", "live"), ("api", "api"), ("convex", "live"), ("convex", "convex"), ("convex", "khala")],
    indirect=["deployed"],
)
def test_staging_deploys_when_allowed_and_then_finds_it_deployed(
    run: Run, deployed: Deployed, mode: str
) -> None:
    told = run("smoke:staging", "--json", "--mode", mode, *ALLOWED)
    document = told.document
    assert (told.code, document["deploymentStatus"], document["deployed"]) == (0, "applied", True)
    assert "live change at gateway" in told.err
    assert [row["status"] for row in deployed.told("recordGatewayCompileIntent")] == ["pending", "applied"]
    events = deployed.told("recordGatewayDeploymentEvent")
    assert [row["eventType"] for row in events][-1] == "gateway_reconcile_applied"
    assert {row["requestId"] for row in events} == {document["requestId"]}
    look = run("smoke:staging", "--json", "--mode", mode)
    assert (look.code, look.document["deployed"], look.err) == (0, False, "")
    assert look.document["configHash"] == document["configHash"]


@pytest.mark.parametrize("allowed", [(), ALLOWED], ids=["read-only", "allowed"])
@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("request-id", "a b"),
        ("request-id", "a\nb"),
        ("request-id", "\N{SNOWMAN}"),
        ("image-digest", "latest"),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_and_without_permission(
    run: Run, deployed: Deployed, flag: str, value: str, allowed: tuple[str, ...]
) -> None:
    told = run("smoke:staging", "--json", "--mode", "live", f"--{flag}={value}", *allowed)
    assert (told.code, told.document["failureCode"]) == (2, "reconcile_refused")
    assert deployed.record.read_text() == ""


def test_a_look_tells_that_another_image_runs_than_the_one_asked_for(run: Run, deployed: Deployed) -> None:
    deployed_image = run("reconcile", "--json", "--mode", "live", *ALLOWED).document["imageDigest"]
    same = run("smoke:staging", "--json", "--mode", "live", "--image-digest", deployed_image)
    assert (same.code, same.document["ok"]) == (0, True)
    other = run("smoke:staging", "--json", "--mode", "live", "--image-digest", f"sha256:{'7' * 64}")
    assert (other.code, other.document["failureCode"]) == (1, "not_deployed")
    assert other.document["failureReason"] == f"image_digest_not_as_ordered: {deployed_image}"


def test_a_mode_that_names_the_other_form_is_refused(run: Run, deployed: Deployed) -> None:
    told = run("smoke:staging", "--json", "--mode", "khala")
    assert (told.code, told.document["failureCode"]) == (2, "configuration")
    assert "OA_LIGHTNING_OPS_KHALA_URL" in told.document["error"]


CODES = [
    ([{"fault": "PaywallNotCompilable"}], "failed", "compile_validation_failed"),
    ([{"fault": "ActiveLookupFailure"}], "failed", "active_lookup_failed"),
    ([{"fault": "DeployFailure"}], "rolled_back", "deploy_apply_failed"),
    ([{"fault": "DeployedUnhealthy"}], "rolled_back", "health_check_failed"),
    ([{"fault": "DeployedChallengeWrong", "how": "open"}], "rolled_back", "challenge_check_failed"),
    ([{"fault": "DeployedUpstreamUnreachable"}], "rolled_back", "proxy_check_failed"),
    ([{"fault": "DeployedUnhealthy"}, {"fault": "RollbackFailure"}], "failed", "rollback_failed"),
]


@pytest.mark.parametrize(("faults", "status", "code"), CODES, ids=[code for _, _, code in CODES])
def test_each_code_of_the_runbook_is_told_of_a_deployed_gateway(
    run: Run, deployed: Deployed, faults: list[dict[str, Any]], status: str, code: str
) -> None:
    deployed.set_faults(*faults)
    told = run("reconcile", "--json", "--mode", "live", "--request-id", "r1", *ALLOWED)
    document = told.document
    assert (told.code, document["failureCode"], document["deploymentStatus"]) == (1, code, status)
    assert json.loads(Path(document["artifacts"]["summaryPath"]).read_text()) == document
    last = deployed.told("recordGatewayCompileIntent")[-1]
    assert (last["status"], last["metadata"]["failure"]["code"]) == (status, code)
    deployed.set_faults()
    # The same request is what is on record; another one deploys.
    again = run("reconcile", "--json", "--mode", "live", "--request-id", "r2", *ALLOWED)
    assert (again.code, again.document["deploymentStatus"]) == (0, "applied")


def test_security_drills_when_allowed_and_leaves_everything_off(run: Run, deployed: Deployed) -> None:
    told = run("smoke:security", "--json", "--mode", "live", *ALLOWED)
    assert (told.code, told.document["ok"]) == (0, True)
    assert told.document["globalPause"]["denyReasonCode"] == "global_pause_active"
    assert "pause every paywall" in told.err
    state = deployed.stack.control_plane.security_state()
    assert (state.global_pause, state.killed_owners) == (False, ())
    assert not list(Path("output").rglob("live-changes.json"))


def test_what_could_not_be_undone_is_a_failure_and_named(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_l402.live import LiveControlPlane

    original = LiveControlPlane.mutation

    def deaf(self: LiveControlPlane, function: str, arguments: Any, request_id: str = "") -> dict[str, Any]:
        if arguments.get("active") is False:
            return {"ok": True}
        return original(self, function, arguments, request_id)

    monkeypatch.setattr(LiveControlPlane, "mutation", deaf)
    told = run("smoke:security", "--json", "--mode", "live", *ALLOWED)
    assert (told.code, told.document["failureCode"]) == (1, "not_undone")
    assert "pause every paywall of the platform" in told.document["error"]
    assert deployed.stack.control_plane.security_state().global_pause
    assert list(Path("output").rglob("live-changes.json"))


@pytest.mark.parametrize("secret", ["  ", "not-the-secret"])
@pytest.mark.parametrize("allowed", [(), ALLOWED], ids=["read-only", "allowed"])
def test_a_drill_that_cannot_begin_moves_the_artifacts_of_the_last_one_aside(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, secret: str, allowed: tuple[str, ...]
) -> None:
    summary = Path(run("smoke:security", "--json").document["artifacts"]["summaryPath"])
    before = summary.read_text()
    monkeypatch.setenv("OA_LIGHTNING_OPS_SECRET", secret)
    assert run("smoke:security", "--json", "--mode", "live", *allowed).code == 2
    assert not summary.exists()
    aside = Path("output/lightning-ops/previous/security") / summary.parent.name / summary.name
    assert aside.read_text() == before


@pytest.mark.parametrize("command", ["smoke:compile", "smoke:security", "reconcile"])
def test_notes_that_cannot_be_written_are_named_before_anything_is_sent(
    run: Run, deployed: Deployed, command: str
) -> None:
    Path("output/lightning-ops").mkdir(parents=True)
    Path("output/lightning-ops/state").write_text("a file where a folder has to be")
    told = run(command, "--json", "--mode", "live", *ALLOWED)
    assert (told.code, told.document["failureCode"]) == (2, "state_unusable")
    assert "lightning-ops/state" in told.document["error"]
    assert deployed.record.read_text() == ""


def test_compile_records_its_intent_when_allowed(run: Run, deployed: Deployed) -> None:
    told = run("smoke:compile", "--json", "--mode", "live", *ALLOWED)
    assert (told.code, told.document["recorded"]) == (0, True)
    (row,) = deployed.told("recordGatewayCompileIntent")
    assert (row["configHash"], row["status"]) == (told.document["configHash"], "pending")
    assert run("smoke:compile", "--json", "--mode", "live").document["recorded"] is False
    assert len(deployed.told("recordGatewayCompileIntent")) == 1


def test_observability_tells_of_gateway_gate_settlements_and_what_users_see(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("reconcile", "--json", "--mode", "live", *ALLOWED)
    told = run("smoke:observability", "--json", "--mode", "live")
    assert (told.code, told.document["ok"]) == (0, True)
    assert {row["plane"] for row in told.document["records"]} == {"control", "gateway", "settlement", "ui"}
    assert told.document["notObserved"]
    deployed.stack.control_plane.set_global_pause(True, "an incident")
    paused = run("smoke:observability", "--json", "--mode", "live")
    assert (paused.code, paused.document["failureCode"]) == (1, "challenge_check_failed")
    assert "global_pause_active" in {entry["code"] for entry in paused.document["failures"]}
    deployed.stack.control_plane.set_global_pause(False)
    monkeypatch.delenv("OA_LIGHTNING_OPS_CRED_SETTLEMENT_READ")
    blind = run("smoke:observability", "--json", "--mode", "live")
    assert (blind.code, blind.document["failureCode"]) == (1, "not_offered")
    assert "OA_LIGHTNING_OPS_CRED_SETTLEMENT_READ" in blind.document["failures"][0]["reason"]


def test_full_flow_shows_what_it_can_and_says_what_it_cannot(run: Run, deployed: Deployed) -> None:
    run("reconcile", "--json", "--mode", "live", *ALLOWED)
    told = run("smoke:full-flow", "--json", "--mode", "live", "--allow-missing-local-artifact")
    document = told.document
    assert told.code == 1
    assert document["coverage"]["failedChecks"] == ["policy_deny"]
    reasons = {entry["check"]: entry["reason"] for entry in document["failures"]}
    assert "--allow-live-changes" in reasons["policy_deny"]
    assert document["paidRequest"]["status"] == "paid"
    assert document["paidRequest"]["settlementId"] in document["settlementCorrelation"]["settlementIds"]
    assert document["gatewayReconcile"]["deploymentStatus"] == "applied"
    allowed = run("smoke:full-flow", "--json", "--mode", "live", "--allow-missing-local-artifact", *ALLOWED)
    assert (allowed.code, allowed.document["ok"]) == (0, True)
    assert allowed.document["mode"] == "live"
    assert allowed.document["policyDeniedRequest"]["denyReasonCode"] == "global_pause_active"
    state = deployed.stack.control_plane.security_state()
    assert (state.global_pause, state.killed_owners) == (False, ())


@pytest.mark.parametrize("value", [None, "L402 nonsense", "Bearer abc"])
def test_full_flow_without_a_usable_proof_is_no_paid_request(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    name = "OA_LIGHTNING_OPS_PROXY_AUTHORIZATION_HEADER"
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    told = run("smoke:full-flow", "--json", "--mode", "live", "--allow-missing-local-artifact")
    assert told.code == 1
    assert "paid_request_success" in told.document["coverage"]["failedChecks"]
    assert any(name in entry["reason"] for entry in told.document["failures"])
    assert "nonsense" not in told.out + told.err


def test_settlements_are_read_and_none_is_entered(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run("smoke:settlement", "--json", "--mode", "live", *ALLOWED)
    (stored,) = deployed.stack.settlement_store.rows("settlements")
    assert (told.code, told.document["processed"], told.document["entered"]) == (0, 1, 0)
    assert told.document["settlementIds"] == [stored["settlementId"]]
    assert told.document["paymentProofRefs"] == [stored["paymentProofRef"]]
    assert told.document["correlationRefs"][0]["taskId"] == stored["taskId"]
    assert {row["kind"] for row in deployed.requests()} == {"read"}
    monkeypatch.delenv("OA_LIGHTNING_OPS_CRED_SETTLEMENT_READ")
    blind = run("smoke:settlement", "--json", "--mode", "live")
    assert (blind.code, blind.document["failureCode"]) == (2, "not_offered")


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ([], ["no_settlements"]),
        ([{}, {}], ["settlement_told_twice", "proof_used_twice"]),
        ([{}, {"settlementId": "set_2"}], ["proof_used_twice"]),
        ([{"paymentProofRef": "paid"}], ["proof_without_form"]),
        ([{"amountMsats": 0}], ["amount_not_positive"]),
        ([{}], []),
    ],
)
def test_settlements_that_cannot_be_true_are_told(changes: list[dict[str, Any]], codes: list[str]) -> None:
    row = {"settlementId": "set_1", "paymentProofRef": f"lightning_preimage:{'a' * 24}", "amountMsats": 1}
    assert [code for code, _ in contradictions([row | change for change in changes])] == codes


def test_a_platform_that_shows_a_preimage_leaks_it_no_further(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_l402.live import JsonApi

    preimage, original = "ab" * 32, JsonApi.read

    def careless(self: JsonApi, method: str, url: str, **more: Any) -> Any:
        answer = original(self, method, url, **more)
        for row in answer.get("settlements", ()):
            row["paymentProofRef"] = preimage
        return answer

    monkeypatch.setattr(JsonApi, "read", careless)
    told = run("smoke:settlement", "--json", "--mode", "live")
    assert (told.code, told.document["failureCode"]) == (1, "proof_without_form")
    observed = run("smoke:observability", "--json", "--mode", "live")
    files = [path.read_text() for path in Path("output").rglob("*") if path.is_file()]
    assert files
    for text in (told.out, told.err, observed.out, observed.err, *files):
        assert preimage[:32] not in text


class Answering:
    """A system that gives one answer to everything."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def handle(self, request: Request) -> Response:
        return self._response


JSON = (("Content-Type", "application/json"),)
UNUSABLE = {
    "HTML": (Response(200, (("Content-Type", "text/html"),), b"<html>hello</html>"), "not_json"),
    "wrong schema": (Response(200, JSON, b'{"ok": true}'), "invalid_paywalls"),
    "a list": (Response(200, JSON, b"[]"), "wrong_schema"),
    "redirect": (Response(302, (("Location", "https://elsewhere.test/"),)), "redirected"),
    "10 MB": (Response(200, JSON, b'"' + b"x" * 10_000_000 + b'"'), "reply_too_large"),
    "secret refused": (Response(401, JSON, b'{"error": {"code": "invalid_ops_secret"}}'), "status_401"),
    "defect": (Response(500, JSON, b'{"error": {"code": "ops_secret_unconfigured"}}'), "status_500"),
    "duplicate key": (Response(200, JSON, b'{"paywalls": [], "paywalls": []}'), "not_json"),
}


@pytest.mark.parametrize("command", ["smoke:compile", "smoke:staging", "smoke:full-flow", "reconcile"])
@pytest.mark.parametrize(("response", "code"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_control_plane_that_cannot_be_used_is_one_line_and_exit_code_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, response: Response, code: str
) -> None:
    with LoopbackServer(Answering(response), host="127.0.0.1") as server:
        monkeypatch.setenv("OA_LIGHTNING_OPS_API_BASE_URL", server.url)
        monkeypatch.setenv("OA_LIGHTNING_OPS_SECRET", "a-secret-of-the-operator")
        monkeypatch.setenv("OA_LIGHTNING_OPS_GATEWAY_BASE_URL", server.url)
        allowed = ALLOWED if command == "reconcile" else ()
        told = run(command, "--json", "--mode", "live", *allowed)
    assert (told.code, told.document["failureCode"]) == (2, code)
    assert "127.0.0.1" in told.document["error"]
    assert "a-secret" not in told.out + told.err
    assert not list(Path("output").rglob("summary.json"))


def test_a_host_that_does_not_answer_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OA_LIGHTNING_OPS_API_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OA_LIGHTNING_OPS_SECRET", "a-secret-of-the-operator")
    told = run("smoke:compile", "--json", "--mode", "live")
    assert (told.code, told.document["failureCode"]) == (2, "unreachable")
    assert "127.0.0.1:1" in told.document["error"]
    assert told.err == ""


@pytest.mark.parametrize(
    "name", ["API_BASE_URL", "SECRET", "GATEWAY_BASE_URL", "CHALLENGE_URL", "PROXY_URL", "GATEWAY_OPS_TOKEN"]
)
@pytest.mark.parametrize("command", ["smoke:staging", "smoke:full-flow", "smoke:security"])
def test_a_blank_variable_is_named(
    run: Run, deployed: Deployed, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.setenv(f"OA_LIGHTNING_OPS_{name}", "  ")
    told = run(command, "--json", "--mode", "live")
    assert (told.code, told.document["failureCode"]) == (2, "configuration")
    assert f"OA_LIGHTNING_OPS_{name}" in told.document["error"]
    assert deployed.record.read_text() == ""


LIVE_TEXT = {
    "smoke:compile": "ok",
    "smoke:staging": "FAILED",
    "smoke:settlement": "ok",
    "smoke:observability": "FAILED",
    "smoke:full-flow": "FAILED",
}


@pytest.mark.parametrize("command", LIVE_TEXT)
def test_people_read_of_a_deployed_system_what_was_looked_at(
    run: Run, deployed: Deployed, command: str
) -> None:
    told = run(command, "--mode", "live")
    assert told.err == ""
    first, *lines = told.out.splitlines()
    assert first == f"{command}: {LIVE_TEXT[command]} (live)"
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line.startswith("  ok ")]
    failed = [line for line in lines if line.startswith("  failed")]
    assert bool(failed) is (LIVE_TEXT[command] == "FAILED")


def test_a_refusal_is_a_line_of_standard_error_alone(run: Run, deployed: Deployed) -> None:
    told = run("reconcile", "--mode", "live")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "allow it with --allow-live-changes" in told.err
