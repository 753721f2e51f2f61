"""What becomes of a request for a paid resource: a challenge, a refusal, or the seller's content."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Unpack

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.contract.settlement_event import SettlementEvent, SettlementRefused, settlement_id_of
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import (
    REQUEST_ID_HEADER,
    TASK_ID_HEADER,
    App,
    Request,
    Response,
    is_usable_id,
)
from pytest_l402.harness.observation import Known
from pytest_l402.stack.faults import AnswerLost, CredentialRefused, LostAt, UpstreamDown
from pytest_l402.stack.gateway import answers
from pytest_l402.stack.gateway.evidence import Exchange, GatewayEvidence
from pytest_l402.stack.gateway.lightning_node import (
    Invoices,
    InvoiceStatus,
    NodeUnavailable,
    UnknownInvoice,
)
from pytest_l402.stack.gateway.limits import Freebies, RateLimiter, client_network
from pytest_l402.stack.gateway.mint import (
    LAPSED,
    CredentialMint,
    Presented,
    Refusal,
    RootKeys,
    Standing,
)
from pytest_l402.stack.gateway.profile import APERTURE, GatewayProfile, Reuse
from pytest_l402.stack.gateway.seller_api import forwarded, readable_credential
from pytest_l402.stack.gateway.services import Service, decoded_path, host_as_sent, match_service
from pytest_l402.stack.roles import ControlPlane, SettlementStore

HEALTH_PATH = "/healthz"
STRICT_VERIFY_WAIT_MS = 3_000
_NO_ANSWER = replace(answers.bad_gateway(), is_lost=True)
"""What comes of a request in the middle of which the gateway's process ends."""


