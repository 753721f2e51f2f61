"""Decides what the stack sells by default, and under which names its hosts are reached."""

from __future__ import annotations

import re

from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.gateway.services import Service

GATEWAY_HOST = "gateway.l402.test"
CONTROL_HOST = "control.l402.test"
SELLER_HOST = "seller.l402.test"
STATUS_PATH = "/status"

_LITERAL_PATH = re.compile(r"\^(/[\w/-]*)\$")


def _paid(name: str, price_msats: int, timeout_s: int = 0) -> Service:
    suffix = name.replace("-", "_")
    return Service(
        name,
        price_msats=price_msats,
        pathregexp=f"^/{name}$",
        timeout_s=timeout_s,
        address=SELLER_HOST,
        paywall_id=f"pw_{suffix}",
        owner_id=f"owner_{suffix}",
        route_id=f"route_{suffix}",
    )


DEFAULT_SERVICES = (
    _paid("premium", 21_000),
    _paid("premium-expensive", 250_000),
    _paid("premium-expiring", 21_000, timeout_s=60),
    # Free on purpose: whether the seller's API is reachable can be asked without moving money.
    Service("status", pathregexp=f"^{STATUS_PATH}$", auth="off", address=SELLER_HOST),
)


def path_of(service: Service) -> str | None:
    """Return the one path that a service answers for, or None when it answers for a pattern of paths."""
    match = _LITERAL_PATH.fullmatch(service.pathregexp)
    return None if match is None else match.group(1)


def paywall_of(service: Service) -> Paywall | None:
    """Return the paywall of a service that sells one path; None if it is free or sells a pattern of paths."""
    path = path_of(service)
    if service.auth == "off" or path is None:
        return None
    return Paywall(
        paywall_id=service.paywall_id,
        owner_id=service.owner_id,
        route_id=service.route_id,
        name=service.name,
        path=path,
        price_msats=service.price_msats,
    )
