"""The client from the package index in the place of the executor, as the page for its author puts it."""

from __future__ import annotations

import re

from rehearsed_project import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "rehearse-your-own-client.md").read_text()
_CONFTEST = re.search(r"\*\*`conftest\.py`\*\*\n```python\n(.*?)```", _PAGE, re.DOTALL)
assert _CONFTEST is not None


def altered(text: str, *changes: tuple[str, str]) -> str:
    """The text with each of these changes, every one of which must find its place."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


ADAPTER = _CONFTEST[1]

OVER_LOOPBACK = altered(
    ADAPTER,
    ("https://gateway.l402.test", "{self.base_url}"),
    (
        "    def __init__(self, wallet):\n        self.purse",
        "    def __init__(self, wallet, base_url):\n        self.base_url = base_url\n        self.purse",
    ),
    (
        "    return l402_stack.attributed(MyClient(l402_wallet))",
        "    with l402_stack.serve() as served:\n"
        "        yield l402_stack.attributed(MyClient(l402_wallet, served.gateway_url))",
    ),
)

FORGETFUL = altered(ADAPTER, ("answer = self.client.get", "answer = L402Client(wallet=self.purse).get"))

WITHOUT_A_BUDGET = altered(ADAPTER, ("max_sats_per_request=100", "max_sats_per_request=10_000"))

CAREFUL = '''\
import httpx
import pytest

from pytest_l402.contract.payment import PaymentError
from pytest_l402.protocol.payable import payable_quote
from pytest_l402.stack import Answer, PaymentFailed

URL = "https://gateway.l402.test"


class CarefulClient:
    """Keeps what it is about to pay, asks its wallet what became of it, presents what it has bought."""

    def __init__(self, wallet, clock):
        self.wallet, self.clock, self.open, self.bought = wallet, clock, {}, {}

    def buy(self, path):
        with httpx.Client() as http:
            if path in self.open:
                self.recover(path)
            if path in self.bought:
                return self.present(http, path)
            answer = http.get(URL + path)
            if answer.status_code == 402:
                lines = answer.headers.get_list("www-authenticate")
                quote = self.open[path] = payable_quote(lines, now_s=self.clock.now_s())
                try:
                    paid = self.wallet.pay_invoice(quote.invoice, max_msats=100_000)
                except PaymentFailed:
                    del self.open[path]
                    raise
                self.bought[path] = self.open.pop(path).authorization(paid.preimage)
                return self.present(http, path)
            return Answer(answer.headers["x-oa-request-id"])

    def recover(self, path):
        try:
            paid = self.wallet.payment(self.open[path].payment_hash)
        except PaymentFailed:
            del self.open[path]
        else:
            self.bought[path] = self.open.pop(path).authorization(paid.preimage)

    def present(self, http, path):
        answer = http.get(URL + path, headers={"Authorization": self.bought[path]})
        return Answer(answer.headers["x-oa-request-id"])


@pytest.fixture
def l402_executor(l402_stack, l402_wallet, l402_clock):
    return l402_stack.attributed(CarefulClient(l402_wallet, l402_clock))
'''

HASTY = altered(CAREFUL, ("            if path in self.open:\n                self.recover(path)\n", ""))

BY_ITS_OWN_CLOCK = altered(
    CAREFUL,
    ("import httpx\n", "import time\n\nimport httpx\n"),
    ("now_s=self.clock.now_s()", "now_s=int(time.time())"),
)
