"""The buyer: what it pays, what it never pays, and what it leaves behind when it is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pytest_l402.contract import LocalNodeArtifact, TaskStatus, record_departures
from pytest_l402.protocol import Identifier, PaymentHash, encode_invoice, format_challenge, mint
from pytest_l402.stack import (
    SPEC,
    BuyerPolicy,
    CacheStatus,
    GatewayProfile,
    InvoiceNotPayable,
    PaymentFailed,
    PurchaseStatus,
    Service,
    Stack,
)
from pytest_l402.stack.buyer.policy import Denial
from pytest_l402.stack.faults import (
    ChallengeFailure,
    ExecutorStops,
    GatewayDown,
    HeartbeatStopped,
    NodeDegraded,
    PaymentFailure,
    PaymentPending,
    PreimageMissing,
    UpstreamDown,
    UpstreamFailure,
    WalletLocked,
)
from pytest_l402.stack.shop import DEFAULT_SERVICES


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(1) as stack, stack.online():
        yield stack


def rows(stack: Stack, table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in stack.tables().get(table, []) if wanted.items() <= row.items()]


def local(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    return rows(stack, "records", requestId=request_id, executor="desktop")


def flow_of(stack: Stack, request_id: str) -> dict[str, Any] | None:
    flows = stack.executor.local_artifact().to_row()["flows"]
    return next((flow for flow in flows if flow["createRequestId"] == request_id), None)


def statuses(stack: Stack, task_id: str | None) -> list[str]:
    return [row["toStatus"] for row in rows(stack, "transitions", taskId=task_id)]


def test_it_pays_once_and_says_so_on_both_planes(stack: Stack) -> None:
    bought = stack.executor.buy("/premium")

    assert (bought.status, bought.http_status, bought.paid) == (PurchaseStatus.PAID, 200, True)
    assert (bought.amount_msats, bought.quoted_msats) == (21_000, 21_000)
    assert (bought.cache_status, bought.error_code) == (CacheStatus.MISS, None)
    assert json.loads(bought.body)["path"] == "/premium"
    (payment,) = rows(stack, "payments")
    assert (payment["paymentHash"], payment["proofReference"]) == (
        bought.payment_hash,
        bought.proof_reference,
    )
    assert payment["host"] == "gateway.l402.test"
    settlement, ui = local(stack, bought.request_id)
    assert (settlement["plane"], ui["plane"]) == ("settlement", "ui")
    for record in (settlement, ui):
        assert record["paymentProofRef"] == bought.local_proof_reference
        assert (record["executionPath"], record["paywallId"]) == ("local-node", None)
        assert (record["userId"], record["taskId"]) == ("user_rehearsal", bought.task_id)
        assert (record["quotedCostMsats"], record["paidAmountMsats"]) == (21_000, 21_000)
        assert (record["capAppliedMsats"], record["cacheHit"]) == (100_000, False)
        assert record["desktopSessionId"] == stack.executor.desktop_session_id
        assert (record["desktopRuntimeStatus"], record["walletState"]) == ("running", "unlocked")
        assert record["nodeSyncStatus"] == "synced"
    assert settlement["endpoint"] == "https://gateway.l402.test/premium"
    assert statuses(stack, bought.task_id) == ["approved", "running", "paid", "completed"]


def test_every_call_of_a_purchase_carries_its_request_and_task(stack: Stack) -> None:
    bought = stack.executor.buy("/premium")
    exchanges = rows(stack, "exchanges", requestId=bought.request_id)
    assert [(row["status"], row["credential"]) for row in exchanges] == [(402, "absent"), (200, "accepted")]
    (settlement,) = rows(stack, "settlements")
    assert (settlement["requestId"], settlement["taskId"]) == (bought.request_id, bought.task_id)


def test_a_second_purchase_reuses_the_credential(stack: Stack) -> None:
    first, second = stack.executor.buy("/premium"), stack.executor.buy("/premium")

    assert (second.status, second.paid, second.cache_status) == (
        PurchaseStatus.CACHED,
        False,
        CacheStatus.HIT,
    )
    assert second.request_id != first.request_id
    assert (second.payment_hash, second.proof_reference) == (first.payment_hash, first.proof_reference)
    assert len(rows(stack, "payments")) == len(rows(stack, "settlements")) == 1
    assert statuses(stack, second.task_id) == ["approved", "running", "cached", "completed"]
    assert rows(stack, "transitions", taskId=second.task_id, reasonCode="payment_cache_hit")
    assert [record["cacheHit"] for record in local(stack, second.request_id)] == [True, True]
    flow = flow_of(stack, second.request_id)
    assert flow is not None
    assert (flow["flow"], flow["proofReference"]) == ("cached", first.local_proof_reference)
    assert "paymentId" not in flow


def test_a_new_credential_is_paid_for_when_asked(stack: Stack) -> None:
    first = stack.executor.buy("/premium")
    second = stack.executor.buy("/premium", new_credential=True)
    assert (second.status, second.cache_status) == (PurchaseStatus.PAID, CacheStatus.MISS)
    assert second.payment_hash != first.payment_hash


def test_another_path_has_another_credential(stack: Stack) -> None:
    stack.executor.buy("/premium")
    assert stack.executor.buy("/premium-expiring").status is PurchaseStatus.PAID
    assert stack.executor.buy("/premium?page=2").status is PurchaseStatus.CACHED


def test_an_expired_credential_is_stale_and_not_even_presented(stack: Stack) -> None:
    stack.executor.buy("/premium-expiring")
    stack.clock.advance(61_000)
    again = stack.executor.buy("/premium-expiring")

    assert (again.status, again.cache_status) == (PurchaseStatus.PAID, CacheStatus.STALE)
    exchanges = rows(stack, "exchanges", requestId=again.request_id)
    assert [row["credential"] for row in exchanges] == ["absent", "accepted"]


def test_a_revoked_credential_is_evicted_and_paid_for_anew_once(stack: Stack) -> None:
    first = stack.executor.buy("/premium")
    assert first.payment_hash is not None
    stack.gateway.revoke(first.payment_hash)
    again = stack.executor.buy("/premium")

    assert (again.status, again.cache_status, again.paid) == (
        PurchaseStatus.PAID,
        CacheStatus.INVALID,
        True,
    )
    assert again.payment_hash != first.payment_hash
    assert len(rows(stack, "payments")) == 2
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED


def test_a_gateway_that_says_401_is_not_paid_again(stack: Stack) -> None:
    first = stack.executor.buy("/premium")
    assert first.payment_hash is not None
    stack.gateway.revoke(first.payment_hash)
    strict = GatewayProfile("strict", refusal_status=401, expired_refusal_status=401)
    with stack.gateway.following(strict):
        again = stack.executor.buy("/premium")

    assert (again.status, again.http_status, again.paid) == (PurchaseStatus.REFUSED, 401, False)
    assert (again.error_code, again.cache_status) == ("credential_refused", CacheStatus.INVALID)
    assert len(rows(stack, "payments")) == 1
    assert statuses(stack, again.task_id)[-1] == "failed"
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID


def test_a_cached_credential_over_the_new_price_is_blocked_not_paid(stack: Stack) -> None:
    first = stack.executor.buy("/premium")
    assert first.payment_hash is not None
    stack.gateway.revoke(first.payment_hash)
    again = stack.executor.buy("/premium", max_spend_msats=20_999)
    assert (again.status, again.error_code) == (PurchaseStatus.BLOCKED, "amount_over_cap")
    assert len(rows(stack, "payments")) == 1
    assert stack.executor.buy("/premium").cache_status is CacheStatus.MISS


class Amnesiac:
    """Pays like the stack's wallet, but hands over a preimage of another payment."""

    def __init__(self, stack: Stack) -> None:
        self._wallet = stack.wallet
        self.calls = 0

    def pay_invoice(self, bolt11: str, *, max_msats: int | None = None, host: str | None = None) -> Any:
        self.calls += 1
        from pytest_l402.protocol import Preimage
        from pytest_l402.stack import Payment

        paid = self._wallet.pay_invoice(bolt11, max_msats=max_msats, host=host)
        return Payment(paid.payment_hash, paid.amount_msats, Preimage(bytes(32)))


