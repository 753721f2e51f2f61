"""Parts of one's own that serve for nothing, hand out what is another's, or say what is not so."""

from __future__ import annotations

import asyncio
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from pytest_l402.evidence import (
    Check,
    Evidence,
    delivered_as_paid,
    denied_before_payment,
    money_agrees,
    one_challenge_an_invoice,
    purchases_cost_one_payment,
    run_check,
    sold_as_listed,
)
from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack import Answer, AnswerLost, Purchase, Stack
from pytest_l402.stack.buyer.error_codes import UnusableAnswerError
from pytest_l402.stack.gateway.lightning_node import InvoiceStatus
from pytest_l402.stack.shop import GATEWAY_HOST
from pytest_l402.stack.system import StackSystem

SOLD = sold_as_listed({"/premium": 21_000, "/premium-expensive": 250_000})


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(11) as stack, stack.connected():
        yield stack


def found(stack: Stack, check: Check, **more: Any) -> list[str]:
    """What the check sees wrong; on evidence on which it holds, it must also kill its mutants."""
    result = run_check(check, Evidence({**stack.tables(), **more}))
    assert result.violations or result.passed, [each for each in result.mutants if not each.killed]
    return [f"{each.expected}: {each.seen}; {each.remedy}" for each in result.violations]


class Own:
    """Hands everything on to the gateway of the stack, in whose place it is put."""

    def __init__(self, stack: Stack) -> None:
        self.inner: Any = stack.gateway
        self.kept: dict[str, Response] = {}

    def handle(self, request: Request) -> Response:
        response: Response = self.inner.handle(request)
        return response


class Leaks(Own):
    """It keeps what it has delivered, and answers with that whoever has not paid."""

    def handle(self, request: Request) -> Response:
        if request.path in self.kept and request.header("Authorization") is None:
            return self.kept[request.path]
        response = super().handle(request)
        if response.status == 200:
            self.kept[request.path] = replace(response, told=None)
        return response


class Overrules(Own):
    """What its inner gateway refuses it delivers all the same, out of what it has kept."""

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if response.status == 200:
            self.kept[request.path] = response
        refused = response.status == 402 and request.header("Authorization") is not None
        return replace(response, status=200, headers=(), body=b"content") if refused else response


class Teases(Own):
    """It answers for nothing before anybody was there."""

    def handle(self, request: Request) -> Response:
        return Response(200, (), b"content")


@pytest.mark.parametrize("kind", [Leaks, Overrules, Teases])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_sold_is_not_answered_for_nothing_out_of_a_cache(
    stack: Stack, kind: type[Own], method: str
) -> None:
    stack.replace(gateway=kind(stack))
    stack.executor.buy("/premium")
    forged = {} if kind is not Overrules else {"Authorization": "L402 " + "A" * 40 + ":" + "0" * 64}
    assert stack.client.request(method, "/premium", headers=forged).status_code == 200
    told = found(stack, SOLD)
    assert any("payment for /premium, 21000 msats" in each and "cache" in each for each in told), told


def test_a_question_what_may_be_asked_is_answered_for_nothing(stack: Stack) -> None:
    stack.executor.buy("/premium")
    assert stack.client.options("/premium").status_code == 200
    assert found(stack, SOLD) == []


class OffersOneInvoice(Own):
    """It asks for an invoice once, and offers that to everybody."""

    def handle(self, request: Request) -> Response:
        if request.path in self.kept and request.header("Authorization") is None:
            return self.kept[request.path]
        response = super().handle(request)
        if response.status == 402:
            self.kept[request.path] = response
        return response


def test_an_invoice_of_a_probe_that_is_offered_again_is_told_as_that(stack: Stack) -> None:
    stack.replace(gateway=OffersOneInvoice(stack))
    stack.steady_state("before")
    stack.executor.buy("/premium")
    told = found(stack, one_challenge_an_invoice())
    assert any("offered to another one" in each for each in told), told
    assert not any("never made" in each for each in told)
    assert found(stack, money_agrees()) == []


