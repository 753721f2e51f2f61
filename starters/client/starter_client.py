"""The client under rehearsal. Put your own in its place: what the drills ask of it is in `conftest.py`."""

import httpx

from pytest_l402.protocol.payable import payable_quote
from pytest_l402.stack import PaymentFailed


class StarterClient:
    """Keeps what it is about to pay, asks its wallet what became of it, reuses what it bought."""

    def __init__(self, base_url, wallet, clock):
        self.base_url, self.wallet, self.clock = base_url, wallet, clock
        self.open = {}  # by path, what is being paid for: noted before the money goes
        self.bought = {}  # by path, the credential
        self.accepted = set()  # paths whose credential was good at least once

    def get(self, path):
        with httpx.Client(base_url=self.base_url) as http:
            self._ask_what_became_of(path)
            if path not in self.bought:
                answer = http.get(path)
                if answer.status_code != 402:
                    return answer
                self._pay(path, answer)
            answer = self._present(http, path)
            if answer.status_code == 402 and path in self.accepted:
                # It was good before, so its time is over. One that never was is not bought again.
                self.accepted.discard(path)
                self._pay(path, answer)
                answer = self._present(http, path)
            if answer.is_success:
                self.accepted.add(path)
            return answer

    def _pay(self, path, challenge):
        lines = challenge.headers.get_list("www-authenticate")
        quote = self.open[path] = payable_quote(lines, now_s=self.clock.now_s())
        try:
            paid = self.wallet.pay_invoice(quote.invoice, max_msats=100_000)
        except PaymentFailed:
            del self.open[path]
            raise
        self.bought[path] = self.open.pop(path).authorization(paid.preimage)

    def _ask_what_became_of(self, path):
        if path not in self.open:
            return
        try:
            paid = self.wallet.payment(self.open[path].payment_hash)
        except PaymentFailed:
            del self.open[path]
        else:
            self.bought[path] = self.open.pop(path).authorization(paid.preimage)

    def _present(self, http, path):
        return http.get(path, headers={"Authorization": self.bought[path]})
