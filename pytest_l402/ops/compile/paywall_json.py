"""Decides how a control plane writes its paywalls down: plain JSON, or protobuf's JSON."""

from __future__ import annotations

import re
from typing import Any

from pytest_l402.ops.compile.paywall import PaywallDefinition, Policy, Route

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
    return _without_none(
        {
            "paywallId": paywall.paywall_id,
            "ownerId": paywall.owner_id,
            "name": paywall.name,
            "description": paywall.description,
            "status": paywall.status.value,
            "requestId": paywall.request_id,
            "metadata": dict(paywall.metadata) or None,
            "policy": _policy(paywall.policy, paywall),
            "routes": [_route(route, paywall) for route in paywall.routes],
            "createdAtMs": paywall.created_at_ms,
            "updatedAtMs": paywall.updated_at_ms,
        }
    )


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


def _policy(policy: Policy, paywall: PaywallDefinition) -> dict[str, Any]:
    return _without_none(
        {
            "paywallId": paywall.paywall_id,
            "ownerId": paywall.owner_id,
            "pricingMode": policy.pricing_mode,
            "fixedAmountMsats": policy.fixed_amount_msats,
            "maxPerRequestMsats": policy.max_per_request_msats,
            "allowedHosts": None if policy.allowed_hosts is None else list(policy.allowed_hosts),
            "blockedHosts": None if policy.blocked_hosts is None else list(policy.blocked_hosts),
            "quotaPerMinute": policy.quota_per_minute,
            "quotaPerDay": policy.quota_per_day,
            "killSwitch": policy.kill_switch,
            "createdAtMs": policy.created_at_ms,
            "updatedAtMs": policy.updated_at_ms,
        }
    )


def _route(route: Route, paywall: PaywallDefinition) -> dict[str, Any]:
    return {
        "routeId": route.route_id,
        "paywallId": paywall.paywall_id,
        "ownerId": paywall.owner_id,
        "hostPattern": route.host_pattern,
        "pathPattern": route.path_pattern,
        "upstreamUrl": route.upstream_url,
        "protocol": route.protocol,
        "timeoutMs": route.timeout_ms,
        "priority": route.priority,
        "createdAtMs": route.created_at_ms,
        "updatedAtMs": route.updated_at_ms,
    }


def _without_none(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}
