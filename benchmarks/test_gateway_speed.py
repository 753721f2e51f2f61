"""How fast the stack sells: challenge, verification and a whole paid request, in process and over loopback.

Run with ``pytest benchmarks/test_gateway_speed.py``. Everything that a rehearsal has is in the measured path:
real signatures, the control plane's gate, the settlement store's SQL, the projection and every record. The
budget is 3 ms for the median of ``test_paid_request_in_process``.
"""

import http.client
from urllib.parse import urlsplit

import httpx
import pytest

from pytest_l402.harness.network import Request
from pytest_l402.protocol import format_credential, parse_challenges, preferred
from pytest_l402.stack.buyer.wallet import Wallet
from pytest_l402.stack.stack import GATEWAY_HOST, Stack

PATH = "/premium"


@pytest.fixture
def stack():
    with Stack(seed=402) as stack:
        # Rich enough for any number of rounds.
        wallet = Wallet(stack.harness, stack.node, balance_msats=10**15)
        yield stack.replace(wallet=wallet)


def handle(stack, *headers):
    return stack.gateway.handle(Request("GET", GATEWAY_HOST, PATH, headers=headers))


def pay(stack, challenge_lines):
    challenge = preferred(parse_challenges(challenge_lines))
    payment = stack.wallet.pay_invoice(challenge.invoice, host=GATEWAY_HOST)
    return format_credential(challenge.macaroon_base64, payment.preimage)


def buy_directly(stack):
    challenged = handle(stack)
    return handle(stack, ("Authorization", pay(stack, challenged.headers_of("WWW-Authenticate")))).status


def buy_with(stack, client, url):
    challenged = client.get(url)
    authorization = pay(stack, challenged.headers.get_list("www-authenticate"))
    return client.get(url, headers={"Authorization": authorization}).status_code


class Raw:
    """The cheapest client there is, so that the server is what is measured."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port)

    def get(self, **headers):
        self.connection.request("GET", PATH, headers=headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer


@pytest.mark.benchmark(group="challenge: 402")
def test_challenge_in_process(benchmark, stack):
    assert benchmark(handle, stack).status == 402


@pytest.mark.benchmark(group="challenge: 402")
def test_challenge_over_loopback(benchmark, stack):
    with stack.serve() as served:
        client = Raw(served.gateway_url)
        assert benchmark(client.get).status == 402
        client.connection.close()


@pytest.mark.benchmark(group="verification: 200")
def test_verification_in_process(benchmark, stack):
    authorization = pay(stack, handle(stack).headers_of("WWW-Authenticate"))
    assert benchmark(handle, stack, ("Authorization", authorization)).status == 200


@pytest.mark.benchmark(group="verification: 200")
def test_verification_over_loopback(benchmark, stack):
    authorization = pay(stack, handle(stack).headers_of("WWW-Authenticate"))
    with stack.serve() as served:
        client = Raw(served.gateway_url)
        assert benchmark(client.get, Authorization=authorization).status == 200
        client.connection.close()


@pytest.mark.benchmark(group="paid request: 402, pay, 200")
def test_paid_request_in_process(benchmark, stack):
    assert benchmark(buy_directly, stack) == 200


@pytest.mark.benchmark(group="paid request: 402, pay, 200")
def test_paid_request_in_process_through_httpx(benchmark, stack):
    with stack.online():
        assert benchmark(buy_with, stack, stack.client, PATH) == 200


@pytest.mark.benchmark(group="paid request: 402, pay, 200")
def test_paid_request_in_process_by_the_executor(benchmark, stack):
    with stack.online():
        purchase = benchmark(stack.executor.buy, PATH, new_credential=True)
    assert purchase.status == "paid"


@pytest.mark.benchmark(group="paid request: 402, pay, 200")
def test_paid_request_over_loopback_through_httpx(benchmark, stack):
    with stack.serve() as served, httpx.Client(trust_env=False) as client:
        assert benchmark(buy_with, stack, client, f"{served.gateway_url}{PATH}") == 200
