"""The stack from end to end: what each purchase and each fault leaves in the tables."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_l402.contract import proof_join_key, record_departures
from pytest_l402.harness.faults import Fault
from pytest_l402.ops.reconcile.ledger import LedgerError
from pytest_l402.stack import (
    PurchaseStatus,
    SeededRandomness,
    Stack,
    StackClock,
    SystemClock,
    SystemRandomness,
    run_full_flow,
)
from pytest_l402.stack.books.store import SettlementStore
from pytest_l402.stack.faults import (
    Altered,
    AnswerLost,
    AnswerSlow,
    ChallengeAltered,
    ChallengeFailure,
    ChallengeKept,
    CredentialRefused,
    ExecutorStops,
    GatewayDown,
    HeartbeatStopped,
    LostAt,
    NodeDegraded,
    PaymentFailure,
    PaymentLate,
    PaymentPending,
    PaymentSlow,
    PreimageLate,
    PreimageMissing,
    ProjectionProofMismatch,
    ProjectionStale,
    SettlementDelayed,
    SettlementLost,
    SettlementProofMismatch,
    UpstreamDown,
    UpstreamFailure,
    WalletLocked,
)
from pytest_l402.stack.operations import LEDGER_NAME
from pytest_l402.stack.system import StackSystem

EVERY_FAULT: tuple[Fault, ...] = (
    GatewayDown(),
    ChallengeFailure(),
    UpstreamFailure(),
    UpstreamDown(),
    SettlementLost(),
    SettlementDelayed(),
    SettlementProofMismatch(),
    ProjectionStale(),
    ProjectionProofMismatch(),
    PaymentFailure(),
    PaymentPending(),
    PaymentSlow(),
    PreimageMissing(),
    WalletLocked(),
    NodeDegraded(),
    ExecutorStops("before_payment"),
    ExecutorStops("during_payment"),
    ExecutorStops("after_payment"),
    HeartbeatStopped(),
    *(AnswerLost(at) for at in LostAt.__args__),  # type: ignore[attr-defined]
    AnswerSlow(),
    *(ChallengeAltered(how) for how in Altered.__args__),  # type: ignore[attr-defined]
    ChallengeKept(),
    CredentialRefused(401),
    CredentialRefused(402),
    PaymentLate(),
    PreimageLate(),
)
Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(402, artifact_dir=tmp_path) as stack, stack.online():
        yield stack


def of(tables: Tables, table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in tables.get(table, []) if wanted.items() <= row.items()]


def told(tables: Tables, request_id: str) -> list[tuple[str, str, str | None]]:
    """Return plane, executor and deny reason of the records of a request, in order."""
    rows = of(tables, "records", requestId=request_id)
    return [(row["plane"], row["executor"], row["denyReason"]) for row in rows]


def proofs(tables: Tables, request_id: str, plane: str) -> set[str | None]:
    rows = of(tables, "records", requestId=request_id, plane=plane, executionPath="hosted-node")
    return {row["paymentProofRef"] for row in rows if row["paymentProofRef"]}


def test_a_stack_that_cannot_start_lets_go_of_its_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    close = SettlementStore.close
    monkeypatch.setattr(SettlementStore, "close", lambda store: closed.append(close(store)))
    (tmp_path / LEDGER_NAME).write_text("somebody's notes")
    with pytest.raises(LedgerError):
        Stack(ops_folder=tmp_path)
    assert closed == [None]


def test_a_purchase_is_one_story_in_every_table(stack: Stack) -> None:
    bought = stack.executor.buy("/premium")
    tables = stack.tables()
    request_id = bought.request_id

    assert told(tables, request_id) == [
        ("control", "system", None),  # the task
        ("control", "system", None),  # the gate, asked by the gateway before it challenges
        ("gateway", "gateway", None),  # the challenge
        ("settlement", "desktop", None),
        ("control", "system", None),
        ("settlement", "gateway", None),
        ("ui", "system", None),
        ("gateway", "gateway", None),  # the delivery
        ("ui", "desktop", None),
    ]
    assert {proof_join_key(row["paymentProofRef"]) for row in of(tables, "records")} == {
        None,
        proof_join_key(bought.proof_reference),
    }
    (payment,), (invoice,), (settlement,) = tables["payments"], tables["invoices"], tables["settlements"]
    assert {row["paymentHash"] for row in (payment, invoice, settlement)} == {bought.payment_hash}
    assert {row["amountMsats"] for row in (payment, invoice, settlement)} == {21_000}
    assert (payment["status"], invoice["status"]) == ("succeeded", "settled")
    assert settlement["invoiceId"] == invoice["invoiceId"]
    assert settlement["paymentProofRef"] == payment["proofReference"] == bought.proof_reference
    assert [row["status"] for row in of(tables, "exchanges", requestId=request_id)] == [402, 200]
    (shown,) = tables["projection"]
    assert (shown["requestId"], shown["status"]) == (request_id, "paid")
    (task,) = tables["tasks"]
    assert (task["taskId"], task["status"]) == (bought.task_id, "completed")
    (artifact,) = tables["local_artifact"]
    assert [flow["createRequestId"] for flow in artifact["flows"]] == [request_id]
    gateway_lines = [row for row in tables["logs"] if row["plane"] == "gateway"]
    assert len([row for row in gateway_lines if f"oa_req={request_id} " in row["line"]]) == 2


def test_times_never_run_backwards_within_a_table(stack: Stack) -> None:
    stack.executor.buy("/premium")
    run_full_flow(stack, stack.artifact_dir or Path())
    for name, rows in stack.tables().items():
        times = [row.get("observedAtMs", row.get("atMs", row.get("ts"))) for row in rows]
        known = [time for time in times if time is not None]
        assert known == sorted(known), name


def test_reuse_is_a_replay_with_one_payment(stack: Stack) -> None:
    first, second = stack.executor.buy("/premium"), stack.executor.buy("/premium")
    tables = stack.tables()

    assert second.status is PurchaseStatus.CACHED
    assert len(tables["payments"]) == len(tables["settlements"]) == len(tables["invoices"]) == 1
    replay = of(tables, "records", requestId=second.request_id, plane="settlement", executor="gateway")
    assert [(row["cacheHit"], row["paymentProofRef"]) for row in replay] == [(True, first.proof_reference)]
    assert [row["status"] for row in tables["projection"]] == ["paid", "cached"]
    assert [row["status"] for row in of(tables, "exchanges", requestId=second.request_id)] == [200]


def test_a_policy_denial_reaches_neither_wallet_nor_store(stack: Stack) -> None:
    stack.control_plane.set_global_pause(True)
    bought = stack.executor.buy("/premium")
    with httpx.Client(base_url="https://gateway.l402.test", verify=False) as client:
        answer = client.get("/premium", headers={"x-oa-request-id": "direct-1"})
    stack.control_plane.set_global_pause(False)
    tables = stack.tables()

    assert (answer.status_code, "www-authenticate" in answer.headers) == (403, False)
    for request_id in (bought.request_id, "direct-1"):
        assert told(tables, request_id) == [("control", "system", "global_pause_active")]
    for table in ("payments", "invoices", "settlements", "projection"):
        assert table not in tables
    assert [row["active"] for row in tables["controls"]] == [True, False]


def test_a_settlement_that_is_lost_is_nowhere_although_it_was_paid(stack: Stack) -> None:
    with stack.faults.inject(SettlementLost()):
        bought = stack.executor.buy("/premium")
    tables = stack.tables()
    assert bought.status is PurchaseStatus.PAID
    assert "settlements" not in tables
    assert proofs(tables, bought.request_id, "gateway") == {bought.proof_reference}
    assert proofs(tables, bought.request_id, "settlement") == proofs(tables, bought.request_id, "ui") == set()
    assert tables["invoices"][0]["status"] == "open"

    again = stack.executor.buy("/premium")
    assert again.status is PurchaseStatus.CACHED
    (settlement,) = stack.tables()["settlements"]
    assert (settlement["requestId"], settlement["paymentHash"]) == (again.request_id, bought.payment_hash)


def test_a_settlement_that_is_delayed_is_there_after_its_release(stack: Stack) -> None:
    with stack.faults.inject(SettlementDelayed()):
        bought = stack.executor.buy("/premium")
    assert proofs(stack.tables(), bought.request_id, "settlement") == set()
    assert not all(row["ok"] for row in stack.steady_state("after"))

    stack.settlement_store.release_delayed()
    tables = stack.tables()
    assert proofs(tables, bought.request_id, "settlement") == proofs(tables, bought.request_id, "ui")
    assert all(row["ok"] for row in stack.steady_state("after"))


def test_a_settlement_with_another_proof_differs_from_the_gateway_s(stack: Stack) -> None:
    with stack.faults.inject(SettlementProofMismatch()):
        bought = stack.executor.buy("/premium")
    tables = stack.tables()
    (settlement,) = tables["settlements"]
    assert proofs(tables, bought.request_id, "gateway") == {bought.proof_reference}
    assert proofs(tables, bought.request_id, "settlement") == {settlement["paymentProofRef"]}
    assert settlement["paymentProofRef"] != bought.proof_reference

    again = stack.executor.buy("/premium")
    assert again.status is PurchaseStatus.CACHED
    (conflict,) = stack.tables()["conflicts"]
    assert (conflict["settlementId"], conflict["field"]) == (settlement["settlementId"], "paymentProofRef")
    assert ("settlement", "gateway", "settlement_conflict") in told(stack.tables(), again.request_id)


@pytest.mark.parametrize(("fault", "rows"), [(ProjectionStale(), 0), (ProjectionProofMismatch(), 1)])
def test_a_projection_that_fails_leaves_money_and_settlement_right(
    stack: Stack, fault: Fault, rows: int
) -> None:
    with stack.faults.inject(fault):
        bought = stack.executor.buy("/premium")
    tables = stack.tables()
    assert proofs(tables, bought.request_id, "settlement") == {bought.proof_reference}
    assert len(tables.get("projection", [])) == len(proofs(tables, bought.request_id, "ui")) == rows
    assert bought.proof_reference not in proofs(tables, bought.request_id, "ui")

    caught_up = stack.projection.catch_up(stack.settlement_store.rows("settlements"))
    assert caught_up == 1 - rows


@pytest.mark.parametrize("fault", [GatewayDown(), ChallengeFailure(), UpstreamDown(), UpstreamFailure(500)])
def test_a_gateway_fault_is_told_in_plane_gateway_alone(stack: Stack, fault: Fault) -> None:
    with stack.faults.inject(fault):
        bought = stack.executor.buy("/premium")
    denials = [row for row in told(stack.tables(), bought.request_id) if row[2] is not None]
    assert denials
    assert {plane for plane, _, _ in denials} == {"gateway"}
    assert all(reason.startswith("gateway_") for _, _, reason in denials if reason)


def test_a_pending_payment_is_a_debt_of_the_steady_state(stack: Stack) -> None:
    with stack.faults.inject(PaymentPending()):
        bought = stack.executor.buy("/premium")
    owed = [row for row in stack.steady_state("after") if not row["ok"]]
    assert [row["probe"] for row in owed] == ["payments"]
    assert bought.payment_hash is not None
    stack.wallet.resolve_pending(bought.payment_hash, succeed=False)
    assert all(row["ok"] for row in stack.steady_state("after"))


@pytest.mark.parametrize("at", ["before_payment", "during_payment", "after_payment"])
def test_an_executor_that_was_killed_is_found_offline(stack: Stack, at: Any) -> None:
    with stack.faults.inject(ExecutorStops(at)):
        bought = stack.executor.buy("/premium")
    stack.clock.advance(10_500)
    stack.control_plane.sweep()
    tables = stack.tables()

    assert told(tables, bought.request_id)[-1] == ("control", "system", "desktop_executor_offline")
    (record,) = of(tables, "records", denyReason="desktop_executor_offline")
    assert (record["executionPath"], record["taskId"]) == ("local-node", bought.task_id)
    assert record["desktopSessionId"] == tables["presence"][-1]["desktopSessionId"]
    (artifact,) = tables["local_artifact"]
    assert artifact["flows"][0]["taskStatus"] in ("running", "paid")
    (task,) = tables["tasks"]
    assert task["status"] == ("failed" if at == "after_payment" else "blocked")
    broken = [row["probe"] for row in stack.steady_state("after") if not row["ok"]]
    assert broken == ["executor"]
    stack.executor.start()
    assert all(row["ok"] for row in stack.steady_state("after"))


def test_a_heartbeat_that_stops_makes_a_finished_task_no_worse(stack: Stack) -> None:
    with stack.faults.inject(HeartbeatStopped()):
        bought = stack.executor.buy("/premium")
        stack.clock.advance(60_000)
        assert stack.control_plane.sweep() == ()
    assert bought.status is PurchaseStatus.PAID


def test_a_slow_payment_takes_its_time_and_succeeds(stack: Stack) -> None:
    before = stack.clock.now_ms()
    with stack.faults.inject(PaymentSlow(ms=4_000)):
        assert stack.executor.buy("/premium").status is PurchaseStatus.PAID
    assert stack.clock.now_ms() - before >= 4_000


@pytest.mark.parametrize("fault", EVERY_FAULT, ids=lambda fault: f"{fault}")
def test_after_every_fault_the_stack_sells_again_and_every_record_is_complete(
    stack: Stack, fault: Fault
) -> None:
    assert all(row["ok"] for row in stack.steady_state("before"))
    with stack.faults.inject(fault):
        stack.executor.buy("/premium")
        assert [row["probe"] for row in stack.steady_state("after") if not row["ok"]][-1:] != []

    stack.clock.advance(60_500)
    for payment_hash in stack.wallet.pending():
        stack.wallet.resolve_pending(payment_hash)
    stack.settlement_store.release_delayed()
    stack.control_plane.sweep()
    stack.executor.start()
    after = stack.steady_state("after")
    assert [row for row in after if not row["ok"]] == []
    healthy = stack.executor.buy("/premium", new_credential=True)
    tables = stack.tables()
    # What was paid for and may yet be had is not paid for once more.
    recovered = isinstance(fault, PaymentPending | PaymentLate | PreimageMissing | PreimageLate)
    recovered |= fault == AnswerLost("payment")
    assert healthy.status is (PurchaseStatus.CACHED if recovered else PurchaseStatus.PAID)
    planes = [proofs(tables, healthy.request_id, plane) for plane in ("gateway", "settlement", "ui")]
    assert planes == [{healthy.proof_reference}] * 3
    assert [found for row in tables["records"] for found in record_departures(row)] == []
    succeeded = of(tables, "payments", status="succeeded")
    assert len({row["paymentHash"] for row in succeeded}) == len(succeeded)


def test_a_fault_for_one_request_leaves_the_others_alone(stack: Stack) -> None:
    first = stack.executor.buy("/premium")
    with stack.faults.inject(SettlementLost(), request_id=first.request_id):
        second = stack.executor.buy("/premium", new_credential=True)
    assert stack.settlement_store.rows("settlements", requestId=second.request_id)


def drive(stack: Stack) -> None:
    stack.executor.buy("/premium")
    stack.executor.buy("/premium")
    stack.executor.buy("/premium-expensive")
    for fault in (UpstreamDown(), SettlementProofMismatch(), ExecutorStops("after_payment")):
        with stack.faults.inject(fault):
            stack.executor.buy("/premium", new_credential=True)
    stack.clock.advance(11_000)
    stack.control_plane.sweep()
    stack.executor.start()
    run_full_flow(stack, stack.artifact_dir or Path())


def canonical(stack: Stack) -> str:
    return json.dumps(stack.tables(), sort_keys=True)


def test_the_same_seed_leaves_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    left = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        with Stack(seed, artifact_dir=tmp_path / name) as stack, stack.online():
            drive(stack)
            left.append(canonical(stack))
    assert left[0] == left[1] != left[2]


def test_asking_for_the_steady_state_and_the_tables_leaves_no_row(stack: Stack) -> None:
    stack.executor.buy("/premium")
    before = stack.tables()
    for when in ("before", "after"):
        stack.steady_state(when)
    after = stack.tables()
    for tables in (before, after):
        # The artifact says when it was written, and asking takes time.
        tables["local_artifact"][0].pop("generatedAtMs")
    assert before == after


def test_the_steady_state_sees_what_is_left_over(stack: Stack) -> None:
    def broken() -> list[str]:
        return [row["probe"] for row in stack.steady_state("after") if not row["ok"]]

    assert broken() == []
    with stack.faults.inject(NodeDegraded()):
        assert broken() == ["faults"]
    stack.control_plane.set_global_pause(True)
    assert broken() == ["gateway_challenge", "global_pause"]
    stack.control_plane.set_global_pause(False)
    stack.control_plane.set_owner_kill_switch("owner_premium", True)
    assert broken() == ["gateway_challenge", "owner_kill_switches"]
    stack.control_plane.set_owner_kill_switch("owner_premium", False)
    stack.network.take_down("control.l402.test")
    assert broken() == ["hosts"]
    stack.network.bring_up("control.l402.test")
    stack.control_plane.create_task("r", "user", "https://gateway.l402.test/premium", 1, "gateway.l402.test")
    assert broken() == ["tasks"]
    stack.control_plane.sweep()
    with stack.faults.inject(UpstreamDown()):
        assert broken() == ["seller_api", "faults"]
    stack.executor.stop()
    assert broken() == ["executor"]


def test_the_steady_state_can_be_asked_offline() -> None:
    with Stack(1) as stack:
        assert all(row["ok"] for row in stack.steady_state("before"))
        assert {row["when"] for row in stack.steady_state("before")} == {"before"}


def test_no_secret_is_in_any_table_or_file(stack: Stack, tmp_path: Path) -> None:
    preimages: list[str] = []
    authorizations: list[str] = []
    pay = stack.wallet.pay_invoice

    class Spy:
        def pay_invoice(self, bolt11: str, **options: Any) -> Any:
            payment = pay(bolt11, **options)
            preimages.append(payment.preimage.hex())
            return payment

        def pending(self) -> tuple[str, ...]:
            return ()

    handle = stack.gateway.handle

    def overhear(request: Any) -> Any:
        authorizations.extend(request.headers_of("authorization"))
        return handle(request)

    stack.gateway.handle = overhear  # type: ignore[method-assign]
    stack.replace(wallet=Spy())
    drive(stack)

    kept = canonical(stack) + "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert len(preimages) >= 4
    for preimage in preimages:
        assert preimage[:25] not in kept
        assert base64.b64encode(bytes.fromhex(preimage)).decode() not in kept
    macaroons = {line.removeprefix("L402 ").partition(":")[0] for line in authorizations}
    assert macaroons
    for macaroon in macaroons:
        assert macaroon not in kept
        assert base64.b64decode(macaroon).hex() not in kept
    assert re.search(r"AgE[A-Za-z0-9+/]{40}", kept) is None


def test_async_clients_reach_it_too(stack: Stack) -> None:
    import asyncio

    async def ask() -> int:
        async with httpx.AsyncClient(base_url="https://gateway.l402.test", verify=False) as client:
            return (await client.get("/premium")).status_code

    assert asyncio.run(ask()) == 402


def test_offline_nothing_leaves_the_process() -> None:
    with Stack(1) as stack:
        bought = stack.executor.buy("/premium")
        assert (bought.status, bought.error_code) == (PurchaseStatus.FAILED, "gateway_unreachable")


def test_it_is_served_on_loopback_to_any_client(stack: Stack) -> None:
    with stack.serve() as served:
        with httpx.Client(base_url=served.gateway_url, trust_env=False) as client:
            answer = client.get("/premium", headers={"x-oa-request-id": "outside-1"})
        with httpx.Client(base_url=served.control_url, trust_env=False) as client:
            state = client.get("/api/lightning/security/state", headers={"x-oa-user-id": "user_1"})
    assert (answer.status_code, answer.headers["x-oa-request-id"]) == (402, "outside-1")
    assert state.json()["global"]["globalPause"] is False
    assert of(stack.tables(), "exchanges", requestId="outside-1")


def test_it_runs_on_real_time_and_chance() -> None:
    clock = SystemClock()
    with Stack(clock=clock, randomness=SystemRandomness()) as one, one.online():
        first = one.executor.buy("/premium")
    with Stack(clock=clock, randomness=SystemRandomness()) as two, two.online():
        second = two.executor.buy("/premium")
    assert first.status is second.status is PurchaseStatus.PAID
    assert first.payment_hash != second.payment_hash


def test_a_clock_may_be_shared(tmp_path: Path) -> None:
    clock = StackClock(1_000)
    with Stack(1, clock=clock, randomness=SeededRandomness("x")) as stack, stack.online():
        stack.executor.buy("/premium")
        assert clock.now_ms() > 1_000
        assert of(stack.tables(), "records")[0]["observedAtMs"] < 1_100


def test_only_roles_can_be_replaced(stack: Stack) -> None:
    with pytest.raises(TypeError, match="no role 'walet'; its roles are gateway, "):
        stack.replace(walet=object())


def test_a_replaced_gateway_answers_at_the_same_address(stack: Stack) -> None:
    from pytest_l402.stack import Request, Response

    class Shut:
        def handle(self, request: Request) -> Response:
            return Response(503, (), b"")

    stack.replace(gateway=Shut())
    assert stack.executor.buy("/premium").error_code == "gateway_status_503"


def test_a_replaced_store_is_told_and_asked(stack: Stack) -> None:
    events: list[Any] = []

    class Ledger:
        def invoice_opened(self, *details: Any) -> None:
            events.append("opened")

        def ingest(self, event: Any) -> Any:
            events.append(event.request_id)
            return own.ingest(event)

        def rows(self, table: str) -> Any:
            return own.rows(table)

    own = stack.settlement_store
    stack.replace(settlement_store=Ledger())
    bought = stack.executor.buy("/premium")
    assert events == ["opened", bought.request_id]
    assert of(stack.tables(), "settlements", requestId=bought.request_id)


def test_a_database_file_keeps_the_settlements(tmp_path: Path) -> None:
    database = tmp_path / "settlements.sqlite"
    with Stack(1, database=database) as stack, stack.online():
        bought = stack.executor.buy("/premium")
    with Stack(2, database=database) as stack:
        assert of(stack.tables(), "settlements", paymentHash=bought.payment_hash)
        stack.close()


def test_it_can_be_closed_twice_and_nothing_stays_open() -> None:
    stack = Stack(1)
    stack.close()
    stack.close()


def test_two_buyers_have_ids_of_their_own(stack: Stack) -> None:
    other = stack.executor_at(stack.client, user_id="user_2")
    other.start()
    ids = [buyer.buy("/premium").request_id for buyer in (stack.executor, other)]
    sessions = {row["desktopSessionId"] for row in stack.tables()["presence"]}
    assert len(set(ids)) == len(sessions) == 2
    assert all(a != b for a, b in itertools.pairwise(ids))


def test_whoever_has_been_put_into_a_role_is_named_after_it_has_gone() -> None:
    class Mine:
        pass

    with Stack() as stack:
        system = StackSystem(stack)
        built_in = stack.gateway
        before = system.parts()
        assert system.digest is not None
        stack.replace(gateway=Mine())
        stack.replace(gateway=built_in)
        assert [part.name for part in system.parts() if part.role == "gateway"] == ["Gateway", "Mine"]
        assert set(before) < set(system.parts())
        assert system.digest is None
