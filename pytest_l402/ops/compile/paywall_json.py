"""Decides how a control plane writes its paywalls down: plain JSON, or protobuf's JSON."""

from __future__ import annotations

import re
from typing import Any

from pytest_l402.contract.camel_document import camel_row
from pytest_l402.ops.compile.paywall import PaywallDefinition

_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")
_ENUMS = {
    ("status", "active"): "PAYWALL_STATUS_ACTIVE",
    ("status", "paused"): "PAYWALL_STATUS_PAUSED",
    ("status", "archived"): "PAYWALL_STATUS_ARCHIVED",
    ("pricingMode", "fixed"): "PRICING_MODE_FIXED",
    ("protocol", "http"): "ROUTE_PROTOCOL_HTTP",
    ("protocol", "https"): "ROUTE_PROTOCOL_HTTPS",
}
_LEFT_ALONE = frozenset({"metadata", "details", "diagnostics"})


def paywall_json(paywall: PaywallDefinition) -> dict[str, Any]:
    """Return a paywall as `decode_paywalls` reads it; what is not set is absent, never null."""
    ids = {"paywallId": paywall.paywall_id, "ownerId": paywall.owner_id}
    row = camel_row(paywall, unknown=False)
    row["policy"] = ids | row["policy"]
    row["routes"] = [ids | route for route in row["routes"]]
    row["metadata"] = dict(paywall.metadata)
    return {key: value for key, value in row.items() if value or key != "metadata"}


def protobuf_json(value: Any, key: str = "") -> Any:
    """Return a document as protobuf's JSON has it: snake_case keys, integers as text, long names of enums.

    Free-form objects, such as metadata, stay as they are.
    """
    if isinstance(value, dict):
        return {
            _HUMP.sub(lambda hump: "_" + hump[0].lower(), name): item
            if name in _LEFT_ALONE
            else protobuf_json(item, name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [protobuf_json(item, key) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _ENUMS.get((key, value), value) if isinstance(value, str) else value
