"""Decides what the settlement smoke sends: a payment, its replay, a late event, an expired invoice."""

from __future__ import annotations

from typing import Any

from pytest_l402.protocol import Preimage

START_MS = 1_735_000_000_000
_PREIMAGE = Preimage(b"\xaa" * 32)


def smoke_events() -> tuple[dict[str, Any], ...]:
    """Return the five events; unlike those of the original tool, hash and preimage belong together.

    Source: runbook lightning-ops, smoke:settlement. The preimage is made up and proves no real payment.
    """
    weather = {"paywallId": "pw_weather", "ownerId": "owner_weather", "amountMsats": 2_500}
    opened = {"kind": "invoice_lifecycle", "invoiceId": "inv_smoke_1", **weather, "status": "open"}
    payment_hash = _PREIMAGE.payment_hash.hex()
    settled = {
        "kind": "settlement",
        "settlementId": "set_smoke_1",
        **weather,
        "invoiceId": "inv_smoke_1",
        "paymentHash": payment_hash,
        "paymentProofType": "lightning_preimage",
        "paymentProofValue": _PREIMAGE.hex(),
        "requestId": "req_smoke_1",
        "taskId": "task_smoke_1",
        "routeId": "route_weather",
    }
    return (
        {**opened, "occurredAtMs": START_MS, "paymentHash": payment_hash, "requestId": "req_smoke_1"},
        {**settled, "occurredAtMs": START_MS + 100},
        {**settled, "occurredAtMs": START_MS + 101},
        {**opened, "occurredAtMs": START_MS + 200, "requestId": "req_smoke_reordered_open"},
        {
            "kind": "invoice_lifecycle",
            "occurredAtMs": START_MS + 300,
            "invoiceId": "inv_smoke_2",
            "paywallId": "pw_news",
            "ownerId": "owner_news",
            "amountMsats": 1_800,
            "status": "expired",
            "requestId": "req_smoke_2",
        },
    )
