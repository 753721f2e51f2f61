"""Decides which routes may become rules, by all that can be said of one paywall without the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from pytest_l402.boundary import quoted
from pytest_l402.ops.compile.diagnostics import Diagnostic, DiagnosticCode, Severity
from pytest_l402.ops.compile.host_patterns import HostPattern, read_host_pattern
from pytest_l402.ops.compile.path_patterns import PathPattern, read_path_pattern
from pytest_l402.ops.compile.paywall import PaywallDefinition, Route
from pytest_l402.ops.compile.rules import ClosedRoute, Rule
from pytest_l402.ops.compile.seller_url import (
    NotExpressibleError,
    SellerUrl,
    SellerUrlError,
    parse_seller_url,
    rewrite_prefix,
    shown_url,
)
from pytest_l402.ops.compile.terms import Terms, terms_of
from pytest_l402.ops.regexps import PatternError, UnmatchableError

DEFAULT_SELLER_TIMEOUT_MS = 15_000
P = TypeVar("P", HostPattern, PathPattern)


@dataclass(slots=True)
class Candidates:
    """Rules that could be sold, routes that must not be, and what was found on the way."""

    rules: list[Rule] = field(default_factory=list)
    unsold: list[ClosedRoute] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    withheld_paywalls: int = 0

    @property
    def failed(self) -> bool:
        """Whether anything makes the compilation invalid."""
        return any(item.severity is Severity.ERROR for item in self.diagnostics)


def collect_candidates(paywalls: Sequence[PaywallDefinition], token_validity_s: int) -> Candidates:
    """Return what the paywalls, in the given order, offer to compile.

    Of a route only the first of the original tool's findings is reported, as there; of those that concern
    Aperture, all. A paywall that is not for sale is read only to know which requests it keeps closed: what
    is wrong with it must not keep the others from being compiled, since then the old configuration would go
    on selling it.
    """
    found = Candidates()
    for paywall in paywalls:
        if not paywall.for_sale:
            _withhold(paywall, found)
            continue
        terms = terms_of(paywall, token_validity_s, found.diagnostics)
        if terms is None:
            continue
        for route in paywall.routes:
            rule = _rule(paywall, route, terms, found.diagnostics)
            if rule is not None:
                found.rules.append(rule)
    return found


def _rule(paywall: PaywallDefinition, route: Route, terms: Terms, report: list[Diagnostic]) -> Rule | None:
    url = _checked_seller_url(paywall, route)
    if isinstance(url, Diagnostic):
        report.append(url)
        return None
    host, path = _patterns(paywall, route, Severity.ERROR, report)
    if host is not None:
        report.extend(_host_findings(paywall, route, host))
    if host is None or path is None:
        return None
    try:
        prefix = rewrite_prefix(url, path)
    except NotExpressibleError as error:
        report.append(
            Diagnostic.about(
                paywall,
                route,
                DiagnosticCode.UPSTREAM_NOT_EXPRESSIBLE,
                f"Aperture cannot forward {path.text} to this upstreamUrl: {error}",
                upstreamUrl=shown_url(route.upstream_url),
                pathPattern=path.text,
                part=error.part,
            )
        )
        return None
    return Rule(
        paywall.paywall_id,
        paywall.owner_id,
        route.route_id,
        route.priority,
        host,
        path,
        url.scheme,
        url.address,
        prefix,
        terms.price_sats,
        terms.token_validity_s,
        route.timeout_ms if route.timeout_ms > 0 else DEFAULT_SELLER_TIMEOUT_MS,
    )


def _checked_seller_url(paywall: PaywallDefinition, route: Route) -> Diagnostic | SellerUrl:
    """Return the first of the original tool's findings on a route, or else its seller URL in parts."""

    finding = partial(Diagnostic.about, paywall, route)
    if not route.host_pattern.strip():
        return finding(
            DiagnosticCode.INVALID_ROUTE_PATTERN,
            "hostPattern and pathPattern must be non-empty",
            hostPattern=route.host_pattern,
            pathPattern=route.path_pattern,
        )
    if route.protocol not in ("http", "https"):
        return finding(
            DiagnosticCode.MISSING_ROUTE_PROTOCOL,
            "route protocol must be http or https",
            protocol=route.protocol,
        )
    if not route.upstream_url.strip():
        return finding(DiagnosticCode.INVALID_UPSTREAM_URL, "upstreamUrl must be non-empty")
    try:
        url = parse_seller_url(route.upstream_url)
    except SellerUrlError:
        return finding(
            DiagnosticCode.INVALID_UPSTREAM_URL,
            "upstreamUrl must be a valid URL",
            upstreamUrl=shown_url(route.upstream_url),
        )
    if url.scheme != route.protocol:
        return finding(
            DiagnosticCode.INVALID_UPSTREAM_URL,
            "upstreamUrl protocol must match route protocol",
            upstreamUrl=shown_url(route.upstream_url),
            routeProtocol=route.protocol,
        )
    return url


