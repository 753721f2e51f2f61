"""Decides whether a gateway does its job: alive, asking the right price, delivering for a paid credential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from pytest_l402.contract.payment import PaymentError, Wallet
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.ops.reconcile.ports import ProbeAnswer, ProbeTarget
from pytest_l402.protocol.quote import Quote, UnreadableQuote, read_quote

HEALTH_PATH = "/healthz"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the three probes found; `reasons` holds one stable code for each that failed."""

    health_ok: bool
    challenge_ok: bool
    proxy_ok: bool
    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all three succeeded."""
        return self.health_ok and self.challenge_ok and self.proxy_ok


@dataclass(frozen=True, slots=True)
class GatewayProbes:
    """Probes of one resource behind a gateway; `client` decides which gateway by its base URL.

    `price_msats` is what the resource is configured to cost: a challenge that asks for anything else is none.
    None takes any price. `timeout_s` bounds each wait for what was paid for; `on_answer` is told the status
    of every answer.
    """

    client: httpx.Client
    path: str
    price_msats: int | None
    request_id: str
    health_path: str = HEALTH_PATH
    timeout_s: float | None = None
    on_answer: Callable[[int], None] | None = None

    def health(self) -> str | None:
        """Return None when the health path answers 2xx, else why not."""
        response = self._get(self.health_path, {})
        if isinstance(response, str):
            return f"health_{response}"
        return None if response.is_success else f"health_status_{response.status_code}"

    def challenge(self) -> Quote | str:
        """Return the quote of a request without a credential, or why it is no proper challenge.

        Proper is exactly 402, with a readable challenge whose signed invoice asks for the configured price: a
        200 would be an open paywall.
        """
        response = self._get(self.path, {})
        if isinstance(response, str):
            return f"challenge_{response}"
        if response.status_code != 402:
            return f"challenge_status_{response.status_code}"
        try:
            quote = read_quote(response.headers.get_list("www-authenticate"))
        except UnreadableQuote as error:
            return error.code
        if self.price_msats is not None and quote.amount_msats != self.price_msats:
            return f"challenge_amount_{quote.amount_msats}_not_{self.price_msats}"
        return quote

    def proxy(self, authorization: str) -> str | None:
        """Return None when the resource is delivered for the credential (2xx), else why not."""
        response = self._get(self.path, {"Authorization": authorization}, self.timeout_s)
        if isinstance(response, str):
            return f"proxy_{response}"
        return None if response.is_success else f"proxy_status_{response.status_code}"

    def run(self, wallet: Wallet) -> ProbeReport:
        """Run all three; the wallet pays the challenge once, so that the proxy sees a real credential."""
        health = self.health()
        quote = self.challenge()
        challenge = quote if isinstance(quote, str) else None
        proxy = "proxy_not_tried" if isinstance(quote, str) else self.paid_proxy(wallet, quote)
        reasons = tuple(reason for reason in (health, challenge, proxy) if reason is not None)
        return ProbeReport(health is None, challenge is None, proxy is None, reasons)

    def paid_proxy(self, wallet: Wallet, quote: Quote, max_msats: int | None = None) -> str | None:
        """Let the wallet pay the quote, at most `max_msats` or the price, and return what `proxy` returns."""
        cap = self.price_msats if max_msats is None else max_msats
        try:
            payment = wallet.pay_invoice(quote.invoice, max_msats=cap)
        except PaymentError as error:
            return f"proxy_not_paid_{type(error).__name__}"
        return self.proxy(quote.authorization(payment.preimage))

    def _get(
        self, path: str, headers: dict[str, str], timeout_s: float | None = None
    ) -> httpx.Response | str:
        try:
            response = self.client.get(
                path,
                headers={REQUEST_ID_HEADER: self.request_id, **headers},
                follow_redirects=False,
                timeout=httpx.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s,
            )
        except httpx.RequestError as error:
            return f"unreachable_{type(error).__name__}"
        if self.on_answer is not None:
            self.on_answer(response.status_code)
        return response


class PayingProbes:
    """Asks a gateway through an httpx client, and pays for the proxy probe with a wallet: `Probes`.

    The challenge of the challenge probe is the one that is paid, so that one probe leaves one payment.
    """

    def __init__(self, client: httpx.Client, wallet: Wallet) -> None:
        self._client = client
        self._wallet = wallet
        self._quotes: dict[tuple[str, str], Quote] = {}

    def health(self, *, request_id: str) -> ProbeAnswer:
        """Ask the health path: any 2xx is well."""
        statuses: list[int] = []
        reason = GatewayProbes(self._client, "/", None, request_id, on_answer=statuses.append).health()
        return ProbeAnswer(reason, _last(statuses))

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask without a credential: well is exactly a 402 that can be paid and asks for the right price."""
        statuses: list[int] = []
        quote = self._probes(target, request_id, statuses).challenge()
        if isinstance(quote, str):
            self._quotes.pop((request_id, target.rule_id), None)
            return ProbeAnswer(quote, _last(statuses))
        self._quotes[request_id, target.rule_id] = quote
        return ProbeAnswer(None, _last(statuses), quote.amount_msats)

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask with a credential that was paid for: any 2xx is well."""
        statuses: list[int] = []
        probes = self._probes(target, request_id, statuses)
        quote = self._quotes.pop((request_id, target.rule_id), None) or probes.challenge()
        if isinstance(quote, str):
            return ProbeAnswer(f"proxy_not_paid_{quote}", _last(statuses))
        reason = probes.paid_proxy(self._wallet, quote, target.max_msats)
        return ProbeAnswer(reason, _last(statuses), quote.amount_msats)

    def _probes(self, target: ProbeTarget, request_id: str, statuses: list[int]) -> GatewayProbes:
        return GatewayProbes(
            self._client,
            target.path,
            target.price_msats,
            request_id,
            timeout_s=target.timeout_ms / 1000,
            on_answer=statuses.append,
        )


def _last(statuses: list[int]) -> int | None:
    return statuses[-1] if statuses else None
