"""Decides how often a client may ask: what it gets for free, and when it has to wait."""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter

from pytest_l402.stack.gateway.services import RateLimit, Service


def client_network(address: str) -> str:
    """Return the network by which clients are counted: their /24, with IPv6 /48; other text as it is."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


class Freebies:
    """How many requests each network of clients had for free, per service; kept in memory."""

    def __init__(self) -> None:
        self._used: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def take(self, service: Service, network: str) -> bool:
        """Count one request of the network and return True while the service's allowance lasts."""
        key = (service.name, network)
        with self._lock:
            if self._used[key] >= service.freebies:
                return False
            self._used[key] += 1
            return True


class RateLimiter:
    """A token bucket per rule and client, in whole numbers, so that the same times give the same answers."""

    def __init__(self) -> None:
        # Level in units of 1/(1000 * per_s) of a request, and the time of that level in epoch milliseconds.
        self._buckets: dict[tuple[str, int, str], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def wait_s(self, service: Service, client: str, path: str, now_ms: int) -> int:
        """Return 0 and count the request, or the whole seconds (at least 1) after which it may come again.

        With several rules, a request that one of them refuses is counted by those that would let it pass.
        """
        with self._lock:
            return self._counted(service, client, path, now_ms)

    def _counted(self, service: Service, client: str, path: str, now_ms: int) -> int:
        levels: dict[tuple[str, int, str], tuple[int, int]] = {}
        longest_ms = 0
        for index, rule in enumerate(service.ratelimits):
            if not rule.matches(path):
                continue
            key = (service.name, index, client)
            cost = rule.per_s * 1000
            level = self._level(key, rule, now_ms)
            if level < cost:
                # With no burst at all there is no time after which it would be let in.
                wait_ms = -((level - cost) // rule.requests) if rule.effective_burst > 0 else 1_000
                longest_ms = max(longest_ms, wait_ms)
            else:
                levels[key] = (level - cost, now_ms)
        self._buckets.update(levels)
        return max(1, -(-longest_ms // 1000)) if longest_ms else 0

    def _level(self, key: tuple[str, int, str], rule: RateLimit, now_ms: int) -> int:
        full = rule.effective_burst * rule.per_s * 1000
        level, at_ms = self._buckets.get(key, (full, now_ms))
        return min(full, level + (now_ms - at_ms) * rule.requests)
