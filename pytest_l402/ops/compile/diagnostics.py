"""Decides what the compiler may say about a paywall: codes, how severe each is, the form on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pytest_l402.contract.camel_document import camel_row
from pytest_l402.ops.compile.paywall import NOTHING, PaywallDefinition, Route


class Severity(StrEnum):
    """`error` makes a compilation invalid: nothing is emitted. `warn` does not."""

    ERROR = "error"
    WARN = "warn"


class DiagnosticCode(StrEnum):
    """What is wrong, as a stable code; the first nine are those of the original command-line tool."""

    INVALID_PRICING_MODE = "invalid_pricing_mode"
    """The paywall is priced in another way than a fixed price per request."""
    MISSING_PRICING = "missing_pricing"
    """The paywall has no price above zero."""
    INVALID_ROUTE_PATTERN = "invalid_route_pattern"
    """The host or path of a route is no pattern that can be compiled."""
    MISSING_ROUTE_PROTOCOL = "missing_route_protocol"
    """A route does not say whether its seller is reached by http or https."""
    INVALID_UPSTREAM_URL = "invalid_upstream_url"
    """The address of a route's seller is no URL that requests can be sent to."""
    NO_COMPILABLE_ROUTES = "no_compilable_routes"
    """No route of the paywall can be sold."""
    DUPLICATE_ROUTE = "duplicate_route"
    """Two routes match the same requests."""
    AMBIGUOUS_ROUTE = "ambiguous_route"
    """Two routes match some of the same requests, and neither is the narrower one."""
    FIRST_MATCH_SHADOWED = "first_match_shadowed"
    """An earlier rule matches all that this one would."""

    DUPLICATE_RULE_ID = "duplicate_rule_id"
    """Two routes carry the same paywall id and route id, so that their services would share one name."""
    FRACTIONAL_SATS = "fractional_sats"
    """Aperture prices in whole sats; any rounding would charge something else than the paywall says."""
    PRICE_TOO_HIGH = "price_too_high"
    """Aperture refuses to start with a price above 100 000 BTC."""
    PRICE_OVER_CAP = "price_over_cap"
    """The price is above the paywall's own maxPerRequestMsats."""
    INVALID_TOKEN_VALIDITY = "invalid_token_validity"  # noqa: S105 - a code, no secret
    """metadata.tokenValiditySeconds is no whole number of seconds that Aperture can add to a time."""
    PATTERN_NOT_RE2 = "pattern_not_re2"
    """A regexp that Go's engine refuses, such as a lookahead: Aperture would not start."""
    UNMATCHABLE_PATTERN = "unmatchable_pattern"
    """A host or path that no request can have by the time Aperture matches it."""
    UPSTREAM_NOT_EXPRESSIBLE = "upstream_not_expressible"
    """Aperture forwards the request's own path, at most after a prefix; the seller asks for more."""
    HOST_NOT_ALLOWED = "host_not_allowed"
    """The route matches hosts that the paywall's allowedHosts or blockedHosts exclude."""

    SUSPICIOUS_PATTERN = "suspicious_pattern"
    """A pattern that compiles but hardly says what its author meant, such as a wildcard inside a regexp."""
    QUOTA_NOT_ENFORCED = "quota_not_enforced"
    """Aperture limits single tokens, never a paywall as a whole: quotas stay with the control plane."""
    NOT_FOR_SALE = "not_for_sale"
    """A paused, archived or killed paywall was left out."""
    ROUTE_CLOSED = "route_closed"
    """A route that is not for sale would fall through to another rule and is held closed instead."""
    ROUTE_SOLD_ELSEWHERE = "route_sold_elsewhere"
    """Requests of a route that is not for sale are sold by another paywall's rule that comes first."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding of the compiler; ids are those of the paywall and route that have to change."""

    code: DiagnosticCode
    message: str
    severity: Severity = Severity.ERROR
    paywall_id: str | None = None
    route_id: str | None = None
    related_route_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @classmethod
    def about(
        cls,
        paywall: PaywallDefinition,
        route: Route | None,
        code: DiagnosticCode,
        message: str,
        severity: Severity = Severity.ERROR,
        /,
        **details: object,
    ) -> Diagnostic:
        """Return a finding about a paywall, or about a route of it."""
        route_id = None if route is None else route.route_id
        return cls(code, message, severity, paywall.paywall_id, route_id, details=details)

    def to_json(self) -> dict[str, Any]:
        """Return the finding with camelCase keys; ids and details that it does not have are left out."""
        row = camel_row(self, unknown=False) | {"details": dict(self.details)}
        return {key: value for key, value in row.items() if value != {}}