def test_a_credential_refused_right_after_its_payment_is_not_paid_for_twice(stack: Stack) -> None:
    wallet = Amnesiac(stack)
    stack.replace(wallet=wallet)
    bought = stack.executor.buy("/premium")

    assert (bought.status, bought.paid, bought.http_status) == (PurchaseStatus.REFUSED, True, 402)
    assert wallet.calls == 1
    assert rows(stack, "settlements") == []
    assert stack.executor.buy("/premium").status is PurchaseStatus.REFUSED
    assert wallet.calls == 1


@pytest.mark.parametrize(("price_under", "status"), [(0, PurchaseStatus.PAID), (1, PurchaseStatus.BLOCKED)])
def test_the_cap_itself_may_be_spent_and_not_a_millisatoshi_more(
    stack: Stack, price_under: int, status: PurchaseStatus
) -> None:
    assert stack.executor.buy("/premium", max_spend_msats=21_000 - price_under).status is status


def test_a_request_may_lower_the_cap_and_not_raise_it(stack: Stack) -> None:
    assert stack.executor.buy("/premium-expensive", max_spend_msats=300_000).error_code == "amount_over_cap"


def test_over_the_cap_nothing_reaches_wallet_or_store(stack: Stack) -> None:
    bought = stack.executor.buy("/premium-expensive")

    assert (bought.status, bought.error_code, bought.paid) == (
        PurchaseStatus.BLOCKED,
        "amount_over_cap",
        False,
    )
    assert bought.quoted_msats == 250_000
    assert rows(stack, "payments") == rows(stack, "settlements") == []
    assert stack.wallet.balance_msats == 100_000_000
    denial = rows(stack, "records", requestId=bought.request_id, denyReason="amount_over_cap")
    assert [(row["plane"], row["executor"]) for row in denial] == [("control", "system")]
    told = local(stack, bought.request_id)
    assert {row["denyReason"] for row in told} == {"Quoted invoice amount exceeds configured spend cap"}
    assert {(row["paymentProofRef"], row["paidAmountMsats"]) for row in told} == {(None, None)}
    flow = flow_of(stack, bought.request_id)
    assert flow is not None
    assert (flow["flow"], flow["blockedErrorCode"]) == ("blocked", "BudgetExceededError")
    assert [call["status"] for call in flow["sellerCalls"]] == [402]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (BuyerPolicy(blocked_hosts=frozenset({"GATEWAY.l402.test"})), "host_blocked"),
        (BuyerPolicy(blocked_hosts=frozenset({" Gateway.l402.test\t"})), "host_blocked"),
        (BuyerPolicy(allowed_hosts=frozenset({"other.test"})), "host_not_allowlisted"),
        (
            BuyerPolicy(
                blocked_hosts=frozenset({"gateway.l402.test"}), allowed_hosts=frozenset({"other.test"})
            ),
            "host_blocked",
        ),
    ],
)
def test_a_forbidden_host_is_never_asked(policy: BuyerPolicy, code: str) -> None:
    with Stack(1, policy=policy) as stack, stack.online():
        bought = stack.executor.buy("/premium")
        assert (bought.status, bought.error_code) == (PurchaseStatus.BLOCKED, code)
        assert rows(stack, "exchanges") == rows(stack, "invoices") == rows(stack, "payments") == []
        assert rows(stack, "records", denyReason=code, plane="control", executor="system")


