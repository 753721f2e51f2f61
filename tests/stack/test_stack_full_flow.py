"""The hosted full flow says ok only when all eight checks hold, and leaves its artifacts either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_l402.contract import CHECK_NAMES, FLOW_STAGES, FlowEvent, FullFlowSummary, stage_order_departures
from pytest_l402.harness.faults import Fault
from pytest_l402.ops.security.controls import GateDecision
from pytest_l402.protocol import format_credential, parse_challenges, preferred
from pytest_l402.stack import FullFlowRun, Gateway, Request, Response, Stack, run_full_flow
from pytest_l402.stack.faults import (
    ChallengeFailure,
    DeployedChallengeWrong,
    ExecutorStops,
    GatewayDown,
    PaymentFailure,
    ProjectionProofMismatch,
    ProjectionStale,
    SettlementDelayed,
    SettlementLost,
    SettlementProofMismatch,
    UpstreamDown,
    UpstreamFailure,
    WalletLocked,
)

VECTORS = Path(__file__).parent.parent / "contract" / "vectors"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(1, artifact_dir=tmp_path) as stack, stack.online():
        yield stack


def on_disk(run: FullFlowRun) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    return events, json.loads((run.folder / "summary.json").read_text())


def failed(run: FullFlowRun) -> list[str]:
    return [event.stage.value for event in run.events if event.status.value == "failed"]


def keys_of(value: Any, path: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {path}
    return {key for name, item in value.items() for key in keys_of(item, f"{path}.{name}")}


def test_it_holds(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack, tmp_path)

    assert run.summary.ok
    assert (run.summary.coverage.passed_checks, run.summary.coverage.failed_checks) == (8, ())
    assert run.folder == tmp_path / "lightning-ops" / "full-flow" / run.folder.name
    assert run.summary.request_id.replace(":", "_") == run.folder.name
    assert run.summary.request_id.startswith("smoke:full-flow:1735000000")
    assert stage_order_departures(run.events) == ()
    assert [event.stage for event in run.events] == list(FLOW_STAGES)
    assert not stack.control_plane.global_pause()
    # Of the purchase and of the denied request: the edge adds none to a client that names its task.
    assert [row["status"] for row in stack.tables()["tasks"]] == ["completed", "blocked"]


def test_its_files_are_what_it_returns_in_the_form_of_the_original(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack, tmp_path)
    events, summary = on_disk(run)

    assert FullFlowSummary.decode(summary) == run.summary
    assert [FlowEvent.decode(event) for event in events] == list(run.events)
    text = (run.folder / "summary.json").read_text()
    assert text.startswith('{\n  "ok": true,\n')
    assert text.endswith("}\n")
    assert sorted(path.name for path in run.folder.iterdir()) == ["events.jsonl", "summary.json"]
    original = json.loads((VECTORS / "full-flow-summary.json").read_text())
    assert keys_of(summary) == keys_of(original)
    lines = (VECTORS / "full-flow-events.jsonl").read_text().splitlines()
    for event, line in zip(events, lines, strict=True):
        assert keys_of(event) == keys_of(json.loads(line))


def test_the_paid_request_is_the_executor_s_purchase(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack, tmp_path)

    (row,) = stack.settlement_store.rows("settlements", requestId=run.paid.request_id)
    assert (row["paymentHash"], row["taskId"], row["amountMsats"]) == (
        run.paid.payment_hash,
        run.paid.task_id,
        run.paid.amount_msats,
    )
    paid = run.summary.paid_request
    assert paid is not None
    assert (paid.settlement_id, paid.payment_proof_ref) == (row["settlementId"], row["paymentProofRef"])
    correlation = run.summary.settlement_correlation
    assert correlation is not None
    # Two: the probe of the proxy pays as well.
    assert (correlation.processed, len(set(correlation.settlement_ids))) == (2, 2)


def test_it_pays_anew_although_a_credential_is_cached(stack: Stack, tmp_path: Path) -> None:
    first = stack.executor.buy("/premium")
    run = run_full_flow(stack, tmp_path)
    assert run.summary.ok
    assert run.paid.payment_hash != first.payment_hash


def test_two_runs_leave_two_folders(stack: Stack, tmp_path: Path) -> None:
    first, second = run_full_flow(stack, tmp_path), run_full_flow(stack, tmp_path)
    assert first.summary.ok
    assert second.summary.ok
    assert first.folder != second.folder
    assert stack.tables()["flow_summary"][0]["requestId"] == second.summary.request_id


def test_nothing_reaches_wallet_or_store_for_the_denied_request(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack, tmp_path)
    tables = stack.tables()
    denied = run.denied.request_id
    for table in ("invoices", "settlements", "projection"):
        assert [row for row in tables[table] if row["requestId"] == denied] == []
    (exchange,) = [row for row in tables["exchanges"] if row["requestId"] == denied]
    assert (exchange["status"], exchange["challenge"], exchange["paymentHash"]) == (403, None, None)
    assert len(tables["payments"]) == len(tables["settlements"]) == 2


def test_the_artifact_of_the_run_agrees_by_value(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack, tmp_path)
    parity = run.summary.parity
    assert parity is not None
    assert (parity.local_artifact_present, parity.local_missing_keys) == (True, ())
    assert parity.local_artifact_path == "l402-local-node-smoke-artifact.json"
    assert (tmp_path / "l402-local-node-smoke-artifact.json").is_file()


@pytest.mark.parametrize(
    ("fault", "checks", "stages"),
    [
        (
            GatewayDown(),
            {
                "gateway_reconcile",
                "paid_request_success",
                "settlement_correlation",
                "policy_deny",
                "observability",
                "hosted_parity",
                "local_parity",
            },
            FLOW_STAGES[1:],
        ),
        (
            ChallengeFailure(),
            {
                "gateway_reconcile",
                "paid_request_success",
                "settlement_correlation",
                "observability",
                "hosted_parity",
                "local_parity",
            },
            ("gateway.reconcile", "request.paid", "observability.verify", "parity.verify"),
        ),
        (
            UpstreamFailure(503),
            {"gateway_reconcile", "paid_request_success"},
            ("gateway.reconcile", "request.paid"),
        ),
        (
            UpstreamDown(),
            {"gateway_reconcile", "paid_request_success"},
            ("gateway.reconcile", "request.paid"),
        ),
        (
            PaymentFailure(),
            {
                "gateway_reconcile",
                "paid_request_success",
                "settlement_correlation",
                "observability",
                "hosted_parity",
                "local_parity",
            },
            ("gateway.reconcile", "request.paid", "observability.verify", "parity.verify"),
        ),
        (
            SettlementLost(),
            {"paid_request_success", "settlement_correlation", "observability"},
            ("request.paid", "observability.verify"),
        ),
        (
            SettlementDelayed(),
            {"paid_request_success", "settlement_correlation", "observability"},
            ("request.paid", "observability.verify"),
        ),
        (SettlementProofMismatch(), {"settlement_correlation"}, ("request.paid",)),
        (
            ProjectionStale(),
            {"settlement_correlation", "observability"},
            ("request.paid", "observability.verify"),
        ),
        (ProjectionProofMismatch(), {"settlement_correlation"}, ("request.paid",)),
        (
            WalletLocked(),
            {
                "gateway_reconcile",
                "paid_request_success",
                "settlement_correlation",
                "observability",
                "hosted_parity",
                "local_parity",
            },
            ("gateway.reconcile", "request.paid", "observability.verify", "parity.verify"),
        ),
        (
            ExecutorStops("after_payment"),
            {"paid_request_success", "settlement_correlation", "local_parity"},
            ("request.paid", "parity.verify"),
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_each_fault_fails_its_checks_and_leaves_the_artifacts(
    stack: Stack, tmp_path: Path, fault: Fault, checks: set[str], stages: tuple[str, ...]
) -> None:
    with stack.faults.inject(fault):
        run = run_full_flow(stack, tmp_path)

    assert not run.summary.ok
    assert set(run.summary.coverage.failed_checks) == checks
    assert failed(run) == [str(stage) for stage in stages]
    events, summary = on_disk(run)
    assert FullFlowSummary.decode(summary) == run.summary
    assert summary["ok"] is False
    assert stage_order_departures([FlowEvent.decode(event) for event in events]) == ()
    assert not stack.control_plane.global_pause()
    for event in run.events:
        assert ("failures" in event.details) == (event.status.value == "failed")


def test_a_deployment_at_another_price_is_noticed_and_taken_away(stack: Stack, tmp_path: Path) -> None:
    with stack.faults.inject(DeployedChallengeWrong("price")):
        run = run_full_flow(stack, tmp_path)
    assert run.summary.coverage.failed_checks == ("gateway_reconcile",)
    reconcile = run.summary.gateway_reconcile
    assert reconcile is not None
    assert (reconcile.health_ok, reconcile.challenge_ok, reconcile.proxy_ok) == (True, False, False)
    assert reconcile.deployment_status.value == "failed"
    [event] = [event for event in run.events if event.stage == "gateway.reconcile"]
    assert "challenge_check_failed" in event.details["failures"][0]["reason"]


def test_a_gateway_that_drifted_from_the_configured_price_is_brought_back(
    stack: Stack, tmp_path: Path
) -> None:
    first, *others = stack.gateway.services
    stack.gateway.services = (replace(first, price_msats=1_000), *others)
    run = run_full_flow(stack, tmp_path)
    assert run.summary.ok
    assert run.summary.paid_request is not None
    assert run.summary.paid_request.amount_msats == 21_000
    deployments = stack.tables()["deployments"]
    assert [row["status"] for row in deployments] == ["pending", "applied"]
    assert run.summary.gateway_reconcile is not None
    assert run.summary.gateway_reconcile.deployment_id == deployments[-1]["deploymentId"]
    assert run.summary.gateway_reconcile.config_hash == deployments[-1]["configHash"]


def test_a_gateway_that_somebody_else_configures_is_probed_only(stack: Stack, tmp_path: Path) -> None:
    class Theirs:
        def __init__(self, gateway: Gateway) -> None:
            self.handle = gateway.handle

    before = stack.gateway.services
    stack.replace(gateway=Theirs(stack.gateway))
    run = run_full_flow(stack, tmp_path)
    assert run.summary.ok
    assert run.summary.gateway_reconcile is not None
    assert run.summary.gateway_reconcile.deployment_id is None
    assert stack._built_in_gateway.services == before
    assert "deployments" not in stack.tables()


def test_a_pause_that_was_on_before_stays_on(stack: Stack, tmp_path: Path) -> None:
    stack.control_plane.set_global_pause(True, "incident")
    run = run_full_flow(stack, tmp_path)
    assert not run.summary.ok
    assert stack.control_plane.global_pause()


class Leaky:
    """A control plane whose pause holds for tasks, while the gateway goes on selling."""

    def __init__(self, control_plane: Any) -> None:
        self._control_plane = control_plane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control_plane, name)

    def gate(self, *_: Any) -> GateDecision:
        return GateDecision(True)


def test_a_gateway_that_sells_under_the_pause_is_noticed(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack.replace(control_plane=Leaky(stack.control_plane)), tmp_path)
    assert "policy_deny" in run.summary.coverage.failed_checks
    reasons = [failure["reason"] for failure in run.events[3].details["failures"]]
    assert reasons == [
        "expected 403 without a challenge of the gateway, saw 402",
        "expected no invoice, payment or settlement, saw some",
    ]


class Shut:
    """A gateway that asks the control plane, and answers 403 with the challenge that it should not show."""

    def __init__(self, stack: Stack) -> None:
        self.control_plane = stack.control_plane

    def handle(self, request: Request) -> Response:
        self.control_plane.gate(request.header("x-oa-request-id"), None, None)
        return Response(403, (("WWW-Authenticate", "L402"),))


def test_a_denial_that_comes_with_a_challenge_is_none(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack.replace(gateway=Shut(stack)), tmp_path)
    assert "policy_deny" in run.summary.coverage.failed_checks


def test_a_pause_that_denies_no_task_is_noticed_and_its_task_ended(stack: Stack, tmp_path: Path) -> None:
    class Deaf(Leaky):
        def set_global_pause(self, active: bool, reason: str | None = None) -> None:
            pass

    run = run_full_flow(stack.replace(control_plane=Deaf(stack.control_plane)), tmp_path)
    denied = run.summary.policy_denied_request
    assert denied is not None
    assert (denied.status.value, denied.deny_reason_code) == ("allowed", None)
    assert all(not task.is_pending for task in stack.control_plane.tasks())


class Interrupting:
    """A control plane under which somebody presses Ctrl-C just while everything is paused."""

    def __init__(self, control_plane: Any, error: BaseException) -> None:
        self._control_plane = control_plane
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control_plane, name)

    def create_task(self, request_id: str, *rest: Any) -> Any:
        if request_id.endswith(":policy-denied"):
            assert self._control_plane.global_pause()
            raise self._error
        return self._control_plane.create_task(request_id, *rest)


def test_an_interrupt_undoes_the_pause_and_leaves_the_artifacts(stack: Stack, tmp_path: Path) -> None:
    stack.replace(control_plane=Interrupting(stack.control_plane, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run_full_flow(stack, tmp_path)

    assert not stack.control_plane.global_pause()
    (summary_path,) = tmp_path.rglob("summary.json")
    summary = FullFlowSummary.decode(json.loads(summary_path.read_text()))
    assert not summary.ok
    assert "policy_deny" in summary.coverage.failed_checks
    events = [json.loads(line) for line in (summary_path.parent / "events.jsonl").read_text().splitlines()]
    assert [event["status"] for event in events] == ["ok", "ok", "ok", "failed"]


def test_an_error_of_a_part_is_a_failing_stage_and_shows_no_secret(stack: Stack, tmp_path: Path) -> None:
    secret = "preimage=" + "ab" * 32
    stack.replace(control_plane=Interrupting(stack.control_plane, RuntimeError(secret)))
    run = run_full_flow(stack, tmp_path)

    assert run.summary.coverage.failed_checks == ("policy_deny",)
    assert not stack.control_plane.global_pause()
    (failure,) = run.events[3].details["failures"]
    assert failure["reason"].startswith("RuntimeError: ")
    assert "ab" * 32 not in (run.folder / "events.jsonl").read_text()


class Fails:
    def buy(self, path_or_url: str) -> Any:
        raise RuntimeError("no buyer today")


def test_an_executor_that_raises_fails_its_stage_only(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack.replace(executor=Fails()), tmp_path, allow_missing_local_artifact=True)
    checks = {"paid_request_success", "settlement_correlation", "hosted_parity"}
    assert set(run.summary.coverage.failed_checks) == checks
    assert run.paid.payment_hash is None
    assert run.summary.paid_request is None


@dataclass(frozen=True)
class Bought:
    request_id: str


class OwnClient:
    """A user's client: knows L402 and nothing of this project's headers; only `buy` and `request_id`."""

    def __init__(self, stack: Stack, *, sends_ids: bool = False) -> None:
        self._wallet = stack.wallet
        self._headers = {"x-oa-request-id": "my-request-1"} if sends_ids else {}
        self.calls = 0

    def buy(self, path_or_url: str) -> Bought:
        self.calls += 1
        with httpx.Client(base_url="https://gateway.l402.test", verify=False) as client:
            asked = client.get(path_or_url, headers=self._headers)
            challenge = preferred(parse_challenges(asked.headers.get_list("www-authenticate")))
            payment = self._wallet.pay_invoice(challenge.invoice)
            authorization = format_credential(challenge.macaroon_base64, payment.preimage)
            got = client.get(path_or_url, headers={"Authorization": authorization, **self._headers})
            return Bought(got.headers["x-oa-request-id"])


@pytest.mark.parametrize("sends_ids", [False, True])
def test_a_client_of_the_user_takes_the_executor_s_place(
    stack: Stack, tmp_path: Path, sends_ids: bool
) -> None:
    client = OwnClient(stack, sends_ids=sends_ids)
    run = run_full_flow(stack.replace(executor=client), tmp_path, allow_missing_local_artifact=True)

    assert run.summary.ok, [event.details.get("failures") for event in run.events]
    assert client.calls == 1
    assert run.paid.request_id == ("my-request-1" if sends_ids else f"{run.summary.request_id}:paid")
    assert run.paid.payment_hash is not None
    assert run.paid.task_id is not None
    (task,) = [row for row in stack.tables()["tasks"] if row["taskId"] == run.paid.task_id]
    assert task["status"] == "completed"
    assert [row for row in stack.steady_state("after") if not row["ok"]] == []


def test_outside_the_flow_the_edge_adds_nothing(stack: Stack) -> None:
    bought = OwnClient(stack).buy("/premium")
    assert bought.request_id.startswith("gw-")
    assert "tasks" not in stack.tables()


def test_without_a_local_artifact_it_fails_unless_that_is_allowed(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack.replace(executor=OwnClient(stack)), tmp_path)
    assert run.summary.coverage.failed_checks == ("local_parity",)
    parity = run.summary.parity
    assert parity is not None
    assert (parity.local_artifact_present, parity.local_keys) == (False, ())


def test_a_historical_artifact_is_compared_by_key(stack: Stack, tmp_path: Path) -> None:
    run = run_full_flow(stack, tmp_path, local_artifact_path=VECTORS / "local-node-artifact.json")
    assert run.summary.ok
    assert not (tmp_path / "l402-local-node-smoke-artifact.json").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "expected"),
        ("[]", "LocalNodeArtifact"),
        (
            '{"generatedAtMs": 1, "flows": []}',
            "no value for executionPath, requestId, taskId, payment",
        ),
    ],
)
def test_a_given_artifact_that_says_nothing_fails_even_if_a_missing_one_is_allowed(
    stack: Stack, tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "given.json"
    path.write_text(text)
    run = run_full_flow(stack, tmp_path, path, allow_missing_local_artifact=True)
    assert run.summary.coverage.failed_checks == ("local_parity",)
    (failure,) = run.events[-1].details["failures"]
    assert reason in failure["reason"]


def test_a_missing_given_artifact_is_named_or_waived(stack: Stack, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.json"
    run = run_full_flow(stack, tmp_path, missing)
    assert run.summary.coverage.failed_checks == ("local_parity",)
    assert "nowhere.json" in run.events[-1].details["failures"][0]["reason"]
    assert run_full_flow(stack, tmp_path, missing, allow_missing_local_artifact=True).summary.ok


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        with Stack(9, artifact_dir=tmp_path / name) as stack, stack.online():
            folder = run_full_flow(stack, tmp_path / name).folder
            files = (*sorted(folder.iterdir()), tmp_path / name / "l402-local-node-smoke-artifact.json")
            texts.append([path.read_bytes() for path in files])
    assert texts[0] == texts[1]


def test_the_folder_for_artifacts_may_come_with_the_flow(tmp_path: Path) -> None:
    with Stack(1) as stack, stack.online():
        assert run_full_flow(stack, tmp_path).summary.ok
        assert "flow_summary" in stack.tables()


def test_no_check_is_borne_out_by_a_flow_that_cannot_begin(tmp_path: Path) -> None:
    with Stack(1) as stack:
        run = run_full_flow(stack, tmp_path)
    assert set(run.summary.coverage.failed_checks) == set(CHECK_NAMES) - {"paywall_creation"}
