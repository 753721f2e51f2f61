"""What the gateway says of every request it answers: a log line, a record, a word on the credential."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Unpack

from pytest_l402.contract import Plane, Speaker
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import Request
from pytest_l402.harness.observation import Known, observe
from pytest_l402.stack.gateway.mint import Presented, Standing
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.gateway.wire import shown


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway says of the credential of a request, beside its answer: its standing, and why."""

    standing: Standing
    refusal: str | None = None


@dataclass(slots=True)
class Exchange:
    """What is known so far of one request; filled in on its way through the gateway."""

    request: Request
    request_id: str
    task_id: str | None
    path: str
    service: Service | None = None
    presented: Presented = field(default_factory=lambda: Presented(Standing.ABSENT))
    refusal: str | None = None


class GatewayEvidence:
    """Writes the gateway's rows; references and digests only."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def record(self, exchange: Exchange, **known: Unpack[Known]) -> None:
        """Emit the record of plane `gateway`; a challenge alone is no failure: no deny reason."""
        service = exchange.service
        known |= {
            "request_id": exchange.request_id,
            "user_id": None if service is None else service.owner_id,
            "paywall_id": None if service is None else service.paywall_id,
            "task_id": exchange.task_id,
            "endpoint": shown(exchange.request.path),
        }
        observe(self._harness, Plane.GATEWAY, Speaker.GATEWAY, **known)

    def close(self, exchange: Exchange, status: int) -> Told:
        """Write the log line once the answer's status is known, and return what is told beside the answer."""
        request, presented = exchange.request, exchange.presented
        outcome = f" refusal={exchange.refusal}" if exchange.refusal else ""
        line = f"{shown(request.method)} {shown(request.path)} status={status}{outcome}"
        self._harness.journal.log("gateway", exchange.request_id, line)
        return Told(presented.standing, exchange.refusal)
