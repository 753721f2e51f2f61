"""Decides what a paywall of the control plane is, and whether it may be sold at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


class PaywallStatus(StrEnum):
    """The state that the owner gave a paywall; only an active one is sold."""

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a paywall charges, and its limits; amounts in msats.

    `pricing_mode` and the amount are kept as they came, so that the compiler can say what is wrong with
    them. None means that the owner set no such limit; an empty `allowed_hosts` allows every host.
    """

    fixed_amount_msats: int | float
    pricing_mode: str = "fixed"
    max_per_request_msats: int | None = None
    allowed_hosts: tuple[str, ...] | None = None
    blocked_hosts: tuple[str, ...] | None = None
    quota_per_minute: int | None = None
    quota_per_day: int | None = None
    kill_switch: bool = False
    created_at_ms: int = 0
    updated_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """Which requests a paywall takes, and where they go once paid; `timeout_ms` bounds the answer.

    A lower `priority` is tried first. Patterns and URL are kept as they came.
    """

    route_id: str
    host_pattern: str
    path_pattern: str
    upstream_url: str
    protocol: str
    timeout_ms: int = 15_000
    priority: int = 10
    created_at_ms: int = 0
    updated_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class PaywallDefinition:
    """One paywall as the control plane holds it. Source: lightning-ops, `listPaywallControlPlaneState`."""

    paywall_id: str
    owner_id: str
    name: str
    policy: Policy
    routes: tuple[Route, ...]
    status: PaywallStatus = PaywallStatus.ACTIVE
    description: str | None = None
    request_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    created_at_ms: int = 0
    updated_at_ms: int = 0

    @property
    def for_sale(self) -> bool:
        """Whether requests may be sold: active, and not stopped by its kill switch."""
        return self.status is PaywallStatus.ACTIVE and not self.policy.kill_switch


def rule_id(paywall_id: str, route_id: str) -> str:
    """Return the id by which messages name the rule of one route."""
    return f"{paywall_id}:{route_id}"
