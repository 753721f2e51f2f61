"""Decides where a reconcile of the stack takes its paywalls from, and how it asks the stack's gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from pytest_l402.harness.faults import Faults
from pytest_l402.ops.compile.paywall import PaywallDefinition, Policy, Route
from pytest_l402.ops.compile.terms import TOKEN_VALIDITY_KEY
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes
from pytest_l402.ops.reconcile.ports import ProbeAnswer, ProbeTarget
from pytest_l402.protocol.quote import Quote
from pytest_l402.stack.control.paywalls import Paywall as StackPaywall
from pytest_l402.stack.faults import PaywallNotCompilable
from pytest_l402.stack.gateway.services import Service

if TYPE_CHECKING:
    from pytest_l402.contract.payment import Wallet


class StackPaywalls:
    """The paywalls of a stack's control plane, as the compiler takes them: `PaywallSource`.

    A paywall whose service was started with a life for its credentials keeps it. With the fault
    `PaywallNotCompilable` the first price is one that no gateway can ask for.
    """

    def __init__(
        self,
        paywalls: Callable[[], Sequence[StackPaywall]],
        *,
        gateway_host: str,
        seller_host: str,
        services: Sequence[Service] = (),
        faults: Faults | None = None,
    ) -> None:
        self._paywalls = paywalls
        self._gateway_host = gateway_host
        self._seller_host = seller_host
        self._validity_s = {item.paywall_id: item.timeout_s for item in services if item.timeout_s}
        self._faults = faults if faults is not None else Faults()

    def paywalls(self, *, request_id: str) -> Sequence[PaywallDefinition]:
        """Return every paywall, as it stands now."""
        found = [self._paywall(item) for item in self._paywalls()]
        if found and self._faults.active(PaywallNotCompilable, request_id):
            policy = found[0].policy
            price = replace(policy, fixed_amount_msats=policy.fixed_amount_msats + 1)
            found[0] = replace(found[0], policy=price)
        return tuple(found)

    def owner_of(self, paywall_id: str) -> str | None:
        """Return the owner of a paywall, or None when the control plane does not know it."""
        return next((item.owner_id for item in self._paywalls() if item.paywall_id == paywall_id), None)

    def _paywall(self, item: StackPaywall) -> PaywallDefinition:
        validity_s = self._validity_s.get(item.paywall_id)
        return PaywallDefinition(
            paywall_id=item.paywall_id,
            owner_id=item.owner_id,
            name=item.name,
            policy=Policy(
                fixed_amount_msats=item.price_msats,
                allowed_hosts=tuple(sorted(item.allowed_hosts)) or None,
                blocked_hosts=tuple(sorted(item.blocked_hosts)) or None,
            ),
            routes=(
                Route(
                    route_id=item.route_id,
                    host_pattern=self._gateway_host,
                    path_pattern=item.path,
                    upstream_url=f"https://{self._seller_host}",
                    protocol="https",
                    timeout_ms=item.timeout_ms,
                    priority=item.priority,
                ),
            ),
            metadata={} if validity_s is None else {TOKEN_VALIDITY_KEY: validity_s},
        )


class StackProbes:
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
        quote = self._quotes.pop((request_id, target.rule_id), None)
        statuses: list[int] = []
        probes = self._probes(target, request_id, statuses)
        if quote is None:
            asked = probes.challenge()
            if isinstance(asked, str):
                return ProbeAnswer(f"proxy_not_paid_{asked}", _last(statuses))
            quote = asked
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
