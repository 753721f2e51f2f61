"""Decides how a deployed gateway is probed: health, a payable challenge, delivery for a prepaid proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from pytest_l402.stack.ops.compile import Compilation
from pytest_l402.stack.ops.probe_targets import probe_targets
from pytest_l402.stack.ops.reconcile_ports import ProbeOutcome, ProbeTarget
from pytest_l402.stack.probes import GatewayProbes

from .bounded_transport import READ_TIMEOUT_S
from .environment import PREFIX, GatewayAccess
from .live_error import LiveError

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
        # The seller's API may take as long as its route allows; the gateway's own answers may not.
        timeout_s = max(READ_TIMEOUT_S, target.timeout_ms / 1000)
        probes = self._probes(self._access.proxy_url, None, request_id, seen, timeout_s=timeout_s)
        return ProbeOutcome(probes.proxy(self._access.proxy_authorization), _last(seen))

    def _probes(
        self,
        url: str,
        price_msats: int | None,
        request_id: str,
        seen: list[int],
        *,
        health_path: str = "",
        timeout_s: float | None = None,
    ) -> GatewayProbes:
        return GatewayProbes(
            self._client,
            url,
            price_msats,
            request_id,
            health_path=health_path,
            timeout_s=timeout_s,
            on_answer=seen.append,
        )


def live_targets(access: GatewayAccess) -> Callable[[Compilation], tuple[ProbeTarget, ...]]:
    """Return how a compiled configuration is probed: at the one rule that answers for `CHALLENGE_URL`.

    What is returned raises `LiveError` when there are rules and none of them answers there: a deployment must
    not pass because nothing of it was asked.
    """
    parts = urlsplit(access.challenge_url)
    # Aperture sees the port, too, but patterns of paywalls are names of hosts.
    host, path = parts.hostname or "", unquote(parts.path or "/")

    def targets(compilation: Compilation) -> tuple[ProbeTarget, ...]:
        found = probe_targets(compilation, host=host, path=path)
        if compilation.rules and not found:
            raise LiveError(
                f"{PREFIX}CHALLENGE_URL",
                code="missing_probe_route",
                expected=f"a resource that one of the {len(compilation.rules)} compiled rules sells",
                seen=f"none that answers for host {host} and path {path}",
                remedy="name the URL of a route that is for sale",
            )
        return found

    return targets


def _last(seen: list[int]) -> int | None:
    return seen[-1] if seen else None
