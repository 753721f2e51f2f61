"""Decides how a deployed gateway is probed: health, a payable challenge, delivery for a prepaid proof."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx

from pytest_l402.boundary import digest_reference
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.journal import Journal
from pytest_l402.live.bounded_transport import READ_TIMEOUT_S
from pytest_l402.live.environment import PREFIX, GatewayAccess
from pytest_l402.live.live_error import LiveError
from pytest_l402.ops.compile.compilation import Compilation
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes
from pytest_l402.ops.reconcile.ports import ProbeAnswer, ProbeTarget
from pytest_l402.ops.reconcile.probe_targets import probe_targets
from pytest_l402.protocol.quote import Quote

MISSING_AUTHORIZATION: Final = "missing_proxy_authorization_header"


class LiveProbes:
    """The probes of a deployed gateway (`stack.ops.reconcile_ports.Probes`); none pays or changes anything.

    The challenge is asked for at `CHALLENGE_URL`, delivery at `PROXY_URL`, with the prepaid proof of
    `PROXY_AUTHORIZATION_HEADER`; without one the proxy probe fails with `missing_proxy_authorization_header`.
    Each answer leaves a row in the journal's `exchanges`, as seen from here: a 2xx for the proof is taken for
    the seller's own answer, since a gateway passes that on.
    """

    def __init__(self, access: GatewayAccess, client: httpx.Client, journal: Journal, clock: Clock) -> None:
        self._access = access
        self._client = client
        self._journal = journal
        self._clock = clock

    def health(self, *, request_id: str) -> ProbeAnswer:
        """Ask the health path: any 2xx is well."""
        url = f"{self._access.base_url}{self._access.health_path}"
        return self._ask(url, request_id, GatewayProbes.health, health_path=url)

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask without a credential: exactly 402, a readable challenge, an invoice over the target's price."""
        url, price_msats = self._access.challenge_url, target.price_msats
        return self._ask(url, request_id, GatewayProbes.challenge, price_msats=price_msats)

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask with the prepaid proof: any 2xx is well."""
        proof = self._access.proxy_authorization
        if proof is None:
            return ProbeAnswer(MISSING_AUTHORIZATION)
        # The seller's API may take as long as its route allows; the gateway's own answers may not.
        timeout_s = max(READ_TIMEOUT_S, target.timeout_ms / 1000)
        ask = partial(GatewayProbes.proxy, authorization=proof)
        return self._ask(self._access.proxy_url, request_id, ask, proof=proof, timeout_s=timeout_s)

    def _ask(
        self,
        url: str,
        request_id: str,
        ask: Callable[[GatewayProbes], Quote | str | None],
        *,
        proof: str | None = None,
        price_msats: int | None = None,
        **more: Any,
    ) -> ProbeAnswer:
        seen: list[int] = []
        probes = GatewayProbes(self._client, url, price_msats, request_id, on_answer=seen.append, **more)
        found = ask(probes)
        quote, reason = (None, found) if isinstance(found, str) else (found, None)
        amount_msats = None if quote is None else quote.amount_msats
        if not seen:
            return ProbeAnswer(reason, None, amount_msats)
        status, parts = seen[-1], urlsplit(url)
        accepted = None if proof is None else 200 <= status < 300
        row = {
            "requestId": request_id,
            "method": "GET",
            "host": parts.hostname,
            "path": parts.path or "/",
            "status": status,
            "challenge": None if quote is None else "issued",
            "quotedMsats": amount_msats,
            "paymentHash": None if quote is None else quote.payment_hash,
            "credential": "absent" if accepted is None else "accepted" if accepted else "refused",
            "refusal": reason,
            "credentialDigest": None if proof is None else digest_reference(proof),
            "upstreamStatus": status if accepted else None,
            "atMs": self._clock.tick(),
        }
        self._journal.append("exchanges", row)
        return ProbeAnswer(reason, status, amount_msats)


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
