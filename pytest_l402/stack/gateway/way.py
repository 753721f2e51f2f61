"""What can happen between a client and the gateway: messages are lost, slow, kept by a cache, or altered."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER, App, ConnectionLost, Request, Response
from pytest_l402.stack.faults import AnswerLost, AnswerSlow, ChallengeAltered, ChallengeKept, LostAt
from pytest_l402.stack.gateway.altered_challenge import altered
from pytest_l402.stack.gateway.lightning_node import LightningNode

_CREDENTIALS: Final = ("Authorization", "Grpc-Metadata-Macaroon", "Macaroon")


class Way:
    """The way to the gateway and back, whoever's gateway that is; without faults it changes nothing.

    Faults: `AnswerLost` (but for what is lost in wallet or gateway), `AnswerSlow`, `ChallengeKept`,
    `ChallengeAltered`.
    """

    def __init__(self, harness: Harness, gateway: App, node: LightningNode) -> None:
        self._harness = harness
        self._faults = harness.faults
        self._gateway = gateway
        self._node = node
        self._kept: dict[tuple[str, str, str, str], Response] = {}

    def handle(self, request: Request) -> Response:
        """Answer with what the gateway answers, or with what becomes of that on its way.

        Raises:
            ConnectionLost: the request never reached the gateway.
        """
        if not self._faults.residue():
            self._kept.clear()
            return self._gateway.handle(request)
        request_id = request.header(REQUEST_ID_HEADER)
        is_paid = any(request.header(name) is not None for name in _CREDENTIALS)
        if self._is_lost("paid_request" if is_paid else "request", request_id):
            raise ConnectionLost(request.host, "the connection broke before the request arrived")
        response = self._cached(request, request_id)
        if response.status == 402:
            response = self._altered(response, request_id)
        slow = self._faults.active(AnswerSlow, request_id)
        if slow is not None:
            response = replace(response, delay_ms=slow.ms)
            if not self._harness.clock.goes_by_itself:
                self._harness.clock.advance(slow.ms)
        delivered = is_paid and 200 <= response.status < 300
        place: LostAt | None = "challenge" if response.status == 402 else "delivery" if delivered else None
        if place is not None and self._is_lost(place, request_id):
            response = replace(response, is_lost=True)
        return response

    def _is_lost(self, place: LostAt, request_id: str | None) -> bool:
        return self._faults.active(AnswerLost, request_id, when=lambda lost: lost.at == place) is not None

    def _cached(self, request: Request, request_id: str | None) -> Response:
        """Answer as a cache does that keeps a 402, although it says no-store, by method and URL alone."""
        url = (request.method, request.host, request.path, request.query)
        kept = self._kept.get(url)
        if kept is not None and self._faults.active(ChallengeKept, request_id):
            return replace(kept, headers=(*kept.headers, ("Age", "1")), told=None)
        response = self._gateway.handle(request)
        if response.status == 402:
            self._kept[url] = response
        return response

    def _altered(self, response: Response, request_id: str | None) -> Response:
        fault = self._faults.active(ChallengeAltered, request_id)
        if fault is None:
            return response
        return altered(response, fault.how, self._node, self._harness.randomness)