def _patterns(
    paywall: PaywallDefinition, route: Route, severity: Severity, report: list[Diagnostic]
) -> tuple[HostPattern | None, PathPattern | None]:
    """Return what a route's patterns mean; warnings are only for those that are sold."""

    finding = partial(Diagnostic.about, paywall, route)

    def read(key: str, text: str, reader: Callable[[str], P]) -> P | None:
        try:
            pattern = reader(text)
        except (PatternError, UnmatchableError) as error:
            code, message = _pattern_problem(key, error)
            report.append(finding(code, message, severity, **{key: text}))
            return None
        if pattern.warning and severity is Severity.ERROR:
            message = f"{key} may not mean what it says: {pattern.warning}"
            report.append(finding(DiagnosticCode.SUSPICIOUS_PATTERN, message, Severity.WARN, **{key: text}))
        return pattern

    return (
        read("hostPattern", route.host_pattern, read_host_pattern),
        read("pathPattern", route.path_pattern, read_path_pattern),
    )


def _pattern_problem(key: str, error: ValueError) -> tuple[DiagnosticCode, str]:
    if isinstance(error, PatternError):
        return (
            DiagnosticCode.PATTERN_NOT_RE2,
            f"{key} must be a regexp that Go's engine takes: it has {error}",
        )
    return DiagnosticCode.UNMATCHABLE_PATTERN, f"{key} matches no request: {error}"


def _host_findings(paywall: PaywallDefinition, route: Route, host: HostPattern) -> Iterator[Diagnostic]:
    """Compare a route's hosts with the paywall's lists: Aperture has none, the pattern has to keep them."""
    allowed = [_listed(entry) for entry in paywall.policy.allowed_hosts or ()]
    blocked = [_listed(entry) for entry in paywall.policy.blocked_hosts or ()]

    def finding(reason: str, **details: object) -> Diagnostic:
        message = f"hostPattern {host.text} {reason}"
        details = {"hostPattern": host.text, **details}
        return Diagnostic.about(paywall, route, DiagnosticCode.HOST_NOT_ALLOWED, message, **details)

    if allowed and not any(entry is not None and entry.covers(host) for entry in allowed):
        yield finding(
            "is not within a host of the paywall's allowedHosts: narrow the one or widen the other",
            allowedHosts=list(paywall.policy.allowed_hosts or ()),
        )
    for raw, entry in zip(paywall.policy.blocked_hosts or (), blocked, strict=True):
        if entry is None or entry.common_host(host) is not None:
            yield finding(
                f"takes requests of the blocked host {quoted(raw)}, which a regexp of Go cannot leave out: "
                "name the hosts that are sold",
                blockedHost=raw,
            )


def _listed(entry: str) -> HostPattern | None:
    try:
        return read_host_pattern(entry)
    except (PatternError, UnmatchableError):
        return None


def _withhold(paywall: PaywallDefinition, found: Candidates) -> None:
    found.withheld_paywalls += 1
    reason = "its kill switch is on" if paywall.policy.kill_switch else f"it is {paywall.status.value}"
    found.diagnostics.append(
        Diagnostic.about(
            paywall,
            None,
            DiagnosticCode.NOT_FOR_SALE,
            f"left out, since {reason}: no rule sells its routes",
            Severity.WARN,
            status=paywall.status.value,
            killSwitch=paywall.policy.kill_switch,
        )
    )
    for route in paywall.routes:
        if not route.host_pattern.strip():
            continue
        host, path = _patterns(paywall, route, Severity.WARN, found.diagnostics)
        if host is not None and path is not None:
            found.unsold.append(
                ClosedRoute(paywall.paywall_id, paywall.owner_id, route.route_id, route.priority, host, path)
            )
