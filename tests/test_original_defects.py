"""None of the fourteen places where the original tools betray their runbooks is one of ours.

One test or more for each, numbered as docs/defects-of-the-original-tools.md has them, at the command where
there is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_l402.boundary import read_json
from pytest_l402.cli import main
from pytest_l402.contract import REQUIRED_KEYS, parity, proof_join_key
from pytest_l402.harness.clock import SystemClock
from pytest_l402.harness.randomness import SeededRandomness
from pytest_l402.live import (
    Change,
    ChangeKind,
    ChangeRefused,
    ControlPlaneForm,
    LiveError,
    LiveSystem,
    control_plane_access,
    open_live_system,
)
from pytest_l402.stack import Stack
from pytest_l402.stack.served.served import ServedStack
from pytest_l402.triage.diagnosis import triage
from pytest_l402.triage.incident import read_incident

ORIGINAL_ARTIFACT = Path(__file__).parent / "contract" / "vectors" / "local-node-artifact.json"


class Ran(NamedTuple):
    code: int
    document: dict[str, Any]


Run = Callable[..., Ran]


class Deployed(NamedTuple):
    stack: Stack
    environment: dict[str, str]
    record: Path

    def switched(self) -> list[str]:
        return [row["kind"] for row in self.stack.tables().get("controls", ())]

    def assert_nothing_is_on(self) -> None:
        state = self.stack.control_plane.security_state()
        assert (state.global_pause, state.killed_owners) == (False, ())


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run a command with `--json` in a folder of its own; its answer must be one line of JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        code = main([*arguments, "--json"])
        (line,) = capsys.readouterr().out.splitlines()
        return Ran(code, json.loads(line))

    return run


def test_1_a_mock_run_shows_a_reused_payment(run: Run) -> None:
    """The original never emits cacheHit=true in a mock run."""
    code, document = run("smoke:observability")
    assert code == 0
    reused = [row for row in document["records"] if row["cacheHit"] is True]
    paid = [row for row in document["records"] if row["cacheHit"] is False and row["plane"] == "settlement"]
    assert {row["paymentProofRef"] for row in reused} <= {row["paymentProofRef"] for row in paid} != set()
    assert reused


def test_2_the_summary_is_whole_and_the_pause_denies(run: Run) -> None:
    """One original writes eleven flat keys, five of nineteen fields, and lets all through under the pause."""
    _, summary = run("smoke:full-flow")
    assert {"paidRequest", "policyDeniedRequest", "parity", "observability", "coverage"} <= {*summary}
    assert summary["paidRequest"]["status"] == "paid"
    assert summary["policyDeniedRequest"]["status"] == "denied"
    _, observed = run("smoke:observability")
    assert all(tuple(row) == REQUIRED_KEYS for row in observed["records"])
    assert {row["plane"] for row in observed["records"]} == {"control", "gateway", "settlement", "ui"}
    _, drilled = run("smoke:security")
    assert drilled["globalPause"] == {"allowed": False, "denyReasonCode": "global_pause_active"}
    assert drilled["ownerKillSwitch"]["allowed"] is False


def test_3_a_402_is_what_a_challenge_is_and_an_open_paywall_is_none(run: Run) -> None:
    """One original wants 2xx from the challenge URL, so that only an open paywall passes."""
    assert run("smoke:staging").document["challengeOk"] is True
    code, opened = run("smoke:staging", "--fault", "DeployedChallengeWrong:open")
    assert (code, opened["ok"], opened["challengeOk"]) == (1, False, False)
    assert opened["failureCode"] == "challenge_check_failed"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("DeployedUnhealthy", "rolled_back", "health_check_failed"),
        ("DeployFailure:image_not_pinned", "rolled_back", "deploy_apply_failed"),
        ("ActiveLookupFailure", "failed", "active_lookup_failed"),
        ("PaywallNotCompilable", "failed", "compile_validation_failed"),
    ],
)
def test_4_ok_is_evidence(run: Run, fault: str, status: str, code: str) -> None:
    """The original prints ok=true and exits 0 after `rolled_back` and `failed`, and leaves the reason out."""
    ended = run("smoke:staging", "--fault", fault)
    assert (ended.code, ended.document["ok"]) == (1, False)
    assert (ended.document["deploymentStatus"], ended.document["failureCode"]) == (status, code)
    assert ("rolledBackFrom" in ended.document) is (status == "rolled_back")
    applied = run("smoke:staging")
    assert (applied.code, applied.document["ok"], applied.document["deploymentStatus"]) == (
        0,
        True,
        "applied",
    )
    assert applied.document["imageDigest"].startswith("sha256:")


def test_5_a_failure_leaves_its_artifacts_and_none_of_an_earlier_run(run: Run) -> None:
    """The original writes on success only, so that a failure leaves nothing, or the files of last week."""
    good = run("smoke:full-flow").document
    summary, events = Path(good["artifacts"]["summaryPath"]), Path(good["artifacts"]["eventsPath"])
    assert json.loads(summary.read_text())["ok"] is True
    bad = run("smoke:full-flow", "--fault", "SettlementLost")
    assert bad.code == 1
    # The same request id, so the very same files: they tell of the failure now.
    assert bad.document["artifacts"]["summaryPath"] == summary.as_posix()
    told = json.loads(summary.read_text())
    assert told["ok"] is False
    assert told["coverage"]["failedChecks"]
    statuses = {json.loads(line)["status"] for line in events.read_text().splitlines()}
    assert {"ok"} < statuses


def test_6_a_blocked_flow_alone_is_no_parity(run: Run, tmp_path: Path) -> None:
    """The original asks for keys only, which all-null records and an artifact without any payment have."""
    artifact = json.loads(ORIGINAL_ARTIFACT.read_text())
    artifact["flows"] = [flow for flow in artifact["flows"] if flow["flow"] == "blocked"]
    (tmp_path / "blocked.json").write_text(json.dumps(artifact))
    code, document = run("smoke:full-flow", "--local-artifact", "blocked.json")
    assert (code, document["failureCode"]) == (1, "local_parity")


def test_6_parity_compares_values(run: Run) -> None:
    """With every key in place, nulls tell of no payment, and neither does a payment of another run."""
    records = run("smoke:observability").document["records"]
    summary = run("smoke:full-flow").document
    flows = read_json(Path(summary["parity"]["localArtifactPath"]))["flows"]
    told = [
        record | {"executionPath": "hosted-node"} for flow in flows for record in flow["observabilityRecords"]
    ]
    assert parity(told, flows).agrees
    assert not parity([dict.fromkeys(record) for record in told], flows).agrees
    assert not parity(records, read_json(ORIGINAL_ARTIFACT)["flows"]).agrees


def test_6_a_key_that_is_null_in_every_record_is_none(run: Run, tmp_path: Path) -> None:
    """In the original such a key is hosted, local and shared, since all records have it."""
    code, document = run("smoke:full-flow")
    parity = document["parity"]
    records = run("smoke:observability").document["records"]
    empty = {key for key in REQUIRED_KEYS if all(row[key] is None for row in records)}
    assert code == 0
    assert {"desktopSessionId", "walletState"} <= empty
    assert not empty & {*parity["hostedKeys"], *parity["sharedKeys"]}
    artifact = json.loads(ORIGINAL_ARTIFACT.read_text())
    for record in artifact["flows"][0]["observabilityRecords"]:
        record["paymentProofRef"] = None
    (tmp_path / "null.json").write_text(json.dumps(artifact))
    code, document = run("smoke:full-flow", "--local-artifact", "null.json")
    assert (code, document["failureCode"]) == (1, "local_parity")
    assert document["parity"]["localMissingKeys"] == ["paymentProofRef"]


def test_7_the_correlation_names_every_stage_of_the_flow(run: Run) -> None:
    """In the original the observability stage runs stages of its own, and names those alone."""
    summary = run("smoke:full-flow").document
    named = set(summary["observability"]["correlation"]["requestIds"])
    flow = summary["requestId"]
    assert {f"{flow}:reconcile", f"{flow}:policy-denied", summary["paidRequest"]["requestId"]} <= named
    proofs = summary["observability"]["correlation"]["paymentProofRefs"]
    assert summary["paidRequest"]["paymentProofRef"] in proofs


def test_8_a_success_on_a_degraded_node_is_one() -> None:
    """The triage of the runbook blames the local node for a purchase that succeeded; tasks share an id."""
    incident = read_incident(ORIGINAL_ARTIFACT)
    artifact = read_json(ORIGINAL_ARTIFACT)
    success, blocked = artifact["flows"]
    assert success["taskId"] == blocked["taskId"]
    assert success["observabilityRecords"][0]["nodeSyncStatus"] == "degraded"
    domains = {found.request_id: found.domain.value for found in triage(incident)}
    for flow, domain in ((success, "healthy"), (blocked, "policy")):
        ids = {record["requestId"] for record in flow["observabilityRecords"]}
        assert {domains[request_id] for request_id in ids if request_id in domains} == {domain}


def test_9_both_forms_of_a_proof_join(run: Run) -> None:
    """An exact join of hosted (24 hex digits) and local references (16, another prefix) never matches."""
    summary = run("smoke:full-flow").document
    hosted = summary["paidRequest"]["paymentProofRef"]
    artifact = read_json(Path(summary["parity"]["localArtifactPath"]))
    local = artifact["flows"][0]["proofReference"]
    assert hosted.startswith("lightning_preimage:")
    assert local.startswith("preimage:")
    assert proof_join_key(hosted) == proof_join_key(local) is not None


def test_10_the_local_artifact_holds_no_credential(run: Run) -> None:
    """The original keeps preimage and macaroon in `sellerCalls[].authorization`."""
    original = read_json(ORIGINAL_ARTIFACT)["flows"][0]["sellerCalls"][1]["authorization"]
    assert "preimage" in original
    summary = run("smoke:full-flow").document
    artifact = read_json(Path(summary["parity"]["localArtifactPath"]))
    given = [call["authorization"] for flow in artifact["flows"] for call in flow["sellerCalls"]]
    presented = [value for value in given if value is not None]
    assert presented
    assert all(value.startswith("sha256:") and len(value) == 23 for value in presented)


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    """A platform behind real ports, with the record of every request that reached it."""
    record = tmp_path / "requests.jsonl"
    with (
        Stack(clock=SystemClock(), randomness=SeededRandomness("original defects")) as stack,
        ServedStack(stack, previous=True, record=record).serving() as platform,
    ):
        yield Deployed(stack, platform.environment, record)


@pytest.fixture
def live(deployed: Deployed, tmp_path: Path) -> Callable[[bool], LiveSystem]:
    """Open that platform as a live system, with or without permission to change it."""

    def opened(allow_changes: bool) -> LiveSystem:
        return open_live_system(
            deployed.environment,
            folder=tmp_path / "state",
            allow_changes=allow_changes,
            announce=lambda _: None,
        )

    return opened


def test_11_without_permission_nothing_that_changes_is_sent(
    live: Callable[[bool], LiveSystem], deployed: Deployed
) -> None:
    """The original's live drills pause the real platform and rotate a real role."""
    with live(False) as system:
        assert system.inspect("look").valid
        with pytest.raises(ChangeRefused):
            system.run_security_drill()
        with pytest.raises(ChangeRefused):
            system.reconcile("deploy")
    requests = [json.loads(line) for line in deployed.record.read_text().splitlines()]
    assert {item["kind"] for item in requests} == {"read"}
    assert deployed.switched() == []


