"""Whatever goes wrong, the exit code says so, `failureCode` says what, and the artifacts show it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_runs import Run

from pytest_l402.commands.targets.stack import StackTarget, mock_stack
from pytest_l402.ops.security.controls import GateDecision
from pytest_l402.ops.security.drill import run_security_drill
from pytest_l402.ops.security.summary import SecurityDrill
from pytest_l402.ops.settlement.drill import drill_books
from pytest_l402.ops.settlement.smoke import smoke_events
from pytest_l402.stack.faults import FAULTS

RECONCILES = [
    # fault, status over an earlier deployment, status of a first one, code
    (["PaywallNotCompilable"], "failed", "failed", "compile_validation_failed"),
    (["ActiveLookupFailure"], "failed", "failed", "active_lookup_failed"),
    (["DeployFailure"], "rolled_back", "failed", "deploy_apply_failed"),
    (["DeployFailure:too_late"], "rolled_back", "failed", "deploy_apply_failed"),
    (["DeployFailure:image_not_pinned"], "rolled_back", "failed", "deploy_apply_failed"),
    (["DeployedUnhealthy"], "rolled_back", "failed", "health_check_failed"),
    (["DeployedChallengeWrong"], "rolled_back", "failed", "challenge_check_failed"),
    (["DeployedChallengeWrong:price"], "rolled_back", "failed", "challenge_check_failed"),
    (["DeployedChallengeWrong:closed"], "rolled_back", "failed", "challenge_check_failed"),
    (["DeployedUpstreamUnreachable"], "rolled_back", "failed", "proxy_check_failed"),
    (["DeployedUnhealthy", "RollbackFailure"], "failed", "failed", "rollback_failed"),
]


def with_faults(faults: list[str]) -> list[str]:
    return [argument for fault in faults for argument in ("--fault", fault)]


@pytest.mark.parametrize(("faults", "over", "first", "code"), RECONCILES)
@pytest.mark.parametrize("command", ["smoke:staging", "reconcile"])
def test_each_code_of_the_runbook_is_told(
    run: Run, command: str, faults: list[str], over: str, first: str, code: str
) -> None:
    told = run(command, "--json", *with_faults(faults))
    document = told.document
    assert (told.code, document["ok"], document["failureCode"]) == (1, False, code)
    assert document["deploymentStatus"] == (over if command == "smoke:staging" else first)
    assert ("rolledBackFrom" in document) is (document["deploymentStatus"] == "rolled_back")
    assert told.err == ""
    if code == "rollback_failed":
        assert document["originalFailureCode"] == "health_check_failed"
    # The artifacts are there, and tell the same.
    assert all(row["fired"] for row in document.pop("faults"))
    assert json.loads(Path(document["artifacts"]["summaryPath"]).read_text()) == document
    lines = Path(document["artifacts"]["deploymentsPath"]).read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["status"] == document["deploymentStatus"]
    assert last["diagnostics"]["metadata"]["failure"]["code"] == code


def test_a_paywall_that_does_not_compile_leaves_no_file_of_an_earlier_one(run: Run) -> None:
    good = run("smoke:compile", "--json").document
    told = run("smoke:compile", "--json", "--fault", "PaywallNotCompilable")
    document = told.document
    assert (told.code, document["ok"], document["valid"]) == (1, False, False)
    assert document["failureCode"] == "compile_validation_failed"
    assert document["deploymentStatus"] == "failed"
    assert [item["code"] for item in document["diagnostics"]] == ["fractional_sats"]
    assert "configPath" not in document["artifacts"]
    folder = Path(document["artifacts"]["artifactDir"])
    assert folder != Path(good["artifacts"]["artifactDir"])
    assert not (folder / "aperture.yaml").exists()


# Those that break the hosted path; with the others a sale goes through, as with a degraded node.
FLOW_FAULTS = {
    "ActiveLookupFailure": "gateway_reconcile",
    "AnswerLost": "gateway_reconcile",
    "ChallengeAltered": "gateway_reconcile",
    "ChallengeFailure": "gateway_reconcile",
    "ChallengeKept": "gateway_reconcile",
    "CredentialRefused": "gateway_reconcile",
    "DeployFailure": "gateway_reconcile",
    "DeployedChallengeWrong": "gateway_reconcile",
    "DeployedUnhealthy": "gateway_reconcile",
    "DeployedUpstreamUnreachable": "gateway_reconcile",
    "ExecutorStops": "paid_request_success",
    "GatewayDown": "gateway_reconcile",
    "PaymentFailure": "gateway_reconcile",
    "PaymentLate": "gateway_reconcile",
    "PaymentPending": "gateway_reconcile",
    "PaywallNotCompilable": "gateway_reconcile",
    "PreimageLate": "gateway_reconcile",
    "PreimageMissing": "gateway_reconcile",
    "ProjectionProofMismatch": "settlement_correlation",
    "ProjectionStale": "settlement_correlation",
    "SettlementDelayed": "paid_request_success",
    "SettlementLost": "paid_request_success",
    "SettlementProofMismatch": "settlement_correlation",
    "UpstreamDown": "gateway_reconcile",
    "UpstreamFailure": "gateway_reconcile",
    "WalletLocked": "gateway_reconcile",
}
HARMLESS = {"AnswerSlow", "NodeDegraded", "PaymentSlow"}
# The one changes no command, the other needs a fault that makes a rollback.
NOT_ALONE = {"HeartbeatStopped", "RollbackFailure"}


def test_every_fault_is_told_apart() -> None:
    assert FLOW_FAULTS.keys() | HARMLESS | NOT_ALONE == FAULTS.keys()


@pytest.mark.parametrize("fault", FLOW_FAULTS)
def test_the_full_flow_fails_with_its_first_failed_check_and_leaves_its_files(run: Run, fault: str) -> None:
    told = run("smoke:full-flow", "--json", "--fault", fault)
    document = told.document
    assert (told.code, document["ok"], document["failureCode"]) == (1, False, FLOW_FAULTS[fault])
    assert list(document)[:2] == ["ok", "mode"]
    assert document["failureCode"] == document["coverage"]["failedChecks"][0]
    assert {entry["check"] for entry in document["failures"]} >= {document["failureCode"]}
    assert told.err == ""
    summary = json.loads(Path(document["artifacts"]["summaryPath"]).read_text())
    assert summary["ok"] is False
    assert summary["coverage"] == document["coverage"]
    events = Path(document["artifacts"]["eventsPath"]).read_text().splitlines()
    assert any(json.loads(line)["status"] == "failed" for line in events)


@pytest.mark.parametrize("fault", sorted(HARMLESS))
def test_what_harms_no_sale_fails_nothing(run: Run, fault: str) -> None:
    assert run("smoke:full-flow", "--json", "--fault", fault).code == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("GatewayDown", "health_check_failed"),
        ("UpstreamFailure:500", "proxy_check_failed"),
        ("SettlementLost", "records_incomplete"),
        ("ProjectionStale", "records_incomplete"),
        ("ExecutorStops:after_payment", "purchase_not_paid"),
    ],
)
def test_observability_is_not_ok_when_a_plane_has_nothing_to_tell(run: Run, fault: str, code: str) -> None:
    told = run("smoke:observability", "--json", "--fault", fault)
    document = told.document
    assert (told.code, document["ok"]) == (1, False)
    assert code in {entry["code"] for entry in document["failures"]}
    assert document["failureCode"] == document["failures"][0]["code"]
    lines = Path(document["artifacts"]["recordsPath"]).read_text().splitlines()
    assert [json.loads(line) for line in lines] == document["records"]


class Broken:
    """A part that does everything as another one does, but for what is given."""

    def __init__(self, inner: object, **instead: Any) -> None:
        self._inner = inner
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_security_controls_that_do_not_deny_fail(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_l402.stack.control.control_plane import ControlPlane

    monkeypatch.setattr(ControlPlane, "gate", lambda *_: GateDecision(True))
    document = run("smoke:security", "--json").document
    assert (document["ok"], document["failureCode"]) == (False, "global_pause_not_enforced")
    assert "owner_kill_switch_not_enforced" in document["failures"]
    told = run("smoke:security")
    assert "  failed  the global pause denies\n" in told.out
    assert "  ok      a role is rotated" in told.out


def test_a_pause_that_is_on_already_is_left_on_and_no_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = []

    def paused(target: StackTarget, request_id: str) -> Callable[[], SecurityDrill]:
        plane = target._stack.control_plane
        plane.set_global_pause(True, "an incident")

        def drill() -> SecurityDrill:
            try:
                return run_security_drill(plane, request_id=request_id)
            finally:
                reasons.append(plane.security_state().global_reason)

        return drill

    monkeypatch.setattr(StackTarget, "security_drill", paused)
    told = run("smoke:security", "--json")
    assert (told.code, told.document["failureCode"]) == (1, "security_drill_refused")
    assert reasons == ["an incident"]
    summary = json.loads(Path(told.document["artifacts"]["summaryPath"]).read_text())
    assert (summary["ok"], summary["error"]) == (False, told.document["error"])


def _replayed_as_new(store: Any) -> Callable[..., Any]:
    from dataclasses import replace

    def ingest(facts: Any) -> Any:
        return tuple(replace(entry, existed=False) for entry in store.ingest_batch(facts))

    return ingest


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda store: {"ingest_batch": _replayed_as_new(store)}, "replay_not_idempotent"),
        (lambda store: {"rows": lambda table: ()}, "invoice_status_wrong"),
    ],
)
def test_books_that_do_not_keep_what_they_are_told_fail(break_it: Any, code: str) -> None:
    with mock_stack() as stack:
        store: Any = Broken(stack.settlement_store, **break_it(stack.settlement_store))
        document, failures = drill_books(store, smoke_events())
    assert (document["ok"], document["failureCode"]) == (False, code)
    assert failures[0][0] == code


def test_books_that_take_a_contradiction_fail() -> None:
    with mock_stack() as stack:
        inner = stack.settlement_store
        batches: list[Any] = []

        def ingest(facts: Any) -> Any:
            batches.append(facts)
            return inner.ingest_batch(facts) if len(batches) == 1 else ()

        store: Any = Broken(inner, ingest_batch=ingest)
        document, failures = drill_books(store, smoke_events())
    assert [code for code, _ in failures] == ["conflict_not_refused"]
    assert document["conflict"] == {"refused": False, "codes": []}


def test_books_that_refuse_what_they_should_take_fail() -> None:
    with mock_stack() as stack:
        stack.settlement_store.ingest_batch([])
        document, failures = drill_books(stack.settlement_store, smoke_events())
        assert document["ok"]
        # The books now hold this payment; one for another amount contradicts them.
        store: Any = stack.settlement_store
        changed = tuple({**event, "amountMsats": 1} for event in smoke_events())
        document, failures = drill_books(store, changed)
    assert document["ok"] is False
    assert document["processed"] == 0
    assert len(failures) == 1


def test_a_defect_of_ours_is_one_line_and_never_a_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("preimage=" + "ab" * 32)

    monkeypatch.setattr("pytest_l402.commands.targets.stack.run_full_flow", broken)
    told = run("smoke:full-flow", "--json")
    assert (told.code, told.document["failureCode"], told.err) == (1, "internal_error", "")
    assert "ab" * 32 not in told.out + told.err


def test_artifacts_that_cannot_be_written_are_no_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_l402.boundary.whole_files.write_whole", full)
    for command in ("smoke:compile", "smoke:full-flow"):
        told = run(command, "--json")
        assert (told.code, told.document["ok"]) == (1, False)
        assert told.document["failureCode"] == "artifacts_not_written"
        # What would have been written is told all the same.
        assert ("configHash" in told.document) is (command == "smoke:compile")
        assert "No space left on device" in told.document["error"]