def test_an_allowed_host_is_bought_from() -> None:
    policy = BuyerPolicy(allowed_hosts=frozenset({"Gateway.L402.test"}))
    with Stack(1, policy=policy) as stack, stack.online():
        assert stack.executor.buy("/premium").status is PurchaseStatus.PAID


@pytest.mark.parametrize(
    ("switch", "code"),
    [
        (lambda control: control.set_global_pause(True), "global_pause_active"),
        (lambda control: control.set_owner_kill_switch("user_rehearsal", True), "owner_kill_switch_active"),
    ],
)
def test_a_denied_task_never_reaches_the_executor(stack: Stack, switch: Any, code: str) -> None:
    switch(stack.control_plane)
    bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code, bought.http_status) == (PurchaseStatus.BLOCKED, code, None)
    assert rows(stack, "exchanges") == rows(stack, "payments") == rows(stack, "invoices") == []
    assert flow_of(stack, bought.request_id) is None


def test_the_seller_s_kill_switch_denies_at_the_gateway_before_payment(stack: Stack) -> None:
    stack.control_plane.set_owner_kill_switch("owner_premium", True)
    bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code, bought.http_status) == (
        PurchaseStatus.BLOCKED,
        "access_denied",
        403,
    )
    assert rows(stack, "payments") == rows(stack, "invoices") == []
    denials = rows(stack, "records", requestId=bought.request_id, plane="control")
    assert [row["denyReason"] for row in denials] == [None, "owner_kill_switch_active", "access_denied"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (GatewayDown(), "gateway_unreachable"),
        (ChallengeFailure(), "gateway_status_500"),
    ],
)
def test_a_gateway_that_fails_before_payment_costs_nothing(stack: Stack, fault: Any, code: str) -> None:
    with stack.faults.inject(fault):
        bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code, bought.paid) == (PurchaseStatus.FAILED, code, False)
    assert rows(stack, "payments") == []
    (record,) = local(stack, bought.request_id)
    assert (record["plane"], record["denyReason"], record["paymentProofRef"]) == ("gateway", code, None)
    assert statuses(stack, bought.task_id) == ["approved", "running", "failed"]
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID


