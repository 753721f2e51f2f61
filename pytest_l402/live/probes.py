"""Decides how a deployed gateway is probed: health, a payable challenge, delivery for a prepaid proof."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import httpx

from pytest_l402.stack.ops.reconcile_ports import ProbeOutcome, ProbeTarget
from pytest_l402.stack.probes import GatewayProbes

from .environment import GatewayAccess

MISSING_AUTHORIZATION: Final = "missing_proxy_authorization_header"


class LiveProbes:
    """The probes of a deployed gateway (`stack.ops.reconcile_ports.Probes`); none pays or changes anything.

    The challenge is asked for at `CHALLENGE_URL`, delivery at `PROXY_URL`, with the prepaid proof of
    `PROXY_AUTHORIZATION_HEADER`; without one the proxy probe fails with `missing_proxy_authorization_header`.
    """

    def __init__(self, access: GatewayAccess, client: httpx.Client) -> None:
        self._access = access
        self._client = client

    def health(self, *, request_id: str) -> ProbeOutcome:
        """Ask the health path: any 2xx is well."""
        seen: list[int] = []
        url = f"{self._access.base_url}{self._access.health_path}"
        reason = self._probes(url, None, request_id, seen, health_path=url).health()
        return ProbeOutcome(reason, _last(seen))

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeOutcome:
        """Ask without a credential: exactly 402, a readable challenge, an invoice over the target's price."""
        seen: list[int] = []
        probes = self._probes(self._access.challenge_url, target.price_msats, request_id, seen)
        quote = probes.challenge()
        if isinstance(quote, str):
            return ProbeOutcome(quote, _last(seen))
        return ProbeOutcome(None, _last(seen), quote.amount_msats)

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeOutcome:
        """Ask with the prepaid proof: any 2xx is well."""
        if self._access.proxy_authorization is None:
            return ProbeOutcome(MISSING_AUTHORIZATION)
        seen: list[int] = []
        probes = self._probes(self._access.proxy_url, None, request_id, seen)
        return ProbeOutcome(probes.proxy(self._access.proxy_authorization), _last(seen))

    def _probes(
        self, url: str, price_msats: int | None, request_id: str, seen: list[int], *, health_path: str = ""
    ) -> GatewayProbes:
        return GatewayProbes(
            self._client, url, price_msats, request_id, health_path=health_path, on_answer=seen.append
        )


def probed_host_and_path(access: GatewayAccess) -> tuple[str, str]:
    """Return the host and path that the challenge probe asks for: a rule must answer for them."""
    parts = urlsplit(access.challenge_url)
    return parts.hostname or "", parts.path or "/"


def _last(seen: list[int]) -> int | None:
    return seen[-1] if seen else None
