"""How a gateway is probed by whoever has a wallet: what it asks for is paid once, and presented."""

from __future__ import annotations

import httpx

from pytest_l402.contract.payment import Wallet
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes
from pytest_l402.ops.reconcile.ports import ProbeAnswer, ProbeTarget
from pytest_l402.protocol.quote import Quote


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