class Client:
    """A client of one way: it pays for `path`, presents, and ends as it is told to."""

    def __init__(self, stack: Stack, end: Callable[[], Any], path: str = "/premium") -> None:
        self.stack, self.end, self.path = stack, end, path

    def buy(self, path_or_url: str) -> Any:
        asked = self.stack.client.get(self.path)
        quote = read_quote(asked.headers.get_list("www-authenticate"))
        proof = quote.authorization(self.stack.wallet.pay_invoice(quote.invoice).preimage)
        self.stack.client.get(self.path, headers={"Authorization": proof})
        return self.end()


def bought_by(stack: Stack, end: Callable[[], Any], path: str = "/premium") -> Purchase:
    return stack.attributed(Client(stack, end, path)).buy(path)


def raising(error: BaseException) -> Callable[[], Any]:
    def end() -> Any:
        raise error

    return end


class WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), asyncio.CancelledError(), WordlessError(), ExceptionGroup("two", [OSError()])],
    ids=repr,
)
def test_whatever_a_client_ends_with_it_keeps_its_request_and_its_payment(
    stack: Stack, error: BaseException
) -> None:
    bought = bought_by(stack, raising(error))
    assert bought.raised is error
    assert (bought.paid, bought.amount_msats) == (True, 21_000)
    assert [row["status"] for row in stack.tables()["tasks"]] == ["failed"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_who_ends_the_run_ends_it(stack: Stack, error: BaseException) -> None:
    with pytest.raises(type(error)):
        bought_by(stack, raising(error))


def test_a_request_id_of_the_clients_own_invention_hides_no_payment(stack: Stack) -> None:
    bought = bought_by(stack, lambda: Answer("my-own-7"))
    assert (bought.status, bought.paid, bought.amount_msats) == ("paid", True, 21_000)
    again = bought_by(stack, lambda: Answer(bought.request_id))
    assert again.request_id != bought.request_id
    assert again.payment_hash != bought.payment_hash


@pytest.mark.parametrize("answer", [None, "request-1", 200, Answer(5), Answer(None, 402)], ids=repr)
def test_what_is_no_answer_is_refused_in_one_line(stack: Stack, answer: Any) -> None:
    with pytest.raises(UnusableAnswerError, match=r"answer of Client\.buy: expected") as refused:
        bought_by(stack, lambda: answer)
    assert "return Answer()" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_client_that_pays_and_says_that_its_cap_has_stopped_it(stack: Stack) -> None:
    bought = bought_by(stack, lambda: Answer(error_code="amount_over_cap"), "/premium-expensive")
    assert bought.paid
    told = found(stack, purchases_cost_one_payment())
    assert any("calls blocked (amount_over_cap): 1 payment, 250000 msats" in each for each in told), told


def test_a_client_that_its_cap_stops_has_paid_nothing(stack: Stack) -> None:
    class Stops:
        def buy(self, path_or_url: str) -> Answer:
            stack.client.get(path_or_url)
            return Answer(error_code="amount_over_cap")

    stack.attributed(Stops()).buy("/premium-expensive")
    stack.executor.buy("/premium-expensive")
    stack.executor.buy("/premium")
    assert found(stack, purchases_cost_one_payment()) == []


def test_a_client_that_calls_itself_a_probe_hides_no_payment(stack: Stack) -> None:
    named = {"x-oa-request-id": "steady-state:mine"}
    stack.executor.buy("/premium-expiring")
    for _ in range(2):
        asked = stack.client.get("/premium", headers=named)
        quote = read_quote(asked.headers.get_list("www-authenticate"))
        stack.wallet.pay_invoice(quote.invoice)
    assert found(stack, money_agrees()) == []
    assert any("2 payments, 42000 msats" in each for each in found(stack, purchases_cost_one_payment()))


class Breaks(Own):
    """It has a bug that shows when somebody presents a credential, the first time."""

    broke = False

    def handle(self, request: Request) -> Response:
        if request.header("Authorization") is not None and not self.broke:
            self.broke = True
            raise RuntimeError("a bug of the gateway")
        return super().handle(request)


def test_a_gateway_that_raises_is_not_taken_for_a_client_that_does(stack: Stack) -> None:
    stack.replace(gateway=Breaks(stack))
    bought = bought_by(stack, Answer)
    assert str(bought.raised) == "a bug of the gateway"
    assert bought.error_code == "gateway_status_500"
    assert stack.tables()["exchanges"][-1]["status"] == 500


def test_a_gateway_that_raises_at_a_client_that_asks_again_is_on_the_wire(stack: Stack) -> None:
    stack.replace(gateway=Breaks(stack))
    quote = read_quote(stack.client.get("/premium").headers.get_list("www-authenticate"))
    proof = {"Authorization": quote.authorization(stack.wallet.pay_invoice(quote.invoice).preimage)}
    with pytest.raises(RuntimeError, match="a bug of the gateway"):
        stack.client.get("/premium", headers=proof)
    assert stack.client.get("/premium", headers=proof).status_code == 200
    assert [row["status"] for row in stack.tables()["exchanges"]] == [402, 500, 200]


def _hand_on_the_front(stack: Stack, mine: Own) -> None:
    stack.front._gateway = mine


def _hand_on_the_edge(stack: Stack, mine: Own) -> None:
    stack.edge._gateway = mine


def _hand_on_the_host(stack: Stack, mine: Own) -> None:
    stack.network._mounted[GATEWAY_HOST] = replace(stack.network._mounted[GATEWAY_HOST], app=mine)


def _hand_on_a_method(stack: Stack, mine: Own) -> None:
    stack.seller_api.handle = mine.handle  # type: ignore[method-assign]


def _hand_on_the_journal(stack: Stack, mine: Own) -> None:
    stack.journal.append = lambda table, row: None  # type: ignore[method-assign]


def _hand_on_the_purses(stack: Stack, mine: Own) -> None:
    stack.harness.accounts.rows = list  # type: ignore[method-assign]


def _hand_on_the_node(stack: Stack, mine: Own) -> None:
    stack.node.lookup = lambda payment_hash: InvoiceStatus.SETTLED  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "hand",
    [
        _hand_on_the_front,
        _hand_on_the_edge,
        _hand_on_the_host,
        _hand_on_a_method,
        _hand_on_the_journal,
        _hand_on_the_purses,
        _hand_on_the_node,
    ],
)
def test_what_was_put_in_by_hand_is_named_and_nothing_is_called_ours(
    stack: Stack, hand: Callable[[Stack, Own], None]
) -> None:
    system = StackSystem(stack)
    assert all(part.ours for part in system.parts())
    assert system.digest is not None
    hand(stack, Leaks(stack))
    named = [part for part in system.parts() if not part.ours]
    assert named, [part.name for part in system.parts()]
    assert system.digest is None
    if hand in (_hand_on_the_front, _hand_on_the_edge, _hand_on_the_host):
        assert "Leaks" in {part.name for part in named}


