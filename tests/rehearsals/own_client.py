"""The client from the package index in the place of the executor, as a user's conftest.py puts it there."""

ADAPTER = '''\
"""Rehearses l402-requests, as it comes from the package index."""

import pytest
from l402_requests import BudgetController, L402Client
from l402_requests.exceptions import BudgetExceededError
from l402_requests.wallets import WalletBase

from pytest_l402.stack import Answer


class StackWallet(WalletBase):
    def __init__(self, wallet):
        self.wallet = wallet

    async def pay_invoice(self, bolt11):
        return self.wallet.pay_invoice(bolt11).preimage.hex()


class MyClient:
    def __init__(self, wallet, base_url="https://gateway.l402.test"):
        self.base_url = base_url
        budget = BudgetController(max_sats_per_request=100)
        self.client = L402Client(wallet=StackWallet(wallet), budget=budget)

    def buy(self, path):
        try:
            response = self.client.get(self.base_url + path)
        except BudgetExceededError:
            return Answer(error_code="amount_over_cap")
        return Answer(response.headers["x-oa-request-id"])


@pytest.fixture
def l402_executor(l402_stack, l402_wallet):
    return l402_stack.attributed(MyClient(l402_wallet))
'''

OVER_LOOPBACK = ADAPTER.replace(
    """\
    return l402_stack.attributed(MyClient(l402_wallet))
""",
    """\
    with l402_stack.serve() as served:
        yield l402_stack.attributed(MyClient(l402_wallet, served.gateway_url))
""",
)
