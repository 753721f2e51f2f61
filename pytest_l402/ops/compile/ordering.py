"""Decides what is said of rules that match the same request: duplicate, ambiguous, shadowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_l402.ops.compile.diagnostics import Diagnostic, DiagnosticCode
from pytest_l402.ops.compile.overlaps import Overlap
from pytest_l402.ops.compile.rules import Placed, Rule


def duplicate_findings(rules: Sequence[Rule]) -> Iterator[Diagnostic]:
    """Report each rule, in order, whose host and path an earlier rule has already."""
    seen: dict[tuple[str, str], Rule] = {}
    for rule in rules:
        first = seen.setdefault((rule.host.text, rule.path.text), rule)
        if first is not rule:
            yield Diagnostic(
                DiagnosticCode.DUPLICATE_ROUTE,
                f"Duplicate host/path rule detected ({rule.host.text}::{rule.path.text})",
                paywall_id=rule.paywall_id,
                route_id=rule.route_id,
            )


def order_findings(placed: Sequence[Placed], overlaps: Iterable[Overlap]) -> Iterator[Diagnostic]:
    """Report overlapping rules whose order says nothing, and rules behind a more general one.

    Ambiguous: the same priority, and neither rule is the more specific one, so that only their spelling
    puts one first; also when one has the more specific host and the other the more specific path. Shadowed:
    the earlier rule is more general, or takes every request of the later one. Source: lightning-ops
    compiler, which compares only rules whose host patterns are the same text.
    """
    for overlap in overlaps:
        earlier, later = placed[overlap.earlier], placed[overlap.later]
        if not (isinstance(earlier, Rule) and isinstance(later, Rule)):
            continue
        if earlier.host.text == later.host.text and earlier.path.text == later.path.text:
            continue
        if is_ambiguous(earlier, later):
            yield Diagnostic(
                DiagnosticCode.AMBIGUOUS_ROUTE,
                f"Ambiguous overlapping routes for {_hosts(earlier, later)}",
                paywall_id=later.paywall_id,
                route_id=later.route_id,
                related_route_id=earlier.route_id,
                details=_details(earlier, later, overlap),
            )
        if is_shadowed(earlier, later):
            yield Diagnostic(
                DiagnosticCode.FIRST_MATCH_SHADOWED,
                f"Route {later.id} is shadowed by earlier first-match rule {earlier.id}",
                paywall_id=later.paywall_id,
                route_id=later.route_id,
                related_route_id=earlier.route_id,
                details={
                    "primaryPriority": earlier.priority,
                    "secondaryPriority": later.priority,
                    **_details(earlier, later, overlap),
                },
            )


def is_ambiguous(earlier: Rule, later: Rule) -> bool:
    """Return whether two overlapping rules are in an order that nobody chose."""
    if earlier.priority != later.priority:
        return False
    hosts = earlier.host.specificity - later.host.specificity
    paths = earlier.path.specificity - later.path.specificity
    return hosts == paths == 0 or (hosts > 0 and paths < 0)


def is_shadowed(earlier: Rule, later: Rule) -> bool:
    """Return whether a later rule loses requests to one that is more general, or all that it has."""
    hosts = earlier.host.specificity - later.host.specificity
    paths = earlier.path.specificity - later.path.specificity
    if earlier.host.text == later.host.text:
        if paths < 0 or (paths == 0 and len(earlier.path.text) < len(later.path.text)):
            return True
    elif hosts <= 0 and paths <= 0 and (hosts < 0 or paths < 0):
        return True
    return earlier.path.covers(later.path) and earlier.host.covers(later.host)


def _hosts(earlier: Rule, later: Rule) -> str:
    if earlier.host.text == later.host.text:
        return f"host {later.host.text}"
    return f"hosts {earlier.host.text} and {later.host.text}"


def _details(earlier: Rule, later: Rule, overlap: Overlap) -> dict[str, Any]:
    details: dict[str, Any] = {"primaryPath": earlier.path.text, "secondaryPath": later.path.text}
    if earlier.paywall_id != later.paywall_id:
        details["primaryPaywallId"] = earlier.paywall_id
    if earlier.host.text != later.host.text:
        details |= {"primaryHost": earlier.host.text, "secondaryHost": later.host.text}
    if overlap.example:
        details["example"] = overlap.example
    return details
