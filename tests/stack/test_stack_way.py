"""What is lost, slow, kept or altered between a client and the gateway, and what a buyer makes of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from pytest_l402.harness.faults import Fault
from pytest_l402.protocol import Macaroon, decode_invoice, parse_challenges
from pytest_l402.protocol.payable import payable_quote
from pytest_l402.stack.buyer.purchase import Purchase, PurchaseStatus
from pytest_l402.stack.faults import (
    AnswerLost,
    AnswerSlow,
    ChallengeAltered,
    ChallengeKept,
    CredentialRefused,
    GatewayDown,
    LostAt,
    PaymentFailure,
    PaymentLate,
    PaymentPending,
    PreimageLate,
    PreimageMissing,
)
from pytest_l402.stack.stack import Stack

LOST = LostAt.__args__  # type: ignore[attr-defined]


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(402) as stack, stack.online():
        yield stack


def bought(stack: Stack, fault: Fault) -> Purchase:
    with stack.faults.inject(fault) as injected:
        purchase = stack.executor.buy("/premium")
    assert injected.fired == 1
    assert injected.fired_for == [purchase.request_id]
    assert injected.removed_at_ms is not None
    return purchase


def paid(stack: Stack) -> list[str]:
    return [row["status"] for row in stack.journal.rows("payments") if row["status"] != "failed"]


@pytest.mark.parametrize("at", LOST)
def test_a_buyer_that_has_lost_an_answer_pays_once_in_all(stack: Stack, at: LostAt) -> None:
    first = bought(stack, AnswerLost(at))
    assert first.status is PurchaseStatus.FAILED
    paid_by_then = at not in ("request", "challenge")
    assert paid(stack) == ["succeeded"] * paid_by_then
    second = stack.executor.buy("/premium")
    assert second.status is (PurchaseStatus.CACHED if paid_by_then else PurchaseStatus.PAID)
    assert paid(stack) == ["succeeded"]
    assert [row["status"] for row in stack.settlement_store.rows("invoices")].count("settled") == 1
    assert stack.steady_state("after")[-1]["ok"]


@pytest.mark.parametrize(
    ("at", "settled", "delivered"),
    [
        ("paid_request", 0, 0),
        ("before_settlement", 0, 0),
        ("after_settlement", 1, 0),
        ("delivery", 1, 1),
    ],
)
def test_an_answer_is_lost_on_either_side_of_the_settlement(
    stack: Stack, at: LostAt, settled: int, delivered: int
) -> None:
    bought(stack, AnswerLost(at))
    assert len(stack.settlement_store.rows("settlements")) == settled
    assert stack.seller_api.deliveries() == delivered


def test_a_lost_answer_breaks_the_connection_over_loopback_as_in_process(stack: Stack) -> None:
    with stack.serve() as served, httpx.Client(trust_env=False) as client:
        for url in (f"{served.gateway_url}/premium", "https://gateway.l402.test/premium"):
            with stack.faults.inject(AnswerLost("challenge")), pytest.raises(httpx.RemoteProtocolError):
                client.get(url)
            with stack.faults.inject(AnswerLost("challenge")):
                for expected in ("lost", 402):
                    try:
                        assert client.get(url).status_code == expected
                    except httpx.RemoteProtocolError:
                        assert expected == "lost"


def test_a_gateway_that_is_down_refuses_connections_over_loopback(stack: Stack) -> None:
    def ask() -> int:
        return httpx.get(f"{served.gateway_url}/premium", trust_env=False).status_code

    with stack.serve() as served, httpx.Client(trust_env=False) as client:
        for _ in range(2):
            assert client.get(f"{served.gateway_url}/premium").status_code == 402
            with stack.faults.inject(GatewayDown()) as down:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", urlsplit(served.gateway_url).port))
                # Nor is a connection good any more that was open before.
                with pytest.raises(httpx.TransportError):
                    client.get(f"{served.gateway_url}/premium")
                assert down.fired == 1
            assert ask() == 402
        stack.network.take_down("gateway.l402.test")
        with pytest.raises(httpx.ConnectError):
            ask()
        stack.network.bring_up("gateway.l402.test")
        assert ask() == 402


def test_a_server_that_refuses_can_be_stopped(stack: Stack) -> None:
    with stack.faults.inject(GatewayDown()), stack.serve() as served:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.gateway_url}/premium", trust_env=False)
        assert httpx.get(f"{served.control_url}/", trust_env=False).status_code == 401


def test_a_slow_answer_takes_real_time_over_loopback_and_holds_nobody_else_up(stack: Stack) -> None:
    before = stack.clock.now_ms()
    with stack.serve() as served, stack.faults.inject(AnswerSlow(60_000), "slow"):
        url, began = f"{served.gateway_url}/premium", time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(url, headers={"x-oa-request-id": "slow"}, timeout=0.05, trust_env=False)
        assert httpx.get(url, trust_env=False).status_code == 402
    # Nor does the server wait for it in the end.
    assert time.monotonic() - began < 30
    assert stack.clock.now_ms() - before >= 60_000


def test_a_cache_that_keeps_a_402_answers_the_paid_request_with_it(stack: Stack) -> None:
    with stack.faults.inject(ChallengeKept()) as kept:
        first = stack.executor.buy("/premium")
    assert (first.status, kept.fired) == (PurchaseStatus.REFUSED, 1)
    assert paid(stack) == ["succeeded"]
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED
    assert paid(stack) == ["succeeded"]


@pytest.mark.parametrize("status", [401, 402])
def test_a_fresh_credential_that_is_refused_is_not_paid_for_again(stack: Stack, status: int) -> None:
    with stack.faults.inject(CredentialRefused(status)):
        for _ in range(2):
            refused = stack.executor.buy("/premium")
            assert (refused.status, refused.http_status) == (PurchaseStatus.REFUSED, status)
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED
    assert paid(stack) == ["succeeded"]
    # Once it was good, it is as any other.
    stack.gateway.revoke(stack.journal.rows("payments")[0]["paymentHash"])
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID


ALTERED = {
    "expired": "gateway_challenge_invoice_expired",
    "another_network": "payment_error",
    "no_payment_secret": "gateway_challenge_invoice_outdated",
    "not_bound": "gateway_challenge_not_bound",
    "no_macaroon": "gateway_challenge_macaroon_unreadable",
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_challenge_that_nobody_should_pay_is_not_paid(stack: Stack, how: str) -> None:
    with stack.faults.inject(ChallengeAltered(how)) as injected:  # type: ignore[arg-type]
        first = stack.executor.buy("/premium")
    assert (first.status, first.error_code, injected.fired) == (PurchaseStatus.FAILED, ALTERED[how], 1)
    assert paid(stack) == []
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID


@pytest.mark.parametrize("how", ["one_line", "json_body"])
def test_a_challenge_in_another_form_is_paid(stack: Stack, how: str) -> None:
    assert bought(stack, ChallengeAltered(how)).status is PurchaseStatus.PAID  # type: ignore[arg-type]


def test_an_altered_challenge_differs_in_one_thing(stack: Stack) -> None:
    def asked(how: str | None) -> httpx.Response:
        if how is None:
            return stack.client.get("/premium")
        with stack.faults.inject(ChallengeAltered(how)):  # type: ignore[arg-type]
            return stack.client.get("/premium")

    now_s = stack.clock.now_s()
    lines = {how: asked(how).headers.get_list("www-authenticate") for how in (None, *ALTERED, "one_line")}
    assert payable_quote(lines[None], now_s=now_s, networks=[stack.node.prefix])
    (line,) = lines["one_line"]
    assert line.startswith("L402 ")
    for how in ("expired", "another_network"):
        # Well signed by the node, and bound to its macaroon.
        assert payable_quote(lines[how])
        challenge = parse_challenges(lines[how])[0]
        assert decode_invoice(challenge.invoice).payee.hex() == stack.node.node_id
    bound = Macaroon.from_base64(parse_challenges(lines["not_bound"])[0].macaroon_base64)
    assert len(bound.identifier) == 66
    body = asked("json_body").json()
    assert (body["invoice"][:6], body["error"]) == (stack.node.prefix, "payment required")


def test_while_a_payment_is_pending_no_second_one_is_made(stack: Stack) -> None:
    first = bought(stack, PaymentPending())
    stack.clock.advance(30_000)
    for again in (stack.executor.buy("/premium"), stack.executor.buy("/premium", new_credential=True)):
        assert (again.status, again.error_code) == (PurchaseStatus.FAILED, "payment_pending")
        assert again.payment_hash == first.payment_hash
    assert paid(stack) == ["pending"]
    stack.wallet.resolve_pending(first.payment_hash)
    third = stack.executor.buy("/premium")
    assert (third.status, third.payment_hash) == (PurchaseStatus.CACHED, first.payment_hash)
    assert paid(stack) == ["pending", "succeeded"]


def test_a_pending_payment_that_fails_in_the_end_is_made_anew(stack: Stack) -> None:
    first = bought(stack, PaymentPending())
    stack.wallet.resolve_pending(first.payment_hash, succeed=False)
    second = stack.executor.buy("/premium")
    assert (second.status, second.payment_hash != first.payment_hash) == (PurchaseStatus.PAID, True)


def test_a_payment_that_succeeds_late_does_so_by_itself(stack: Stack) -> None:
    first = bought(stack, PaymentLate(60_000))
    assert (first.error_code, stack.wallet.pending()) == ("payment_pending", (first.payment_hash,))
    stack.clock.advance(60_000)
    assert stack.wallet.pending() == ()
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED
    assert paid(stack) == ["pending", "succeeded"]


def test_a_payment_that_comes_too_late_for_its_invoice_has_failed(stack: Stack) -> None:
    before = stack.wallet.balance_msats
    bought(stack, PaymentLate(3_600_000))
    stack.clock.advance(3_600_000)
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID
    assert before - stack.wallet.balance_msats == 21_000


def test_a_preimage_is_handed_over_late(stack: Stack) -> None:
    first = bought(stack, PreimageLate(60_000))
    assert (first.error_code, first.paid) == ("payment_missing_preimage", True)
    assert stack.executor.buy("/premium").error_code == "payment_missing_preimage"
    stack.clock.advance(60_000)
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED
    assert paid(stack) == ["succeeded"]
    assert [row["preimageReleased"] for row in stack.journal.rows("payment_lookups")] == [False, True]


def test_a_preimage_that_never_comes_is_asked_for_and_not_paid_for(stack: Stack) -> None:
    with stack.faults.inject(PreimageMissing()):
        for _ in range(3):
            assert stack.executor.buy("/premium").error_code == "payment_missing_preimage"
    assert paid(stack) == ["succeeded"]
    assert stack.executor.buy("/premium").status is PurchaseStatus.CACHED


def test_a_wallet_that_cannot_be_asked_keeps_the_payment_open(stack: Stack) -> None:
    class Mute:
        def __init__(self, wallet: object) -> None:
            self.pay_invoice = wallet.pay_invoice  # type: ignore[attr-defined]

    stack.replace(wallet=Mute(stack.wallet))
    bought(stack, PaymentPending())
    assert stack.executor.buy("/premium").error_code == "payment_pending"
    assert paid(stack) == ["pending"]


def test_a_payment_that_failed_is_no_open_one(stack: Stack) -> None:
    bought(stack, PaymentFailure())
    assert stack.executor.buy("/premium").status is PurchaseStatus.PAID
    assert stack.journal.rows("payment_lookups") == ()
