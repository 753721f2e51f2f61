"""What the gateway leaves of every request it answers: an exchange, a log line, a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Unpack
from urllib.parse import quote

from pytest_l402.contract import Plane, Speaker
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import Request
from pytest_l402.harness.observation import Known, observe
from pytest_l402.stack.gateway.lightning_node import NodeInvoice
from pytest_l402.stack.gateway.mint import Presented, Standing
from pytest_l402.stack.gateway.services import Service

_SHOWN = "/:@!$&'()*+,;=-._~%"


@dataclass(slots=True)
class Exchange:
    """What is known so far of one request; filled in on its way through the gateway."""

    request: Request
    request_id: str
    task_id: str | None
    path: str
    service: Service | None = None
    presented: Presented = field(default_factory=lambda: Presented(Standing.ABSENT))
    challenged: NodeInvoice | None = None
    refusal: str | None = None
    upstream_status: int | None = None


class GatewayEvidence:
    """Writes the gateway's rows; references and digests only."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def record(self, exchange: Exchange, **known: Unpack[Known]) -> None:
        """Emit the record of plane `gateway`; a challenge is no failure: no deny reason."""
        service = exchange.service
        known |= {
            "request_id": exchange.request_id,
            "user_id": None if service is None else service.owner_id,
            "paywall_id": None if service is None else service.paywall_id,
            "task_id": exchange.task_id,
            "endpoint": _shown(exchange.request.path),
        }
        observe(self._harness, Plane.GATEWAY, Speaker.GATEWAY, **known)

    def close(self, exchange: Exchange, status: int) -> None:
        """Append the row in `exchanges` and the log line once the answer's status is known."""
        request, presented, invoice = exchange.request, exchange.presented, exchange.challenged
        method, path = _shown(request.method), _shown(request.path)
        payment_hash = presented.payment_hash if invoice is None else invoice.payment_hash
        self._harness.note(
            "exchanges",
            {
                "requestId": exchange.request_id,
                "method": method,
                "host": _shown(request.host),
                "path": path,
                "status": status,
                "challenge": None if invoice is None else "issued",
                "quotedMsats": None if invoice is None else invoice.amount_msats,
                "paymentHash": None if payment_hash is None else payment_hash.hex(),
                "credential": str(presented.standing),
                "refusal": exchange.refusal,
                "credentialDigest": presented.digest,
                "upstreamStatus": exchange.upstream_status,
            },
        )
        outcome = f" refusal={exchange.refusal}" if exchange.refusal else ""
        self._harness.journal.log("gateway", exchange.request_id, f"{method} {path} status={status}{outcome}")


def _shown(text: str) -> str:
    """Return text of a request as it may stand in a row or log line: printable ASCII without blanks."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return quote(text, safe=_SHOWN, errors="surrogatepass")
