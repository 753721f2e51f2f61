"""Decides which paywall a resource belongs to, and which hosts may be bought from."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

HOST_BLOCKED = "host_blocked"
HOST_NOT_ALLOWLISTED = "host_not_allowlisted"
_FINAL_DOT = re.compile(r"\.(?=(?::[0-9]*)?\Z)")


@dataclass(frozen=True, slots=True)
class Paywall:
    """One priced route of one owner; `path` is exact, or ends in `/*` for everything below it."""

    paywall_id: str
    owner_id: str
    route_id: str
    name: str
    path: str
    price_msats: int
    allowed_hosts: frozenset[str] = frozenset()
    blocked_hosts: frozenset[str] = frozenset()
    timeout_ms: int = 8_000
    priority: int = 10

    def __post_init__(self) -> None:
        if self.price_msats <= 0:
            raise ValueError(f"paywall {self.paywall_id}: expected a price > 0 msats, saw {self.price_msats}")
        if not self.path.startswith("/"):
            raise ValueError(f"paywall {self.paywall_id}: expected a path from /, saw {self.path!r}")

    def covers(self, endpoint: str) -> bool:
        """Return whether a path or URL is behind this paywall."""
        path = unquote(urlsplit(endpoint).path) or "/"
        if self.path.endswith("/*"):
            return path.startswith(self.path[:-1])
        return path == self.path


def host_denial(host: str, blocked: Collection[str], allowed: Collection[str]) -> str | None:
    """Return why a host may not be bought from: `host_blocked` first, then `host_not_allowlisted`, else None.

    Hosts compare in lower case, without blanks around them, without the dot of a full name and with their
    port; an empty allowlist allows every host.
    """
    name = _compared(host)
    if name in map(_compared, blocked):
        return HOST_BLOCKED
    if allowed and name not in map(_compared, allowed):
        return HOST_NOT_ALLOWLISTED
    return None


def _compared(host: str) -> str:
    # `shop.test.` is looked up as `shop.test`: it must not be a way round the list.
    return _FINAL_DOT.sub("", host.strip().lower())