def test_11_a_drill_that_is_cut_off_is_undone(
    live: Callable[[bool], LiveSystem], deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original leaves the platform paused when it crashes between two calls."""
    paused = []

    def interrupt(*_: object) -> None:
        paused.append(deployed.stack.control_plane.security_state().global_pause)
        raise KeyboardInterrupt

    def drill() -> None:
        with live(True) as system:
            monkeypatch.setattr(system.security, "gate", interrupt)
            system.run_security_drill()

    with pytest.raises(KeyboardInterrupt):
        drill()
    assert paused == [True]
    assert "global_pause" in deployed.switched()
    deployed.assert_nothing_is_on()


def test_11_what_a_killed_drill_left_is_undone_first_of_all(
    live: Callable[[bool], LiveSystem], deployed: Deployed
) -> None:
    """The original keeps no word of what it has switched."""
    with live(True) as system:
        notes, where = system.notes.path, system.control_plane.where
    change = Change(kind=ChangeKind.GLOBAL_PAUSE, where=where, what="pause every paywall", reason="drill")
    notes.write_text(json.dumps({"changes": [change.to_row()]}))
    deployed.stack.control_plane.set_global_pause(True, "drill")
    with pytest.raises(LiveError, match="allow-live-changes"), live(False):
        pass
    assert deployed.stack.control_plane.security_state().global_pause
    with live(True):
        deployed.assert_nothing_is_on()


def test_12_an_unknown_mode_is_no_mock(run: Run, tmp_path: Path) -> None:
    """The original takes an unknown mode for its default."""
    code, document = run("smoke:staging", "--mode", "stagging")
    assert (code, document["failureCode"]) == (2, "unknown_mode")
    assert not (tmp_path / "output").exists()


def test_13_a_rollback_says_from_what_and_to_what(run: Run) -> None:
    """`rolledBackFrom` holds what is rolled back to; scripts read it. `rolledBackTo` says it rightly."""
    rolled_back = run("smoke:staging", "--fault", "DeployedUnhealthy").document
    assert rolled_back["rolledBackTo"] == rolled_back["rolledBackFrom"] == rolled_back["previousConfigHash"]
    assert rolled_back["configHash"] != rolled_back["rolledBackTo"]
    assert "rolledBackTo" not in run("smoke:staging").document


@pytest.mark.parametrize(
    ("variable", "form"),
    [
        ("OA_LIGHTNING_OPS_KHALA_URL", ControlPlaneForm.CONVEX),
        ("OA_LIGHTNING_OPS_CONVEX_URL", ControlPlaneForm.CONVEX),
        ("OA_LIGHTNING_OPS_API_BASE_URL", ControlPlaneForm.API),
    ],
)
def test_14_the_variable_of_the_runbook_is_read(variable: str, form: ControlPlaneForm) -> None:
    """No original reads OA_LIGHTNING_OPS_KHALA_URL, which runbook 2 has operators set."""
    access = control_plane_access({variable: "https://plane.example", "OA_LIGHTNING_OPS_SECRET": "s3cret"})
    assert (access.url, access.form) == ("https://plane.example", form)