@pytest.mark.parametrize("code", ["payment_failed", "payment_pending", "credential_refused", "wallet_locked"])
def test_a_client_that_was_served_and_says_that_it_was_not_is_told(stack: Stack, code: str) -> None:
    class Liar:
        def buy(self, path: str) -> Answer:
            answer = stack.client.get(path)
            quote = read_quote(answer.headers.get_list("www-authenticate"))
            proof = quote.authorization(stack.wallet.pay_invoice(quote.invoice).preimage)
            assert stack.client.get(path, headers={"Authorization": proof}).is_success
            return Answer(error_code=code)

    stack.attributed(Liar()).buy("/premium")
    (told,) = found(stack, purchases_cost_one_payment())
    assert f"told by its buyer as bought: {code}, after: a credential accepted" in told


def test_a_client_to_which_the_answer_never_came_says_rightly_that_it_was_not_served(stack: Stack) -> None:
    class Unlucky:
        def buy(self, path: str) -> Answer:
            answer = stack.client.get(path)
            quote = read_quote(answer.headers.get_list("www-authenticate"))
            proof = quote.authorization(stack.wallet.pay_invoice(quote.invoice).preimage)
            with pytest.raises(httpx.RemoteProtocolError):
                stack.client.get(path, headers={"Authorization": proof})
            return Answer(error_code="payment_error")

    with stack.faults.inject(AnswerLost("delivery")):
        stack.attributed(Unlucky()).buy("/premium")
    assert found(stack, purchases_cost_one_payment()) == []


