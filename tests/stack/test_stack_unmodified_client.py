"""The client from the package index, unmodified: two requests, two answers, one payment."""

import asyncio

import pytest
from stack_shop import HOST, Shop

from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.respx_bridge import respx_router
from pytest_l402.stack.faults import PaymentFailure
from pytest_l402.stack.gateway.profile import GatewayProfile

l402_requests = pytest.importorskip("l402_requests")
from l402_requests.wallets import WalletBase  # noqa: E402


class StackWallet(WalletBase):
    def __init__(self, wallet):
        self.wallet = wallet

    async def pay_invoice(self, bolt11):
        return self.wallet.pay_invoice(bolt11, host=HOST).preimage.hex()


@pytest.fixture
def shop():
    return Shop()


def get_sync(wallet, url, times):
    client = l402_requests.L402Client(wallet=StackWallet(wallet))
    return [client.get(url) for _ in range(times)]


def get_async(wallet, url, times):
    async def get():
        client = l402_requests.AsyncL402Client(wallet=StackWallet(wallet))
        try:
            return [await client.get(url) for _ in range(times)]
        finally:
            await client.aclose()

    return asyncio.run(get())


@pytest.fixture(params=[get_sync, get_async], ids=["sync", "async"])
def get(request):
    return request.param


def assert_paid_once(shop, answers):
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [row["status"] for row in shop.journal.rows("payments")] == ["succeeded"]
    assert [row["status"] for row in shop.exchanges()] == [402, 200, 200]
    assert [event.request_id is not None for event in shop.ledger.events] == [True, True]
    assert shop.wallet.balance_msats == 100_000_000 - 21_000


def test_over_loopback(shop, get):
    with LoopbackServer(shop.network, host=HOST) as server:
        assert_paid_once(shop, get(shop.wallet, f"{server.url}/premium", 2))


def test_in_process_through_respx(shop, get):
    with respx_router(shop.network):
        assert_paid_once(shop, get(shop.wallet, f"https://{HOST}/premium", 2))


def test_with_the_superset_challenge(get):
    shop = Shop(profile=GatewayProfile("superset", superset_challenge=True))
    with respx_router(shop.network):
        assert_paid_once(shop, get(shop.wallet, f"https://{HOST}/premium", 2))


def test_a_failed_payment_reaches_the_caller_and_nothing_is_delivered(shop, get):
    with (
        respx_router(shop.network),
        shop.faults.inject(PaymentFailure()),
        pytest.raises(l402_requests.PaymentFailedError, match="no route"),
    ):
        get(shop.wallet, f"https://{HOST}/premium", 1)
    assert shop.seller_api.deliveries() == 0
    assert shop.wallet.balance_msats == 100_000_000


@pytest.mark.parametrize(("status", "payments", "last"), [(402, 2, 200), (401, 1, 401)])
def test_a_revoked_credential_is_paid_for_again_after_402_and_not_after_401(status, payments, last):
    shop = Shop(profile=GatewayProfile("x", expired_refusal_status=status))
    client = l402_requests.L402Client(wallet=StackWallet(shop.wallet))
    with respx_router(shop.network):
        assert client.get(f"https://{HOST}/premium").status_code == 200
        shop.gateway.revoke(shop.journal.rows("payments")[0]["paymentHash"])
        assert client.get(f"https://{HOST}/premium").status_code == last
    assert len(shop.journal.rows("payments")) == payments
