"""Decides whether a gateway does its job: alive, asking the right price, delivering for a paid credential."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import httpx

from pytest_l402.contract.payment import PaymentError, Wallet
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.ops.reconcile.ports import ProbeAnswer, ProbeTarget
from pytest_l402.protocol.payable import check_price, payable_quote
from pytest_l402.protocol.quote import Quote, UnpayableQuote, read_quote

HEALTH_PATH = "/healthz"
FORGED_ACCEPTED = "proxy_forged_credential_accepted"
FORGED_NOT_REFUSED = "proxy_forged_credential_not_refused_status_"


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
    None takes any price. With a `clock` it must be one that a buyer can pay now and be served for, on one of
    `networks` (prefixes of invoices, None takes any); without one it must only be readable, as gateways of
    others hand out tokens of other kinds. `timeout_s` bounds each wait for what was paid for; `on_answer` is
    told of every answer.
    """

    client: httpx.Client
    path: str
    price_msats: int | None
    request_id: str
    health_path: str = HEALTH_PATH
    timeout_s: float | None = None
    on_answer: Callable[[httpx.Response], None] | None = None
    clock: Clock | None = None
    networks: Collection[str] | None = None

    def health(self) -> str | None:
        """Return None when the health path answers 2xx, else why not."""
        response = self._get(self.health_path, {})
        if isinstance(response, str):
            return f"health_{response}"
        return None if response.is_success else f"health_status_{response.status_code}"

    def challenge(self) -> Quote | str:
        """Return the quote of a request without a credential, or why it is no proper challenge.

        Proper is exactly 402, with a challenge over the configured price: a 200 would be an open paywall.
        """
        response = self._get(self.path, {})
        if isinstance(response, str):
            return f"challenge_{response}"
        if response.status_code != 402:
            return f"challenge_status_{response.status_code}"
        lines = response.headers.get_list("www-authenticate")
        try:
            if self.clock is None:
                quote = read_quote(lines)
            else:
                quote = payable_quote(lines, now_s=self.clock.now_s(), networks=self.networks)
            check_price(quote, self.price_msats)
        except UnpayableQuote as error:
            return error.code
        return quote

    def proxy(self, authorization: str) -> str | None:
        """Return None when the resource is delivered for the credential (2xx), else why not."""
        response = self._get(self.path, {"Authorization": authorization}, self.timeout_s)
        if isinstance(response, str):
            return f"proxy_{response}"
        return None if response.is_success else f"proxy_status_{response.status_code}"

    def forged(self, authorization: str) -> str | None:
        """Return None when a credential that nobody paid for is refused (4xx), else what became of it.

        A gateway that fails, or sends it elsewhere, has refused nothing: nobody knows whether it would.
        """
        response = self._get(self.path, {"Authorization": authorization}, self.timeout_s)
        if isinstance(response, str):
            return f"proxy_{response}"
        if response.is_success:
            return FORGED_ACCEPTED
        return None if response.is_client_error else f"{FORGED_NOT_REFUSED}{response.status_code}"

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
            self.on_answer(response)
        return response


class PayingProbes:
    """Asks a gateway through an httpx client, and pays for the proxy probe with a wallet: `Probes`.

    The challenge of the challenge probe is the one that is paid, so that one probe leaves one payment. Its
    invoice has to be one of today, by `clock`, and of one of `networks`, as `GatewayProbes` has them.
    """

    def __init__(
        self,
        client: httpx.Client,
        wallet: Wallet,
        clock: Clock | None = None,
        networks: Collection[str] | None = None,
    ) -> None:
        self._client = client
        self._wallet = wallet
        self._clock = clock
        self._networks = networks
        self._quotes: dict[tuple[str, str], Quote] = {}

    def health(self, *, request_id: str) -> ProbeAnswer:
        """Ask the health path: any 2xx is well."""
        answers: list[httpx.Response] = []
        reason = GatewayProbes(self._client, "/", None, request_id, on_answer=answers.append).health()
        return ProbeAnswer(reason, _last(answers))

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask without a credential: well is exactly a 402 that can be paid and asks for the right price."""
        answers: list[httpx.Response] = []
        quote = self._probes(target, request_id, answers).challenge()
        if isinstance(quote, str):
            self._quotes.pop((request_id, target.rule_id), None)
            return ProbeAnswer(quote, _last(answers))
        self._quotes[request_id, target.rule_id] = quote
        return ProbeAnswer(None, _last(answers), quote.amount_msats)

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask with a credential that was paid for: any 2xx is well."""
        answers: list[httpx.Response] = []
        probes = self._probes(target, request_id, answers)
        quote = self._quotes.pop((request_id, target.rule_id), None) or probes.challenge()
        if isinstance(quote, str):
            return ProbeAnswer(f"proxy_not_paid_{quote}", _last(answers))
        reason = probes.paid_proxy(self._wallet, quote, target.max_msats)
        return ProbeAnswer(reason, _last(answers), quote.amount_msats)

    def _probes(self, target: ProbeTarget, request_id: str, answers: list[httpx.Response]) -> GatewayProbes:
        return GatewayProbes(
            self._client,
            target.path,
            target.price_msats,
            request_id,
            timeout_s=target.timeout_ms / 1000,
            on_answer=answers.append,
            clock=self._clock,
            networks=self._networks,
        )


def _last(answers: list[httpx.Response]) -> int | None:
    return answers[-1].status_code if answers else None
