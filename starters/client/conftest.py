"""Puts the client into the drills, as the buyer."""

import pytest
from starter_client import StarterClient

from pytest_l402.stack import Answer


class Buyer:
    """What the drills ask: `buy(path)`, which tells the request id that the gateway gave."""

    def __init__(self, client):
        self.client = self.wraps = client  # so that the sign-off names it

    def buy(self, path):
        answer = self.client.get(path)
        return Answer(answer.headers["x-oa-request-id"])


@pytest.fixture
def l402_executor(l402_stack, l402_wallet, l402_clock):
    # Every httpx client of this process reaches gateway.l402.test. Another one: l402_stack.serve().
    client = StarterClient("https://gateway.l402.test", l402_wallet, l402_clock)
    return l402_stack.attributed(Buyer(client))
