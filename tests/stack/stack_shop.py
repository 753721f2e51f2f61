"""A small shop to test the HTTP half with: real node, wallet and gateway, plain control plane and store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.contract.settlement_event import Ingested, SettlementEvent
from pytest_l402.harness.clock import StackClock
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import App, Request, Response
from pytest_l402.ops.security.controls import GateDecision
from pytest_l402.protocol import Preimage, format_credential, parse_challenges, preferred
from pytest_l402.stack.buyer.wallet import Payment, Wallet
from pytest_l402.stack.faults import GatewayDown
from pytest_l402.stack.gateway.edge import Edge
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.gateway.lightning_node import LightningNode
from pytest_l402.stack.gateway.profile import APERTURE, GatewayProfile
from pytest_l402.stack.gateway.seller_api import SellerApi
from pytest_l402.stack.gateway.services import Service

HOST = "gateway.l402.test"
NOW_MS = 1_735_000_000_000


@dataclass
class Gate:
    """Allows everything until `denial` is set, and remembers what it was asked."""

    denial: str | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    def gate(self, request_id, owner_id, paywall_id, task_id=None) -> GateDecision:
        self.asked.append((request_id, owner_id, paywall_id, task_id))
        return GateDecision(self.denial is None, self.denial, self.denial)


@dataclass
class Ledger:
    """Keeps invoices and settlement events in lists; raises `refusal` instead when it is set."""

    opened: list[tuple[object, ...]] = field(default_factory=list)
    events: list[SettlementEvent] = field(default_factory=list)
    refusal: Exception | None = None

    def invoice_opened(
        self, payment_hash, invoice_id, amount_msats, paywall_id, owner_id, request_id
    ) -> None:
        self.opened.append((payment_hash, invoice_id, amount_msats, paywall_id, owner_id, request_id))

    def ingest(self, event: SettlementEvent) -> Ingested:
        if self.refusal is not None:
            raise self.refusal
        existed = any(known.settlement_id == event.settlement_id for known in self.events)
        self.events.append(event)
        return Ingested(existed, hosted_proof_reference(event.preimage.hex()))


class Shop:
    def __init__(
        self,
        *services: Service,
        seller_api: App | None = None,
        profile: GatewayProfile = APERTURE,
        blocklist: Iterable[str] = (),
        start_ms: int = NOW_MS,
        seed: int = 7,
    ) -> None:
        harness = self.harness = Harness(seed, clock=StackClock(start_ms))
        self.clock, self.journal, self.faults = harness.clock, harness.journal, harness.faults
        self.node = LightningNode(harness.derive("node"))
        self.wallet = Wallet(harness, self.node)
        self.gate = Gate()
        self.ledger = Ledger()
        self.seller_api = seller_api if seller_api is not None else SellerApi(harness)
        self.gateway = Gateway(
            harness.derive("gateway"),
            services or (Service("premium", price_msats=21_000, pathregexp="^/premium"),),
            node=self.node,
            seller_api=self.seller_api,
            control_plane=self.gate,
            settlements=self.ledger,
            profile=profile,
            blocklist=blocklist,
        )
        book = self.seller_api if isinstance(self.seller_api, SellerApi) else None
        self.edge = Edge(harness, self.gateway, book)
        self.network = harness.network
        self.network.mount(HOST, self.edge, down_when=GatewayDown)

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET", **fields: object) -> Response:
        return self.edge.handle(Request(method, HOST, path, headers=headers, **fields))

    def pay(self, response: Response) -> tuple[str, Payment]:
        """Pay a challenge; return the Authorization value and the payment."""
        challenge = preferred(parse_challenges(response.headers_of("WWW-Authenticate")))
        payment = self.wallet.pay_invoice(challenge.invoice, host=HOST)
        return format_credential(challenge.macaroon_base64, payment.preimage), payment

    def buy(self, path: str, *headers: tuple[str, str]) -> tuple[Response, str, Payment]:
        """Ask, pay, ask again; return the answer, the Authorization value and the payment."""
        authorization, payment = self.pay(self.ask(path, *headers))
        return self.ask(path, *headers, ("Authorization", authorization)), authorization, payment

    def records(self) -> tuple[dict, ...]:
        return self.journal.rows("records")

    def exchanges(self) -> tuple[dict, ...]:
        return self.journal.rows("exchanges")


def macaroon_text(response: Response) -> str:
    return preferred(parse_challenges(response.headers_of("WWW-Authenticate"))).macaroon_base64


OTHER_PREIMAGE = Preimage(b"\x07" * 32)
