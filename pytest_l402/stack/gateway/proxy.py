"""The gateway without what an operator puts around it: no control plane, no health, no request ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.contract.settlement_event import Ingested, SettlementEvent
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import App, Request, Response
from pytest_l402.ops.security.controls import GateDecision
from pytest_l402.stack.gateway.evidence import Exchange
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.gateway.lightning_node import Invoices
from pytest_l402.stack.gateway.mint import RootKeys
from pytest_l402.stack.gateway.profile import GatewayProfile
from pytest_l402.stack.gateway.services import Service


class ProxyGateway(Gateway):
    """What Aperture alone is: it asks nobody whether to sell, and tells nobody what was paid."""

    health_path = None
    names_requests = False

    def __init__(
        self,
        harness: Harness,
        services: Iterable[Service],
        *,
        node: Invoices,
        seller_api: App,
        profile: GatewayProfile,
        blocklist: Iterable[str],
        root_keys: RootKeys,
    ) -> None:
        super().__init__(
            harness,
            services,
            node=node,
            seller_api=seller_api,
            control_plane=_SellsToAll(),  # type: ignore[arg-type]
            settlements=_TellsNobody(),
            profile=profile,
            blocklist=blocklist,
            root_keys=root_keys,
        )
        # It leaves nothing that needs an order, and a service that is slow holds nobody else up.
        self._serial = nullcontext()

    def _deliver(self, request: Request, exchange: Exchange, service: Service) -> Response:
        return self._forward(request, exchange, service)


class _SellsToAll:
    """The part of a control plane that a gateway asks."""

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        return GateDecision(True, None, None)


class _TellsNobody:
    """The part of a settlement store that a gateway tells."""

    def invoice_opened(self, *_: object) -> None:
        """Keep nothing."""

    def ingest(self, event: SettlementEvent) -> Ingested:
        return Ingested(existed=False, proof_reference=hosted_proof_reference(event.preimage.hex()))

    def rows(self, table: str) -> tuple[Mapping[str, Any], ...]:
        return ()
