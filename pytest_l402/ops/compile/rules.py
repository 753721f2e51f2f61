"""Decides what one compiled rule is: a service of the gateway, its name, its place in the order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_l402.ops.compile.host_patterns import HostPattern
from pytest_l402.ops.compile.path_patterns import PathPattern
from pytest_l402.ops.compile.paywall import rule_id

_KEPT = re.compile(r"[^A-Za-z0-9_-]")


def service_name(paywall_id: str, route_id: str) -> str:
    """Return the name under which Aperture sells a route: unique to its ids, stable, safe in caveats.

    It becomes part of the caveats `services=<name>:0` and `<name>_valid_until=…`, so it holds letters,
    digits, `_`, `-`, the one `.` between the ids, and `~` with two hex digits for each other byte. Source:
    Aperture l402/service.
    """
    return f"{_safe(paywall_id)}.{_safe(route_id)}"


def _safe(identifier: str) -> str:
    return _KEPT.sub(
        lambda found: "".join(f"~{byte:02x}" for byte in found[0].encode("utf-8", "surrogatepass")),
        identifier,
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """What has a place in the file: the requests that a route takes."""

    paywall_id: str
    owner_id: str
    route_id: str
    priority: int
    host: HostPattern
    path: PathPattern

    @property
    def id(self) -> str:
        """`paywallId:routeId`, as messages and events name the rule."""
        return rule_id(self.paywall_id, self.route_id)

    @property
    def sort_key(self) -> tuple[int, int, int, str, str, str, str]:
        """The place in the file: priority, the more specific host and path, then code points."""
        return (
            self.priority,
            -self.host.specificity,
            -self.path.specificity,
            self.host.text,
            self.path.text,
            self.paywall_id,
            self.route_id,
        )

    def matches(self, host: str, path: str) -> bool:
        """Return whether a request with this Host header and decoded path is one of these."""
        return self.host.matches(host) and self.path.matches(path)


@dataclass(frozen=True, slots=True)
class Rule(Placed):
    """A route as the gateway sells it.

    `price_sats` is what a token costs, `token_validity_s` how long it then opens the route.
    `seller_timeout_ms` is how long the seller may take: Aperture has no such setting for a service, so
    it is not in the file, and whoever probes the route has to hold it. `rewrite_prefix` is put before the
    request's path on the way to the seller.
    """

    protocol: str
    address: str
    rewrite_prefix: str | None
    price_sats: int
    token_validity_s: int
    seller_timeout_ms: int

    @property
    def service_name(self) -> str:
        """The name under which Aperture sells the route."""
        return service_name(self.paywall_id, self.route_id)


@dataclass(frozen=True, slots=True)
class ClosedRoute(Placed):
    """A route that is not for sale: answered 401 without an invoice, where another rule would sell it."""

    @property
    def service_name(self) -> str:
        """A name that was never sold, so that no token from before the pause opens the route."""
        return "closed." + service_name(self.paywall_id, self.route_id)