class LeaksInItsRefusal(Leaks):
    """What it has sold once stands in every 402 from then on."""

    def handle(self, request: Request) -> Response:
        response = Own.handle(self, request)
        if response.status == 200:
            self.kept[request.path] = response
        elif response.status == 402 and request.path in self.kept:
            return replace(response, body=self.kept[request.path].body)
        return response


class ForEverybody(Own):
    """Any cache on the way may keep what it has sold."""

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        lines = [] if response.status != 200 else [("Cache-Control", "max-age=60, Public")]
        return replace(response, headers=(*response.headers, *lines))


class AsksUnderPause(Own):
    """It denies with 403, and hands out what to pay all the same."""

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if response.status == 402:
            self.kept["challenge"] = response
        lines = self.kept["challenge"].headers if response.status == 403 and self.kept else ()
        asked = [line for line in lines if line[0].lower() == "www-authenticate"]
        return replace(response, headers=(*response.headers, *asked))


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (LeaksInItsRefusal, "all of it, under status 402"),
        (ForEverybody, "Cache-Control max-age=60, Public"),
    ],
)
def test_what_is_sold_gets_to_nobody_else(stack: Stack, kind: type[Own], seen: str) -> None:
    stack.replace(gateway=kind(stack))
    forger = stack.forger()
    forger.buy("/premium")
    forger.ask("/premium")
    assert any(seen in each for each in found(stack, delivered_as_paid("/premium")))


@pytest.mark.parametrize(
    "write",
    [
        lambda digits: ((), f'{{"r_preimage": "{digits}"}}'.encode()),
        lambda digits: ((("X-Invoice", b64encode(bytes.fromhex(digits)).decode()),), b""),
        lambda digits: ((("WWW-Authenticate", f'Custom preimage="{digits.upper()}"'),), b""),
        lambda digits: ((), urlsafe_b64encode(bytes.fromhex(digits))),
    ],
    ids=["json", "header in base64", "challenge", "url-safe base64"],
)
def test_a_gateway_that_hands_out_the_proof_with_the_challenge_is_told(stack: Stack, write: Any) -> None:
    class Tells(Own):
        """It passes on all that its node says of the invoice, the preimage too."""

        def handle(self, request: Request) -> Response:
            response = super().handle(request)
            if response.status != 402:
                return response
            payment_hash = read_quote(response.headers_of("WWW-Authenticate")).payment_hash
            lines, body = write(stack.node._held[payment_hash].preimage.hex())
            return replace(response, headers=(*response.headers, *lines), body=response.body + body)

    stack.replace(gateway=Tells(stack))
    stack.forger().ask("/premium")
    told = found(stack, one_challenge_an_invoice())
    assert any("that of payment" in each and "under status 402" in each for each in told), told
    assert not any(held.preimage.hex() in repr(stack.tables()) for held in stack.node._held.values())


def test_who_is_denied_is_not_asked_to_pay_by_the_denial(stack: Stack) -> None:
    stack.replace(gateway=AsksUnderPause(stack))
    forger = stack.forger()
    forger.buy("/premium")
    stack.control_plane.set_global_pause(True)
    denied = forger.ask("/premium")
    told = found(stack, denied_before_payment(denied, "global_pause_active"))
    assert any("challenge" in each or "asked to pay" in each for each in told), told
