"""A buyer that names neither request nor task is followed through every plane all the same."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest

from pytest_l402.contract import TaskStatus
from pytest_l402.protocol import Identifier, Preimage, format_credential, mint, parse_challenges, preferred
from pytest_l402.stack import (
    Answer,
    Fault,
    GatewayDown,
    PaymentFailure,
    PaymentPending,
    PreimageMissing,
    Purchase,
    PurchaseStatus,
    SettlementLost,
    Stack,
    UnknownErrorCodeError,
    UpstreamFailure,
    WalletLocked,
)

STRANGE = mint(b"k" * 32, Identifier(0, Preimage(b"\x01" * 32).payment_hash, b"t" * 32).encode()).to_base64()
URL = "https://gateway.l402.test"


class Plain:
    """Pays what it is asked for, keeps the credential, and sends no header of ours."""

    def __init__(self, stack: Stack, *, base_url: str = URL, says: bool = True) -> None:
        self.stack = stack
        self.base_url = base_url
        self.says = says
        self.kept: dict[str, str] = {}

    def buy(self, path: str) -> Answer:
        headers = {"Authorization": self.kept[path]} if path in self.kept else {}
        answer = httpx.get(self.base_url + path, headers=headers)
        if answer.status_code == 402:
            challenge = preferred(parse_challenges(answer.headers.get_list("WWW-Authenticate")))
            preimage = self.stack.wallet.pay_invoice(challenge.invoice).preimage
            self.kept[path] = format_credential(challenge.macaroon_base64, preimage)
            answer = httpx.get(self.base_url + path, headers={"Authorization": self.kept[path]})
        return Answer(answer.headers["x-oa-request-id"] if self.says else None)


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(5) as stack, stack.online():
        yield stack


def states(stack: Stack, bought: Purchase) -> list[str]:
    rows = stack.journal.rows("transitions")
    return [row["toStatus"] for row in rows if row["taskId"] == bought.task_id]


def test_a_payment_is_one_request_and_one_task(stack: Stack) -> None:
    bought = stack.attributed(Plain(stack)).buy("/premium")
    (settlement,) = stack.settlement_store.rows("settlements")
    assert bought.status is PurchaseStatus.PAID
    assert (bought.request_id, bought.task_id) == (settlement["requestId"], settlement["taskId"])
    assert (bought.payment_hash, bought.amount_msats, bought.proof_reference) == (
        settlement["paymentHash"],
        21_000,
        settlement["paymentProofRef"],
    )
    assert states(stack, bought) == ["approved", "running", "paid", "completed"]
    asked = [(row["requestId"], row["status"]) for row in stack.journal.rows("exchanges")]
    assert asked == [(bought.request_id, 402), (bought.request_id, 200)]
    answers = [(row["requestId"], row["status"]) for row in stack.journal.rows("answers")]
    assert answers == asked


def test_a_reused_credential_is_a_cached_purchase(stack: Stack) -> None:
    executor = stack.attributed(Plain(stack))
    first, second = executor.buy("/premium"), executor.buy("/premium")
    assert second.status is PurchaseStatus.CACHED
    assert second.request_id != first.request_id
    assert (second.payment_hash, second.proof_reference) == (first.payment_hash, first.proof_reference)
    assert states(stack, second) == ["approved", "running", "cached", "completed"]


def test_a_client_that_does_not_know_the_request_id(stack: Stack) -> None:
    bought = stack.attributed(Plain(stack, says=False)).buy("/premium")
    assert bought.request_id == stack.journal.rows("exchanges")[0]["requestId"]
    assert bought.status is PurchaseStatus.PAID


def test_what_is_free(stack: Stack) -> None:
    bought = stack.attributed(Plain(stack)).buy("/status")
    assert (bought.status, bought.payment_hash) == (PurchaseStatus.FREE, None)
    assert states(stack, bought) == ["approved", "running", "completed"]


def test_what_the_seller_does_not_deliver_is_failed_and_was_paid(stack: Stack) -> None:
    with stack.faults.inject(UpstreamFailure()):
        bought = stack.attributed(Plain(stack)).buy("/premium")
    assert bought.status is PurchaseStatus.FAILED
    assert bought.amount_msats == 21_000
    assert states(stack, bought) == ["approved", "running", "failed"]


def test_a_lost_settlement_leaves_the_payment_hash(stack: Stack) -> None:
    with stack.faults.inject(SettlementLost()):
        bought = stack.attributed(Plain(stack)).buy("/premium")
    assert bought.status is PurchaseStatus.PAID
    assert bought.payment_hash == stack.journal.rows("payments")[0]["paymentHash"]
    assert (bought.amount_msats, bought.proof_reference) == (
        21_000,
        stack.journal.rows("payments")[0]["proofReference"],
    )


def test_a_refused_credential(stack: Stack) -> None:
    client = Plain(stack)
    client.kept["/premium"] = format_credential(STRANGE, Preimage(b"\x01" * 32))
    bought = stack.attributed(SimpleNamespace(buy=lambda path: _only_ask(client, path))).buy("/premium")
    assert bought.status is PurchaseStatus.REFUSED
    assert states(stack, bought) == ["approved", "running", "failed"]


def test_a_path_that_nobody_sells(stack: Stack) -> None:
    bought = stack.attributed(Plain(stack)).buy("/nowhere")
    assert bought.status is PurchaseStatus.FAILED


def test_a_pause_blocks_the_task_and_the_request(stack: Stack) -> None:
    stack.control_plane.set_global_pause(True)
    bought = stack.attributed(Plain(stack)).buy("/premium")
    assert (bought.status, bought.error_code) == (PurchaseStatus.BLOCKED, "global_pause_active")
    assert states(stack, bought) == ["blocked"]
    assert [row["status"] for row in stack.journal.rows("exchanges")] == [403]


@pytest.mark.parametrize("asks_first", [True, False])
def test_a_denial_of_the_clients_own_is_told_by_its_task(stack: Stack, asks_first: bool) -> None:
    def buy(path: str) -> Answer:
        if asks_first:
            httpx.get(URL + path)
        return Answer(error_code="amount_over_cap")

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium-expensive")
    assert (bought.status, bought.error_code) == (PurchaseStatus.BLOCKED, "amount_over_cap")
    assert states(stack, bought) == ["approved", "running", "blocked"]
    (denial,) = (row for row in stack.journal.rows("records") if row["denyReason"])
    assert (denial["requestId"], denial["plane"], denial["executor"], denial["denyReason"]) == (
        bought.request_id,
        "control",
        "system",
        "amount_over_cap",
    )
    (task,) = stack.control_plane.tasks()
    assert task.endpoint == f"{URL}/premium-expensive"


def test_what_the_client_raises_before_it_asks_is_in_the_purchase(stack: Stack) -> None:
    def buy(path: str) -> Answer:
        raise RuntimeError("no such client, preimage=" + "ab" * 32)

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium")
    assert isinstance(bought.raised, RuntimeError)
    assert (bought.status, bought.error_code, bought.paid) == (PurchaseStatus.FAILED, "buyer_raised", False)
    assert "ab" * 32 not in repr(bought)
    assert states(stack, bought) == ["approved", "running", "failed"]
    (task,) = stack.control_plane.tasks()
    assert (task.request_id, task.last_error_code) == (bought.request_id, "buyer_raised")
    (record,) = (row for row in stack.journal.rows("records") if row["executor"] == "desktop")
    assert (record["requestId"], record["denyReason"]) == (bought.request_id, "buyer_raised")


@pytest.mark.parametrize("named", [False, True])
def test_a_client_that_raises_after_it_paid_keeps_its_request_and_its_payment(
    stack: Stack, named: bool
) -> None:
    headers = {"x-oa-request-id": "mine"} if named else {}

    def buy(path: str) -> Answer:
        answer = httpx.get(URL + path, headers=headers)
        challenge = preferred(parse_challenges(answer.headers.get_list("WWW-Authenticate")))
        stack.wallet.pay_invoice(challenge.invoice)
        raise TimeoutError("no answer in time")

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium")
    (payment,) = stack.journal.rows("payments")
    (exchange,) = stack.journal.rows("exchanges")
    assert bought.request_id == exchange["requestId"]
    assert (bought.request_id == "mine") is named
    assert isinstance(bought.raised, TimeoutError)
    assert (bought.status, bought.paid, bought.amount_msats) == (PurchaseStatus.FAILED, True, 21_000)
    assert (bought.payment_hash, bought.payment_hashes) == (
        payment["paymentHash"],
        (payment["paymentHash"],),
    )


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (PaymentFailure(), "payment_failed"),
        (PaymentPending(), "payment_pending"),
        (PreimageMissing(), "payment_missing_preimage"),
        (WalletLocked(), "wallet_locked"),
        (GatewayDown(), "gateway_unreachable"),
    ],
)
def test_a_raise_is_told_by_what_it_came_from(stack: Stack, fault: Fault, code: str) -> None:
    with stack.faults.inject(fault):
        bought = stack.attributed(Plain(stack)).buy("/premium")
    assert (bought.status, bought.error_code) == (PurchaseStatus.FAILED, code)
    records = [row for row in stack.journal.rows("records") if row["executor"] == "desktop"]
    assert {(row["requestId"], row["denyReason"]) for row in records} == {(bought.request_id, code)}


def test_a_cap_that_the_wallet_keeps_is_a_denial(stack: Stack) -> None:
    def buy(path: str) -> Answer:
        answer = httpx.get(URL + path)
        challenge = preferred(parse_challenges(answer.headers.get_list("WWW-Authenticate")))
        stack.wallet.pay_invoice(challenge.invoice, max_msats=1)
        return Answer()

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium")
    assert (bought.status, bought.error_code) == (PurchaseStatus.BLOCKED, "amount_over_cap")
    assert states(stack, bought) == ["approved", "running", "blocked"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("host_blocked", PurchaseStatus.BLOCKED),
        ("payment_failed", PurchaseStatus.FAILED),
        ("gateway_status_503", PurchaseStatus.FAILED),
        ("credential_refused", PurchaseStatus.REFUSED),
    ],
)
def test_a_listed_code_says_how_the_purchase_ended(stack: Stack, code: str, status: PurchaseStatus) -> None:
    bought = stack.attributed(SimpleNamespace(buy=lambda path: Answer(error_code=code))).buy("/premium")
    assert (bought.status, bought.error_code) == (status, code)


@pytest.mark.parametrize("code", ["amount_overcap", "timeout", "", "gateway_status_", "BLOCKED"])
def test_an_unknown_code_is_refused_and_the_task_is_not_left_behind(stack: Stack, code: str) -> None:
    buyer = stack.attributed(SimpleNamespace(buy=lambda path: Answer(error_code=code)))
    with pytest.raises(UnknownErrorCodeError, match="expected one of amount_over_cap") as refused:
        buyer.buy("/premium")
    assert ("did you mean 'amount_over_cap'" in str(refused.value)) is (code == "amount_overcap")
    assert [task.status for task in stack.control_plane.tasks()] == [TaskStatus.FAILED]


def test_a_purchase_has_every_payment_that_was_made_for_it(stack: Stack) -> None:
    def buy(path: str) -> Answer:
        for _ in range(3):
            answer = httpx.get(URL + path)
            challenge = preferred(parse_challenges(answer.headers.get_list("WWW-Authenticate")))
            preimage = stack.wallet.pay_invoice(challenge.invoice).preimage
        answer = httpx.get(
            URL + path, headers={"Authorization": format_credential(challenge.macaroon_base64, preimage)}
        )
        return Answer(answer.headers["x-oa-request-id"])

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium")
    paid = tuple(row["paymentHash"] for row in stack.journal.rows("payments"))
    assert (bought.status, bought.payment_hashes, bought.payment_hash) == (
        PurchaseStatus.PAID,
        paid,
        paid[-1],
    )
    told = [row for row in stack.journal.rows("records") if row["executor"] == "desktop"]
    assert [row["paidAmountMsats"] for row in told] == [21_000] * 3
    assert len({row["paymentProofRef"] for row in told}) == 3


def test_a_client_with_an_id_for_each_call_makes_one_purchase(stack: Stack) -> None:
    calls = iter(range(9))

    def ask(path: str, **headers: str) -> httpx.Response:
        return httpx.get(URL + path, headers={"x-oa-request-id": f"call-{next(calls)}", **headers})

    def buy(path: str) -> Answer:
        challenge = preferred(parse_challenges(ask(path).headers.get_list("WWW-Authenticate")))
        preimage = stack.wallet.pay_invoice(challenge.invoice).preimage
        answer = ask(path, Authorization=format_credential(challenge.macaroon_base64, preimage))
        return Answer(answer.headers["x-oa-request-id"])

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium")
    assert (bought.request_id, bought.status, len(bought.payment_hashes)) == (
        "call-1",
        PurchaseStatus.PAID,
        1,
    )


def test_it_makes_no_difference_for_a_client_that_names_itself(stack: Stack) -> None:
    def buy(path: str) -> Answer:
        answer = httpx.get(URL + path, headers={"x-oa-request-id": "mine"})
        return Answer(answer.headers["x-oa-request-id"])

    bought = stack.attributed(SimpleNamespace(buy=buy)).buy("/premium")
    assert bought.request_id == "mine"
    assert stack.control_plane.tasks()[0].request_id == "mine"


def test_two_buyers_of_one_stack_never_share_a_request(stack: Stack) -> None:
    first, second = (stack.attributed(Plain(stack)).buy("/premium") for _ in range(2))
    assert first.request_id != second.request_id
    assert len(first.payment_hashes) == len(second.payment_hashes) == 1
    one, other = (stack.forger().buy("/premium") for _ in range(2))
    assert one.request_id != other.request_id


def _only_ask(client: Plain, path: str) -> Answer:
    answer = httpx.get(URL + path, headers={"Authorization": client.kept[path]})
    return Answer(answer.headers["x-oa-request-id"])