@pytest.mark.parametrize(
    ("fault", "code"),
    [(UpstreamFailure(503), "gateway_status_503"), (UpstreamDown(), "gateway_status_502")],
)
def test_what_was_paid_and_not_delivered_is_delivered_later_without_paying_again(
    stack: Stack, fault: Any, code: str
) -> None:
    with stack.faults.inject(fault):
        bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code, bought.paid) == (PurchaseStatus.FAILED, code, True)
    assert bought.proof_reference is not None
    assert statuses(stack, bought.task_id) == ["approved", "running", "paid", "failed"]
    again = stack.executor.buy("/premium")
    assert (again.status, again.payment_hash) == (PurchaseStatus.CACHED, bought.payment_hash)
    assert len(rows(stack, "payments")) == 1


@pytest.mark.parametrize(
    ("fault", "code", "paid"),
    [
        (PaymentFailure(), "payment_failed", False),
        (PaymentPending(), "payment_pending", False),
        (PreimageMissing(), "payment_missing_preimage", True),
        (WalletLocked(), "wallet_locked", False),
    ],
)
def test_a_wallet_that_hands_no_preimage_over_fails_the_task(
    stack: Stack, fault: Any, code: str, paid: bool
) -> None:
    with stack.faults.inject(fault):
        bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code, bought.paid) == (PurchaseStatus.FAILED, code, paid)
    assert rows(stack, "settlements") == []
    told = local(stack, bought.request_id)
    assert [(row["plane"], row["denyReason"]) for row in told] == [("settlement", code), ("ui", code)]
    assert {row["walletState"] for row in told} == {"locked" if code == "wallet_locked" else "unlocked"}
    flow = flow_of(stack, bought.request_id)
    assert flow is not None
    assert (flow["flow"], flow["taskStatus"], flow["blockedErrorCode"]) == ("failed", "failed", code)


