"""What the operator does for a gateway that knows nothing of the platform: asks, tells, and can refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

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
from pytest_l402.protocol import CaveatError, check_caveats
from pytest_l402.stack.faults import AnswerLost, CredentialRefused
from pytest_l402.stack.gateway import answers
from pytest_l402.stack.gateway.evidence import Exchange, GatewayEvidence
from pytest_l402.stack.gateway.gateway import HEALTH_PATH
from pytest_l402.stack.gateway.lightning_node import InvoiceStatus, LightningNode, UnknownInvoice
from pytest_l402.stack.gateway.mint import LAPSED, Presented, Refusal, Standing
from pytest_l402.stack.gateway.profile import APERTURE, GatewayProfile
from pytest_l402.stack.gateway.services import Service, decoded_path, host_as_sent, match_service
from pytest_l402.stack.gateway.wire import Carried, Offered, carried_by, offered_by
from pytest_l402.stack.roles import ControlPlane, SettlementStore

_CODES = {429: "gateway_rate_limited", 401: "gateway_unauthorized", 403: "gateway_address_blocked"}

_CREDENTIALS = ("authorization", "grpc-metadata-macaroon", "macaroon")
_IN_THE_GATEWAY = ("before_settlement", "after_settlement")


class Front:
    """Stands before a gateway that answers requests, and tells nobody anything.

    It does what the operator's edge of a real Aperture does: it asks the control plane before the gateway is
    asked, tells the settlement store of invoices and settlements, by the challenge and by the node's book,
    emits the records of plane `gateway`, answers `/healthz`, and can tell refused credentials by a 401. A
    gateway that does all this itself (`tells`) is left alone.
    """

    def __init__(
        self,
        harness: Harness,
        gateway: App,
        services: Callable[[], Iterable[Service]],
        *,
        node: LightningNode,
        control_plane: ControlPlane,
        settlements: SettlementStore,
        tells: Callable[[], bool],
        book: Callable[[], int],
    ) -> None:
        self._harness = harness
        self._gateway = gateway
        self._services = services
        self._node = node
        self._control_plane = control_plane
        self._settlements = settlements
        self._tells = tells
        self._calls_of_the_seller = book
        self._evidence = GatewayEvidence(harness)
        self.profile = APERTURE

    def handle(self, request: Request) -> Response:
        """Answer with what the gateway answers."""
        if self._tells():
            return self._gateway.handle(request)
        request_id, task_id = (
            self._harness.id_of(request, "edge", "edge request id"),
            request.header(TASK_ID_HEADER),
        )
        lines = [line for line in request.headers if line[0].lower() != REQUEST_ID_HEADER]
        request = replace(request, headers=(*lines, (REQUEST_ID_HEADER, request_id)))
        exchange = Exchange(
            request, request_id, task_id if is_usable_id(task_id) else None, decoded_path(request)
        )
        response = self._answer(request, exchange)
        told = self._evidence.close(exchange, response.status)
        return replace(answers.with_request_id(response, request_id), told=told)

    @contextmanager
    def following(self, profile: GatewayProfile) -> Iterator[None]:
        """Tell refused credentials by the statuses of another profile inside the block."""
        before, self.profile = self.profile, profile
        try:
            yield
        finally:
            self.profile = before

    def _answer(self, request: Request, exchange: Exchange) -> Response:
        if exchange.path == HEALTH_PATH:
            response = self._gateway.handle(request)
            # Few have such a path: that it answers at all is what is asked, unless it says that it is ill.
            told = response.status < 300 or response.status >= 500
            return response if told else answers.answer(request, 200, "ok")
        service = exchange.service = match_service(self._services(), host_as_sent(request), exchange.path)
        if service is None or not service.is_paid(exchange.path) or request.method == "OPTIONS":
            return self._free(request, exchange)
        decision = self._control_plane.gate(
            exchange.request_id, service.owner_id, service.paywall_id, exchange.task_id
        )
        if not decision.allowed:
            exchange.refusal = decision.code
            return answers.answer(request, 403, "access denied")
        carried = carried_by(request)
        if carried is not None and self._is_paid(carried):
            interrupted = self._interrupted(request, exchange, service, carried)
            if interrupted is not None:
                return interrupted
        before = self._calls_of_the_seller()
        response = self._gateway.handle(request)
        asked, offered = self._calls_of_the_seller() > before, offered_by(response)
        if carried is not None and (
            asked or response.status < 300 or self._is_good_in_vain(response, carried)
        ):
            self._delivered(exchange, service, carried, response)
            return response
        if carried is not None:
            reason = self._reason(carried, service)
            exchange.presented = Presented(Standing.REFUSED, reason)
            exchange.refusal = reason
            lapsed = reason is None or reason in LAPSED
            status = self.profile.expired_refusal_status if lapsed else self.profile.refusal_status
            if status == 401 and response.status == 402:
                return self._told_by_401(request, exchange, offered)
        self._refused(exchange, service, response, offered)
        return response

    def _interrupted(
        self, request: Request, exchange: Exchange, service: Service, carried: Carried
    ) -> Response | None:
        """What becomes of a paid request that a fault meets: the gateway is gone, or has lost its secrets."""
        faults, request_id = self._harness.faults, exchange.request_id
        refused = faults.active(CredentialRefused, request_id)
        if refused is not None:
            exchange.refusal = str(Refusal.ROOT_KEY_UNKNOWN)
            exchange.presented = Presented(Standing.REFUSED, exchange.refusal)
            if refused.status == 401:
                return self._told_by_401(request, exchange, None)
            unpaid = (line for line in request.headers if line[0].lower() not in _CREDENTIALS)
            response = self._gateway.handle(replace(request, headers=tuple(unpaid)))
            self._refused(exchange, service, response, offered_by(response))
            return response
        lost = faults.active(AnswerLost, request_id, when=lambda lost: lost.at in _IN_THE_GATEWAY)
        if lost is None:
            return None
        exchange.refusal, exchange.presented = "gateway_gone", Presented(Standing.ACCEPTED)
        if lost.at == "after_settlement":
            self._settle(exchange, service, carried, self._node.amount_of(str(carried.payment_hash)))
        return replace(answers.bad_gateway(), is_lost=True)

    def _free(self, request: Request, exchange: Exchange) -> Response:
        response = self._gateway.handle(request)
        if exchange.service is not None:
            failed = response.status >= 500
            self._evidence.record(exchange, deny_reason="gateway_upstream_failed" if failed else None)
        elif request.method != "OPTIONS":
            exchange.refusal = "no_service"
            self._evidence.record(exchange, deny_reason="gateway_no_service")
        return response

    def _is_good_in_vain(self, response: Response, carried: Carried) -> bool:
        """Whether a credential was accepted although the seller was not there: only its payment tells."""
        return response.status in (502, 503, 504) and self._is_paid(carried)

    def _is_paid(self, carried: Carried) -> bool:
        preimage = carried.preimage
        if preimage is None or str(preimage.payment_hash) != carried.payment_hash:
            return False
        try:
            return self._node.lookup(carried.payment_hash) is InvoiceStatus.SETTLED
        except UnknownInvoice:
            return False

    def _reason(self, carried: Carried, service: Service) -> str | None:
        """Why a credential was refused, as far as anybody can tell who has no key."""
        preimage = carried.preimage
        if preimage is not None and carried.payment_hash != str(preimage.payment_hash):
            return str(Refusal.PREIMAGE_MISMATCH)
        try:
            caveats = () if carried.macaroon is None else carried.macaroon.caveats
            check_caveats(caveats, service.name, self._harness.clock.now_s())
        except CaveatError as error:
            return str(error.reason)
        return None

    def _delivered(self, exchange: Exchange, service: Service, carried: Carried, response: Response) -> None:
        exchange.presented = Presented(Standing.ACCEPTED)
        known: Known = {"deny_reason": "gateway_upstream_failed" if response.status >= 500 else None}
        if carried.preimage is not None and carried.payment_hash is not None and self._is_paid(carried):
            amount_msats = self._node.amount_of(carried.payment_hash)
            known |= {
                "quoted_cost_msats": amount_msats,
                "paid_amount_msats": amount_msats,
                "payment_proof_ref": hosted_proof_reference(carried.preimage.hex()),
                "cache_hit": self._settle(exchange, service, carried, amount_msats),
            }
        self._evidence.record(exchange, **known)

    def _settle(
        self, exchange: Exchange, service: Service, carried: Carried, amount_msats: int
    ) -> bool | None:
        assert carried.preimage is not None
        assert carried.payment_hash is not None
        event = SettlementEvent(
            settlement_id=settlement_id_of(carried.payment_hash),
            payment_hash=carried.payment_hash,
            preimage=carried.preimage,
            amount_msats=amount_msats,
            paywall_id=service.paywall_id,
            owner_id=service.owner_id,
            request_id=exchange.request_id,
            task_id=exchange.task_id,
            route_id=service.route_id,
        )
        try:
            return self._settlements.ingest(event).existed
        except SettlementRefused as refused:
            self._harness.journal.log("gateway", exchange.request_id, f"settlement refused: {refused.code}")
            return None

    def _told_by_401(self, request: Request, exchange: Exchange, offered: Offered | None) -> Response:
        if offered is not None and offered.payment_hash is not None:
            # Nobody is asked to pay it: the operator takes it back.
            self._node.cancel(offered.payment_hash)
        self._evidence.record(exchange, deny_reason="gateway_credential_refused")
        return answers.unauthorized(request, challenge=True)

    def _refused(
        self, exchange: Exchange, service: Service, response: Response, offered: Offered | None
    ) -> None:
        if offered is None:
            failed = "gateway_challenge_failed" if response.status >= 500 else None
            exchange.refusal = exchange.refusal or ("challenge_failed" if failed else None)
            self._evidence.record(exchange, deny_reason=failed or _CODES.get(response.status))
            return
        if offered.payment_hash is not None and offered.amount_msats is not None:
            self._settlements.invoice_opened(
                offered.payment_hash,
                f"inv_{offered.payment_hash[:16]}",
                offered.amount_msats,
                service.paywall_id,
                service.owner_id,
                exchange.request_id,
            )
        self._evidence.record(exchange, quoted_cost_msats=offered.amount_msats)
