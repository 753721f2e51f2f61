"""Decides the identity of a control-plane state before it is compiled: one hash over it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from pytest_l402.ops.compile.paywall import PaywallDefinition, Route


def config_hash(data: bytes) -> str:
    """Return `cfg_` and the SHA-256 of `data` in hex: how configurations and pulled paywalls are named."""
    return "cfg_" + hashlib.sha256(data).hexdigest()


def paywalls_hash(paywalls: Sequence[PaywallDefinition]) -> str:
    """Return the hash of a pulled state; unlike a configuration's, it depends on the order of the paywalls.

    Source: lightning-ops compiler, whose hashes this reproduces.
    """
    text = json.dumps(
        [_paywall(item) for item in paywalls], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    # JSON in JavaScript writes half of a surrogate pair as an escape, which is what this handler does.
    return config_hash(text.encode("utf-8", "backslashreplace"))


def normal_host(pattern: str) -> str:
    """Return a host pattern without blanks around it and in lower case, as reports show it."""
    return pattern.strip().lower()


def normal_path(pattern: str) -> str:
    """Return a path pattern without blanks around it and with the leading slash, as reports show it."""
    path = pattern.strip()
    return path if path.startswith("/") else "/" + path


def _paywall(paywall: PaywallDefinition) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "pricingMode": paywall.policy.pricing_mode,
        "fixedAmountMsats": _number(paywall.policy.fixed_amount_msats),
        "killSwitch": paywall.policy.kill_switch,
    }
    if paywall.policy.max_per_request_msats is not None:
        policy["maxPerRequestMsats"] = paywall.policy.max_per_request_msats
    return {
        "paywallId": paywall.paywall_id,
        "ownerId": paywall.owner_id,
        "status": str(paywall.status),
        "policy": policy,
        "routes": [_route(route) for route in paywall.routes],
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "routeId": route.route_id,
        "hostPattern": normal_host(route.host_pattern),
        "pathPattern": normal_path(route.path_pattern),
        "upstreamUrl": route.upstream_url,
        "protocol": route.protocol,
        "timeoutMs": _number(route.timeout_ms),
        "priority": _number(route.priority),
    }


def _number(value: int | float) -> int | float | None:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else value
    return value
