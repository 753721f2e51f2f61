"""Decides how a deployed gateway is probed: health, a payable challenge, delivery for a prepaid proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
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
from pytest_l402.protocol import Identifier, Preimage, format_credential, mint
from pytest_l402.protocol.payable import check_fresh
from pytest_l402.protocol.quote import Quote, UnpayableQuote

MISSING_AUTHORIZATION: Final = "missing_proxy_authorization_header"
SMOKE_AUTHORIZATION: Final = "x-oa-smoke-auth"
"""The header of a 402 by which a staging gateway hands out a prepaid proof. Source: lightning-ops, probes."""


@dataclass(slots=True)
class _Asked:
    """What one request of a probe has come to: what it found, the status of the answer."""

    found: Quote | str | None
    status: int | None = None

    @property
    def quote(self) -> Quote | None:
        return self.found if isinstance(self.found, Quote) else None

    @property
    def reason(self) -> str | None:
        return self.found if isinstance(self.found, str) else None

    def answer(self) -> ProbeAnswer:
        return ProbeAnswer(self.reason, self.status, None if self.quote is None else self.quote.amount_msats)


class LiveProbes:
    """The probes of a deployed gateway (`ops.reconcile.ports.Probes`); none pays or changes anything.

    The challenge is asked for twice at `CHALLENGE_URL`, and has to be a new one each time. Delivery is asked
    for at `PROXY_URL`: first with credentials that nobody has paid for, then with the prepaid proof, that of
    `PROXY_AUTHORIZATION_HEADER`, else that which a challenge came with (`x-oa-smoke-auth`). Without one the
    proxy probe fails with `missing_proxy_authorization_header`. Each answer leaves a row in the journal's
    `exchanges`, as seen from here: a 2xx for the proof is taken for the seller's own answer, since a gateway
    passes that on.
    """

    def __init__(self, access: GatewayAccess, client: httpx.Client, journal: Journal, clock: Clock) -> None:
        self._access = access
        self._client = client
        self._journal = journal
        self._clock = clock
        self._proof = access.proxy_authorization
        self._quote: Quote | None = None

    @property
    def has_proof(self) -> bool:
        """Whether there is a prepaid proof, from the environment or from a challenge that was seen."""
        return self._proof is not None

    def health(self, *, request_id: str, path: str | None = None) -> ProbeAnswer:
        """Ask the health path, or another one: any 2xx is well."""
        url = f"{self._access.base_url}{path or self._access.health_path}"
        return self._ask(url, request_id, GatewayProbes.health, health_path=url).answer()

    def challenge(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask without a credential: exactly 402, a challenge that can be paid, over the target's price."""
        ask = partial(
            self._ask,
            self._access.challenge_url,
            request_id,
            GatewayProbes.challenge,
            price_msats=target.price_msats,
            clock=self._clock,
            networks=self._access.networks,
        )
        first = ask()
        self._quote = first.quote
        if first.quote is None:
            return first.answer()
        second = ask()
        if second.quote is not None:
            try:
                check_fresh(second.quote, first.quote)
            except UnpayableQuote as error:
                second.found = error.code
        return second.answer()

    def proxy(self, target: ProbeTarget, *, request_id: str) -> ProbeAnswer:
        """Ask with credentials that nobody paid for, which get nothing; then with the proof: any 2xx."""
        # The seller's API may take as long as its route allows; the gateway's own answers may not.
        timeout_s = max(READ_TIMEOUT_S, target.timeout_ms / 1000)
        for forgery in _forgeries(request_id, self._quote):
            asked = self._present(GatewayProbes.forged, forgery, request_id, timeout_s)
            if asked.reason is not None:
                return asked.answer()
        if self._proof is None:
            return ProbeAnswer(MISSING_AUTHORIZATION)
        return self._present(GatewayProbes.proxy, self._proof, request_id, timeout_s).answer()

    def _present(
        self, ask: Callable[..., str | None], authorization: str, request_id: str, timeout_s: float
    ) -> _Asked:
        return self._ask(
            self._access.proxy_url,
            request_id,
            partial(ask, authorization=authorization),
            authorization=authorization,
            timeout_s=timeout_s,
        )

    def _ask(
        self,
        url: str,
        request_id: str,
        ask: Callable[[GatewayProbes], Quote | str | None],
        *,
        authorization: str | None = None,
        price_msats: int | None = None,
        **more: Any,
    ) -> _Asked:
        seen: list[httpx.Response] = []
        probes = GatewayProbes(self._client, url, price_msats, request_id, on_answer=seen.append, **more)
        asked = _Asked(ask(probes))
        if seen:
            asked.status = seen[-1].status_code
            # Also of a challenge that is no good: what is wrong with it has been told then.
            if authorization is None and self._access.proxy_authorization is None:
                self._proof = seen[-1].headers.get(SMOKE_AUTHORIZATION, "").strip() or self._proof
            self._note(url, request_id, asked, authorization)
        return asked

    def _note(self, url: str, request_id: str, asked: _Asked, authorization: str | None) -> None:
        parts, status, quote = urlsplit(url), asked.status, asked.quote
        accepted = None if authorization is None else status is not None and 200 <= status < 300
        row = {
            "requestId": request_id,
            "method": "GET",
            "host": parts.hostname,
            "path": parts.path or "/",
            "status": status,
            "challenge": None if quote is None else "issued",
            "quotedMsats": None if quote is None else quote.amount_msats,
            "paymentHash": None if quote is None else quote.payment_hash,
            "credential": "absent" if accepted is None else "accepted" if accepted else "refused",
            "refusal": asked.reason,
            "credentialDigest": None if authorization is None else digest_reference(authorization),
            "upstreamStatus": status if accepted else None,
            "atMs": self._clock.tick(),
        }
        self._journal.append("exchanges", row)


def _forgeries(request_id: str, quote: Quote | None) -> tuple[str, ...]:
    """Return credentials that nobody has paid for: one that is self-made, one with a preimage of another.

    The first is sound but for its signature, the second has the gateway's own signature.
    """
    unpaid = sha256(f"forged by {request_id}".encode()).digest()
    preimage = Preimage(unpaid)
    identifier = Identifier(0, preimage.payment_hash, sha256(unpaid).digest())
    self_made = mint(unpaid, identifier.encode()).to_base64()
    macaroons = (self_made,) if quote is None else (self_made, quote.macaroon_base64)
    return tuple(format_credential(macaroon, preimage) for macaroon in macaroons)


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
