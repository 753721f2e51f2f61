"""Decides what becomes of requests for a route that is not for sale.

Left out of the file, they would go on to the next rule that matches: a catch-all would sell, perhaps for
less, what its owner has just paused. So such a route is held closed just before the first rule that would
inherit its requests. A rule that names requests of the route more closely, or the very same ones, sells
them in its own right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter

from pytest_l402.ops.compile.diagnostics import Diagnostic, DiagnosticCode, Severity
from pytest_l402.ops.compile.overlaps import Overlap
from pytest_l402.ops.compile.rules import ClosedRoute, Rule


def hold_closed(
    placed: Sequence[Rule | ClosedRoute], overlaps: Iterable[Overlap]
) -> tuple[tuple[Rule | ClosedRoute, ...], list[Diagnostic]]:
    """Return the file's services in their order, and what is to be said of routes that are not for sale.

    `placed` holds rules and unsold routes in the order that they would have if all were sold.
    """
    rivals: defaultdict[int, list[tuple[int, Rule, str]]] = defaultdict(list)
    for overlap in overlaps:
        for unsold, number in ((overlap.earlier, overlap.later), (overlap.later, overlap.earlier)):
            rule = placed[number]
            if isinstance(placed[unsold], ClosedRoute) and isinstance(rule, Rule):
                rivals[unsold].append((number, rule, overlap.example))
    report: list[Diagnostic] = []
    closed_before: defaultdict[int, list[ClosedRoute]] = defaultdict(list)
    for place in sorted(rivals):
        route = placed[place]
        if isinstance(route, ClosedRoute):
            heir = _judge(place, route, sorted(rivals[place], key=itemgetter(0)), report)
            if heir is not None:
                closed_before[heir].append(route)
    services: list[Rule | ClosedRoute] = []
    for place, item in enumerate(placed):
        services += closed_before.get(place, ())
        if isinstance(item, Rule):
            services.append(item)
    return tuple(services), report


def _judge(
    place: int,
    route: ClosedRoute,
    rivals: Sequence[tuple[int, Rule, str]],
    report: list[Diagnostic],
) -> int | None:
    """Return the place of the rule before which the route has to be held closed, or None."""
    heirs: list[tuple[int, Rule, str]] = []
    for number, rule, example in rivals:
        within = _covers(route, rule)
        if within and not _covers(rule, route):
            if heirs:
                report.append(_cut_off(route, rule))
            continue
        if within or number < place:
            report.append(_sold_elsewhere(route, rule, example))
            if _covers(rule, route):
                return None
            continue
        heirs.append((number, rule, example))
    if not heirs:
        return None
    number, heir, example = heirs[0]
    report.append(
        Diagnostic(
            DiagnosticCode.ROUTE_CLOSED,
            f"held closed with 401 and no invoice, or its requests would fall through to rule {heir.id}",
            Severity.WARN,
            paywall_id=route.paywall_id,
            route_id=route.route_id,
            related_route_id=heir.route_id,
            details={"service": route.service_name, **_example(example)},
        )
    )
    return number


def _covers(one: Rule | ClosedRoute, other: Rule | ClosedRoute) -> bool:
    return one.path.covers(other.path) and one.host.covers(other.host)


def _sold_elsewhere(route: ClosedRoute, rule: Rule, example: str) -> Diagnostic:
    return Diagnostic(
        DiagnosticCode.ROUTE_SOLD_ELSEWHERE,
        f"rule {rule.id} sells requests of this route, which is not for sale: pause that one too, or move it",
        Severity.WARN,
        paywall_id=route.paywall_id,
        route_id=route.route_id,
        related_route_id=rule.route_id,
        details=_example(example),
    )


def _cut_off(route: ClosedRoute, rule: Rule) -> Diagnostic:
    return Diagnostic(
        DiagnosticCode.FIRST_MATCH_SHADOWED,
        f"Route {rule.id} is shadowed by {route.id}, which is held closed: give it a lower priority number",
        Severity.WARN,
        paywall_id=rule.paywall_id,
        route_id=rule.route_id,
        related_route_id=route.route_id,
        details={"secondaryPath": rule.path.text, "primaryPath": route.path.text},
    )


def _example(example: str) -> dict[str, str]:
    return {"example": example} if example else {}
