"""Decides what the stack sells by default, and under which names its hosts are reached."""

from __future__ import annotations

from pytest_l402.stack.gateway.services import Service

GATEWAY_HOST = "gateway.l402.test"
CONTROL_HOST = "control.l402.test"
SELLER_HOST = "seller.l402.test"
STATUS_PATH = "/status"


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