class Gateway:
    """An L402 gateway that behaves as Aperture does, unless its `profile` says otherwise.

    It checks real cryptography, asks the control plane before it asks for money, and tells the settlement
    store about invoices and proofs of payment. Each request leaves one log line; one to a service also leaves
    a record of plane `gateway`, unless the control plane denied it. Every answer carries `x-oa-request-id`:
    the client's if it is 1 to 128 characters of printable ASCII without blanks, else one of the gateway's
    own. `/healthz` answers 200, unless what was loaded last makes it ill.
    """

    health_path: str | None = HEALTH_PATH
    names_requests = True

    def __init__(
        self,
        harness: Harness,
        services: Iterable[Service],
        *,
        node: Invoices,
        seller_api: App,
        control_plane: ControlPlane,
        settlements: SettlementStore,
        profile: GatewayProfile = APERTURE,
        blocklist: Iterable[str] = (),
        root_keys: RootKeys | None = None,
    ) -> None:
        self.services = tuple(services)
        self.profile = profile
        self._harness = harness
        self._clock = harness.clock
        self._node = node
        self._seller_api = seller_api
        self._control_plane = control_plane
        self._settlements = settlements
        self._health_status = 200
        self._blocklist = frozenset(blocklist)
        self._evidence = GatewayEvidence(harness)
        self._freebies = Freebies()
        self._rates = RateLimiter()
        self._used: set[str] = set()
        # Serial: what is left of requests has one order.
        self._serial: AbstractContextManager[object] = threading.RLock()
        self.mint = CredentialMint(harness.randomness, root_keys)

    def handle(self, request: Request) -> Response:
        """Answer one request; refusals are answers, not exceptions."""
        with self._serial:
            exchange = self._exchange(request)
            response = self._answer(request, exchange)
            told = self._evidence.close(exchange, response.status)
            if self.names_requests:
                response = answers.with_request_id(response, exchange.request_id)
            return replace(response, told=told)

    def load(self, services: Iterable[Service], *, health_status: int = 200) -> None:
        """Sell these services from the next request on, and answer `/healthz` with `health_status`."""
        with self._serial:
            self.services = tuple(services)
            self._health_status = health_status

    def revoke(self, payment_hash: str) -> int:
        """Delete the root keys of the credentials bought with this payment and return how many there were."""
        return self.mint.revoke(payment_hash)

    @contextmanager
    def following(self, profile: GatewayProfile) -> Iterator[None]:
        """Follow another profile inside the block."""
        before, self.profile = self.profile, profile
        try:
            yield
        finally:
            self.profile = before

    def _exchange(self, request: Request) -> Exchange:
        request_id = self._harness.id_of(request, "gw", "gateway request id")
        task_id = request.header(TASK_ID_HEADER)
        return Exchange(
            request, request_id, task_id if is_usable_id(task_id) else None, decoded_path(request)
        )

    def _answer(self, request: Request, exchange: Exchange) -> Response:
        if request.client_address in self._blocklist:
            exchange.refusal = "address_blocked"
            self._evidence.record(exchange, deny_reason="gateway_address_blocked")
            return answers.answer(request, 403, "access denied", names_type=False)
        if request.method == "OPTIONS":
            return answers.answer(request, 200, "", names_type=False)
        if exchange.path == self.health_path:
            text = "ok" if self._health_status == 200 else "unhealthy"
            return answers.answer(request, self._health_status, text)
        service = match_service(self.services, host_as_sent(request), exchange.path)
        if service is None:
            exchange.refusal = "no_service"
            self._evidence.record(exchange, deny_reason="gateway_no_service")
            return answers.not_found()
        exchange.service = service
        if not service.is_paid(exchange.path):
            return self._limited(request, exchange, service) or self._forward(request, exchange, service)
        decision = self._control_plane.gate(
            exchange.request_id, service.owner_id, service.paywall_id, exchange.task_id
        )
        if not decision.allowed:
            exchange.refusal = decision.code
            return answers.answer(request, 403, "access denied")
        exchange.presented = self._judge(request, service, exchange.request_id)
        exchange.refusal = exchange.presented.reason
        # Nothing holds back who has no credential: it gets a challenge, and an invoice, each time.
        if exchange.presented.standing is Standing.ACCEPTED:
            return self._limited(request, exchange, service) or self._deliver(request, exchange, service)
        if service.freebies and self._freebies.take(service, client_network(request.client_address)):
            return self._limited(request, exchange, service) or self._forward(request, exchange, service)
        return self._refuse(request, exchange, service)

    def _judge(self, request: Request, service: Service, request_id: str) -> Presented:
        presented = self.mint.judge(request.headers, service, self._clock.now_s(), self.profile.dialect)
        payment_hash = presented.payment_hash
        if presented.standing is not Standing.ACCEPTED or payment_hash is None:
            return presented
        if self._harness.faults.active(CredentialRefused, request_id):
            # As a gateway says it that has lost its secrets.
            return presented.refused(Refusal.ROOT_KEY_UNKNOWN)
        if self.profile.strict_verify and not self._is_settled(payment_hash):
            return presented.refused(Refusal.INVOICE_NOT_SETTLED)
        if self.profile.reuse is Reuse.SINGLE_USE and payment_hash in self._used:
            return presented.refused(Refusal.ALREADY_USED)
        return presented

    def _is_settled(self, payment_hash: str) -> bool:
        try:
            if self._node.lookup(payment_hash) is InvoiceStatus.SETTLED:
                return True
            self._clock.advance(STRICT_VERIFY_WAIT_MS)
            return self._node.lookup(payment_hash) is InvoiceStatus.SETTLED
        except UnknownInvoice:
            return False

    def _limited(self, request: Request, exchange: Exchange, service: Service) -> Response | None:
        if not service.ratelimits:
            return None
        minted = exchange.presented.minted
        # Only a verified token is counted on its own: garbage tokens must not open fresh allowances.
        client = (
            f"token:{minted.token_id.hex()}" if minted else f"ip:{client_network(request.client_address)}"
        )
        wait_s = self._rates.wait_s(service, client, exchange.path, self._clock.now_ms())
        if not wait_s:
            return None
        # Why the credential is no good goes before: that is not seen from the status.
        exchange.refusal = exchange.refusal or "rate_limited"
        self._evidence.record(exchange, deny_reason="gateway_rate_limited")
        return answers.answer(
            request,
            429,
            "rate limit exceeded",
            headers=(("Retry-After", str(wait_s)),),
            grpc_status=answers.GRPC_RESOURCE_EXHAUSTED,
        )

    def _refuse(self, request: Request, exchange: Exchange, service: Service) -> Response:
        presented = exchange.presented
        if service.skips_invoice(exchange.path):
            exchange.refusal = presented.reason or "invoice_creation_skipped"
            self._evidence.record(exchange, deny_reason="gateway_unauthorized")
            return answers.unauthorized(request, challenge=False)
        if presented.standing is Standing.REFUSED:
            lapsed = presented.reason in LAPSED
            status = self.profile.expired_refusal_status if lapsed else self.profile.refusal_status
            fault = self._harness.faults.active(CredentialRefused, exchange.request_id)
            status = status if fault is None else fault.status
            if status == 401:
                self._evidence.record(exchange, deny_reason="gateway_credential_refused")
                return answers.unauthorized(request, challenge=True)
        return self._challenge(request, exchange, service)

    def _challenge(self, request: Request, exchange: Exchange, service: Service) -> Response:
        try:
            invoice = self._node.create_invoice(service.price_msats, "L402", exchange.request_id)
            macaroon = self.mint.mint(
                invoice.payment_hash, invoice.amount_msats, service, self._clock.now_s()
            )
        except NodeUnavailable:
            exchange.refusal = exchange.refusal or "challenge_failed"
            self._evidence.record(exchange, deny_reason="gateway_challenge_failed")
            return answers.answer(request, 500, "challenge failure", cors=False)
        self._settlements.invoice_opened(
            invoice.payment_hash.hex(),
            f"inv_{invoice.payment_hash[:16]}",
            invoice.amount_msats,
            service.paywall_id,
            service.owner_id,
            exchange.request_id,
        )
        # A challenge is no failure; that it answers a credential which was presented is one.
        refused = exchange.presented.standing is Standing.REFUSED
        reason = "gateway_credential_refused" if refused else None
        self._evidence.record(exchange, quoted_cost_msats=invoice.amount_msats, deny_reason=reason)
        return answers.payment_required(
            request, macaroon.to_base64(), invoice.bolt11, superset=self.profile.superset_challenge
        )

    def _deliver(self, request: Request, exchange: Exchange, service: Service) -> Response:
        presented = exchange.presented
        assert presented.credential is not None
        assert presented.minted is not None
        if self._is_lost("before_settlement", exchange):
            return _NO_ANSWER
        preimage, amount_msats = presented.credential.preimage, presented.minted.amount_msats
        payment_hash = presented.minted.payment_hash.hex()
        self._used.add(payment_hash)
        event = SettlementEvent(
            settlement_id=settlement_id_of(payment_hash),
            payment_hash=payment_hash,
            preimage=preimage,
            amount_msats=amount_msats,
            paywall_id=service.paywall_id,
            owner_id=service.owner_id,
            request_id=exchange.request_id,
            task_id=exchange.task_id,
            route_id=service.route_id,
        )
        existed: bool | None = None
        try:
            existed = self._settlements.ingest(event).existed
        except SettlementRefused as refused:
            # The buyer has proven the payment: the store's quarrel with the event is the seller's to settle.
            self._harness.journal.log("gateway", exchange.request_id, f"settlement refused: {refused.code}")
        if self._is_lost("after_settlement", exchange):
            return _NO_ANSWER
        return self._forward(
            request,
            exchange,
            service,
            quoted_cost_msats=amount_msats,
            paid_amount_msats=amount_msats,
            payment_proof_ref=hosted_proof_reference(preimage.hex()),
            cache_hit=existed,
        )

    def _is_lost(self, place: LostAt, exchange: Exchange) -> bool:
        lost = self._harness.faults.active(
            AnswerLost, exchange.request_id, when=lambda lost: lost.at == place
        )
        if lost is not None:
            exchange.refusal = "gateway_gone"
        return lost is not None

    def _forward(
        self, request: Request, exchange: Exchange, service: Service, **known: Unpack[Known]
    ) -> Response:
        response = self._ask_seller(request, exchange, service)
        failed = response is None or response.status >= 500
        known["deny_reason"] = "gateway_upstream_failed" if failed else None
        self._evidence.record(exchange, **known)
        return answers.bad_gateway() if response is None else answers.from_backend(request, response)

    def _ask_seller(self, request: Request, exchange: Exchange, service: Service) -> Response | None:
        if self._harness.faults.active(UpstreamDown, exchange.request_id):
            return None
        credential = exchange.presented.credential or readable_credential(request, self.profile.dialect)
        request_id = exchange.request_id if self.names_requests else request.header(REQUEST_ID_HEADER)
        onward = forwarded(request, service, request_id, credential)
        try:
            return self._seller_api.handle(onward)
        except ConnectionError:
            return None