class Broken:
    """A wallet whose errors are foreign, and talkative."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def pay_invoice(self, bolt11: str, *, max_msats: int | None = None, host: str | None = None) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PaymentFailed("no route, preimage=" + "ab" * 32), "payment_failed"),
        (InvoiceNotPayable("macaroon=" + "ab" * 32), "payment_error"),
    ],
)
def test_a_talkative_wallet_leaks_nothing(stack: Stack, error: Exception, code: str) -> None:
    stack.replace(wallet=Broken(error))
    bought = stack.executor.buy("/premium")
    assert bought.error_code == code
    assert "ab" * 32 not in repr((bought, stack.tables(), stack.executor.local_artifact()))


def test_a_degraded_node_may_still_succeed(stack: Stack) -> None:
    with stack.faults.inject(NodeDegraded()):
        bought = stack.executor.buy("/premium")
    assert bought.status is PurchaseStatus.PAID
    assert {row["nodeSyncStatus"] for row in local(stack, bought.request_id)} == {"degraded"}


def test_a_stopped_executor_takes_no_task(stack: Stack) -> None:
    beats = len(rows(stack, "presence"))
    stack.executor.stop()
    bought = stack.executor.buy("/premium")

    assert (bought.status, bought.http_status) == (PurchaseStatus.INTERRUPTED, None)
    assert statuses(stack, bought.task_id) == ["approved"]
    assert local(stack, bought.request_id) == []
    assert flow_of(stack, bought.request_id) is None
    assert len(rows(stack, "presence")) == beats
    stack.clock.advance(11_000)
    (given_up,) = stack.control_plane.sweep()
    assert (given_up.task_id, given_up.last_error_code) == (bought.task_id, "desktop_executor_offline")


KILLED = [
    ("before_payment", "running", 0, None),
    ("during_payment", "running", 1, None),
    ("after_payment", "paid", 1, "settlement"),
]


@pytest.mark.parametrize(("at", "left_at", "payments", "last_plane"), KILLED)
def test_a_killed_executor_leaves_what_a_killed_process_leaves(
    stack: Stack, at: Any, left_at: str, payments: int, last_plane: str | None
) -> None:
    session = stack.executor.desktop_session_id
    with stack.faults.inject(ExecutorStops(at)):
        bought = stack.executor.buy("/premium")
    after = {name: len(found) for name, found in stack.tables().items()}

    assert bought.status is PurchaseStatus.INTERRUPTED
    assert not stack.executor.is_running
    assert statuses(stack, bought.task_id)[-1] == left_at
    assert len(rows(stack, "payments", status="succeeded")) == payments
    # The credential was never presented: the store cannot know of the payment.
    assert rows(stack, "settlements") == []
    assert len(rows(stack, "exchanges", requestId=bought.request_id)) == 1
    told = local(stack, bought.request_id)
    assert [row["plane"] for row in told] == ([] if last_plane is None else [last_plane])
    flow = flow_of(stack, bought.request_id)
    assert flow is not None
    assert (flow["flow"], flow["taskStatus"]) == ("interrupted", left_at)
    assert ("paymentId" in flow) == (last_plane is not None)
    # The last word of the session came before the payment, and there is no other whatever is asked of it.
    assert rows(stack, "presence", desktopSessionId=session)[-1]["status"] == "running_task"
    stack.executor.heartbeat()
    assert {name: len(found) for name, found in stack.tables().items()} == after


@pytest.mark.parametrize(("at", "left_at", "payments", "last_plane"), KILLED)
def test_a_restarted_executor_has_a_new_session_and_no_memory(
    stack: Stack, at: Any, left_at: str, payments: int, last_plane: str | None
) -> None:
    stack.executor.buy("/premium-expiring")
    session = stack.executor.desktop_session_id
    with stack.faults.inject(ExecutorStops(at)):
        stack.executor.buy("/premium")
    stack.executor.start()
    stack.executor.start()

    assert stack.executor.desktop_session_id not in (None, session)
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID
    assert stack.executor.buy("/premium-expiring").status is PurchaseStatus.PAID
    assert len(stack.executor.local_artifact().flows) == 4


def test_an_executor_killed_while_its_payment_fails_does_not_hear_of_that_either(stack: Stack) -> None:
    with stack.faults.inject(PaymentFailure()), stack.faults.inject(ExecutorStops("during_payment")):
        bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code) == (PurchaseStatus.INTERRUPTED, None)
    assert statuses(stack, bought.task_id)[-1] == "running"
    assert local(stack, bought.request_id) == []


def test_access_denied_after_the_payment_is_a_failure_and_no_denial_before_it(stack: Stack) -> None:
    class PausesMeanwhile:
        def pay_invoice(self, bolt11: str, *, max_msats: int | None = None, host: str | None = None) -> Any:
            payment = wallet.pay_invoice(bolt11, max_msats=max_msats, host=host)
            stack.control_plane.set_global_pause(True)
            return payment

    wallet = stack.wallet
    stack.replace(wallet=PausesMeanwhile())
    bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code, bought.paid) == (
        PurchaseStatus.FAILED,
        "gateway_status_403",
        True,
    )
    assert statuses(stack, bought.task_id)[-2:] == ["paid", "failed"]
    stack.control_plane.set_global_pause(False)
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED


def test_a_credential_is_not_carried_to_where_a_redirect_points(stack: Stack) -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "https://elsewhere.test/"})

    odd = httpx.MockTransport(redirect)
    with httpx.Client(base_url="https://odd.test", transport=odd, follow_redirects=True) as client:
        executor = stack.executor_at(client)
        executor.start()
        assert executor.buy("/premium").error_code == "gateway_status_302"
    assert asked == ["https://odd.test/premium"]


@pytest.mark.parametrize(
    ("login", "url"),
    [(("user", "hunter2"), "/premium"), (None, "https://user:hunter2@gateway.l402.test/premium")],
    ids=["of the client", "in the URL"],
)
def test_a_login_does_not_take_the_place_of_the_credential(
    stack: Stack, login: tuple[str, str] | None, url: str
) -> None:
    with httpx.Client(base_url="https://gateway.l402.test", auth=login) as client:
        executor = stack.executor_at(client)
        executor.start()
        first, second = executor.buy(url), executor.buy(url)
    assert (first.status, second.status) == (PurchaseStatus.PAID, PurchaseStatus.CACHED)
    assert len(rows(stack, "payments")) == 1


def test_a_stop_point_that_is_not_reached_stops_nothing(stack: Stack) -> None:
    stack.executor.buy("/premium")
    with stack.faults.inject(ExecutorStops("before_payment")):
        assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED
    assert stack.executor.is_running


def test_heartbeats_stop_without_the_executor_stopping(stack: Stack) -> None:
    before = len(rows(stack, "presence"))
    with stack.faults.inject(HeartbeatStopped()):
        assert stack.executor.buy("/premium").status is PurchaseStatus.PAID
    assert len(rows(stack, "presence")) == before
    stack.executor.heartbeat()
    assert len(rows(stack, "presence")) == before + 1


class GivesUp:
    """A control plane whose operator blocks the task while the challenge is on its way."""

    def __init__(self, stack: Stack) -> None:
        self._control = stack.control_plane
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def gate(self, request_id: Any, owner_id: Any, paywall_id: Any, task_id: Any = None) -> Any:
        decision = self._control.gate(request_id, owner_id, paywall_id, task_id)
        self._control.transition(task_id, TaskStatus.BLOCKED, "operator", "system", "operator_block")
        return decision


def test_a_task_given_up_underway_is_not_paid_for(stack: Stack) -> None:
    stack.replace(control_plane=GivesUp(stack))
    bought = stack.executor.buy("/premium")
    assert (bought.status, bought.error_code) == (PurchaseStatus.BLOCKED, "task_given_up")
    assert rows(stack, "payments") == []
    (task,) = rows(stack, "tasks")
    assert (task["status"], task["lastErrorCode"]) == ("blocked", "operator_block")


def test_a_slow_purchase_that_was_given_up_after_payment_keeps_its_end(stack: Stack) -> None:
    class Slow:
        def pay_invoice(self, bolt11: str, *, max_msats: int | None = None, host: str | None = None) -> Any:
            payment = wallet.pay_invoice(bolt11, max_msats=max_msats, host=host)
            stack.clock.advance(5_000)
            stack.control_plane.sweep()
            return payment

    wallet = stack.wallet
    stack.replace(wallet=Slow())
    bought = stack.executor.buy("/premium")
    assert bought.status is PurchaseStatus.PAID
    (task,) = rows(stack, "tasks")
    assert (task["status"], task["lastErrorCode"]) == ("blocked", "desktop_executor_timeout")


def test_a_free_resource_is_taken_without_paying() -> None:
    services = (
        *DEFAULT_SERVICES,
        Service("trial", pathregexp="^/trial$", auth="freebie 1", price_msats=5_000),
    )
    with Stack(1, services=services) as stack, stack.online():
        status, trial = stack.executor.buy("/status"), stack.executor.buy("/trial")
        assert (status.status, status.paid, status.proof_reference) == (PurchaseStatus.FREE, False, None)
        assert trial.status is PurchaseStatus.FREE
        assert rows(stack, "payments") == []
        assert stack.executor.buy("/trial").status is PurchaseStatus.PAID


def test_an_unknown_path_is_the_gateway_s_trouble(stack: Stack) -> None:
    bought = stack.executor.buy("/nowhere")
    assert (bought.status, bought.error_code) == (PurchaseStatus.FAILED, "gateway_status_404")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "gateway_challenge_absent"),
        ({"WWW-Authenticate": 'L402 macaroon="AA=="'}, "gateway_challenge_incomplete"),
        (
            {"WWW-Authenticate": 'L402 macaroon="AA==", invoice="lnbcrt1nonsense"'},
            "gateway_challenge_invoice_unreadable",
        ),
    ],
)
def test_a_402_that_cannot_be_read_is_not_paid(stack: Stack, headers: dict[str, str], code: str) -> None:
    client = httpx.Client(
        base_url="https://odd.test",
        transport=httpx.MockTransport(lambda _: httpx.Response(402, headers=headers)),
    )
    with client:
        executor = stack.executor_at(client)
        executor.start()
        bought = executor.buy("/premium")
    assert bought.status is PurchaseStatus.FAILED
    assert bought.error_code == code
    assert rows(stack, "payments") == []
    assert local(stack, bought.request_id)[0]["plane"] == "gateway"


def test_an_amount_that_no_record_holds_is_not_paid(stack: Stack) -> None:
    payment_hash = PaymentHash(b"\x02" * 32)
    macaroon = mint(b"\x03" * 32, Identifier(0, payment_hash, b"\x04" * 32).encode(), "lsat").to_base64()
    invoice = encode_invoice(
        private_key=b"\x01" * 32,
        payment_hash=payment_hash,
        timestamp_s=stack.clock.now_s(),
        amount_msats=2**53,
        description="any",
    )
    answer = httpx.Response(402, headers={"WWW-Authenticate": format_challenge(macaroon, invoice)})
    with httpx.Client(base_url="https://odd.test", transport=httpx.MockTransport(lambda _: answer)) as client:
        executor = stack.executor_at(client)
        executor.start()
        bought = executor.buy("/premium")
    assert bought.error_code == "gateway_challenge_amount_too_large"
    assert rows(stack, "payments") == []
    assert statuses(stack, bought.task_id)[-1] == "failed"


def test_misuse_raises_and_leaves_no_task(stack: Stack) -> None:
    with pytest.raises(ValueError, match="max_spend_msats"):
        stack.executor.buy("/premium", max_spend_msats=-1)
    with httpx.Client() as client, pytest.raises(ValueError, match="a client with a base URL"):
        stack.executor_at(client).buy("/premium")
    with pytest.raises(ValueError, match="default_cap_msats"):
        BuyerPolicy(default_cap_msats=-1)
    assert rows(stack, "tasks") == []


def test_what_a_url_hides_stays_hidden(stack: Stack) -> None:
    stack.executor.buy("https://user:hunter2@gateway.l402.test/premium?token=hunter2")
    kept = repr((stack.tables(), stack.executor.local_artifact()))
    assert "hunter2" not in kept


def test_evidence_names_the_path_as_it_was_sent(stack: Stack) -> None:
    bought = stack.executor.buy("/premium%0Aoa_req=another%3Fpage")
    assert bought.url == "https://gateway.l402.test/premium%0Aoa_req=another%3Fpage"
    (task,) = rows(stack, "tasks")
    assert task["endpoint"] == bought.url
    flow = flow_of(stack, bought.request_id)
    assert flow is not None
    assert flow["sellerCalls"][0]["path"] == "/premium%0Aoa_req=another%3Fpage"


def test_it_buys_from_any_gateway_its_client_points_at(stack: Stack) -> None:
    with stack.serve() as served, httpx.Client(base_url=served.gateway_url, trust_env=False) as client:
        executor = stack.executor_at(client, user_id="user_other")
        executor.start()
        first, second = executor.buy("/premium"), executor.buy("/premium")
    assert (first.status, second.status) == (PurchaseStatus.PAID, PurchaseStatus.CACHED)
    assert {row["userId"] for row in local(stack, first.request_id)} == {"user_other"}
    assert len(rows(stack, "settlements", requestId=first.request_id)) == 1


def test_it_also_buys_from_a_gateway_of_the_specification(stack: Stack) -> None:
    with stack.gateway.following(SPEC):
        assert stack.executor.buy("/premium").status is PurchaseStatus.PAID


def test_the_artifact_is_whole_valid_and_holds_no_secret(stack: Stack, tmp_path: Path) -> None:
    stack.executor.buy("/premium")
    stack.executor.buy("/premium-expensive")
    path = stack.executor.write_local_artifact(tmp_path / "deep" / "artifact.json")

    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    artifact = LocalNodeArtifact.decode(json.loads(text))
    assert [flow.flow.value for flow in artifact.flows] == ["success", "blocked"]
    calls = artifact.flows[0].seller_calls
    assert [(call.status, call.path) for call in calls] == [(402, "/premium"), (200, "/premium")]
    assert calls[0].authorization is None
    assert str(calls[1].authorization).startswith("sha256:")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["artifact.json"]


def test_an_artifact_that_cannot_be_written_leaves_the_old_one(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stack.executor.write_local_artifact(tmp_path / "artifact.json")
    before = path.read_bytes()
    stack.executor.buy("/premium")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        stack.executor.write_local_artifact(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_look_at_the_evidence_changes_no_artifact_of_a_wrapped_executor(tmp_path: Path) -> None:
    class Wrapped:
        def __init__(self, inner: Any) -> None:
            self.buy, self.write_local_artifact = inner.buy, inner.write_local_artifact

    with Stack(402, artifact_dir=tmp_path) as stack, stack.connected():
        stack.replace(executor=Wrapped(stack.executor))
        stack.executor.buy("/premium")
        before = stack.tables()["local_artifact"]
        stack.clock.advance(1_000)
        assert stack.tables()["local_artifact"] == before
        stack.executor.buy("/premium")
        assert len(stack.tables()["local_artifact"][0]["flows"]) == 2


def test_every_record_of_every_end_is_complete(stack: Stack) -> None:
    for fault in (GatewayDown(), PaymentFailure(), WalletLocked(), UpstreamDown()):
        with stack.faults.inject(fault):
            stack.executor.buy("/premium", new_credential=True)
    stack.executor.buy("/premium-expensive")
    assert [fault for row in rows(stack, "records") for fault in record_departures(row)] == []


def test_a_denial_says_its_code_and_its_words() -> None:
    denial = BuyerPolicy(blocked_hosts=frozenset({"a.test"})).host_denial("A.test")
    assert denial == Denial("host_blocked", "DomainNotAllowedError", "Host A.test is blocked")
