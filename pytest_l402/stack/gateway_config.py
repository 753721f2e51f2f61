"""Decides the text that a gateway is configured with, and the hash by which a deployment is known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewayRule:
    """One priced route of the configuration; the price in msats, the timeout in milliseconds."""

    paywall_id: str
    route_id: str
    host: str
    path: str
    upstream_url: str
    protocol: str
    timeout_ms: int
    amount_msats: int
    priority: int


def gateway_yaml(rules: Iterable[GatewayRule]) -> str:
    """Return the configuration: rules by priority, then host and path; nothing is quoted or escaped."""
    lines = ["version: 1", "routes:"]
    for rule in sorted(rules, key=lambda rule: (rule.priority, rule.host, rule.path, rule.paywall_id)):
        lines += [
            f"  - id: {rule.paywall_id}:{rule.route_id}",
            "    match:",
            f"      host: {rule.host}",
            f"      path: {rule.path}",
            "    upstream:",
            f"      url: {rule.upstream_url}",
            f"      protocol: {rule.protocol}",
            f"      timeout_ms: {rule.timeout_ms}",
            "    auth:",
            "      type: l402",
            f"      paywall_id: {rule.paywall_id}",
            "    pricing:",
            "      mode: fixed_msats",
            f"      amount_msats: {rule.amount_msats}",
        ]
    return "\n".join(lines) + "\n"


def config_hash(yaml_text: str) -> str:
    """Return `cfg_` and the SHA-256 of the configuration text in lower-case hex."""
    return "cfg_" + hashlib.sha256(yaml_text.encode()).hexdigest()


def deployment_id(request_id: str) -> str:
    """Return the id of the deployment of a reconcile request, with at most 90 characters of the latter."""
    return "dep_reconcile_" + (re.sub(r"[^A-Za-z0-9_-]", "_", request_id)[:90] or "run")
