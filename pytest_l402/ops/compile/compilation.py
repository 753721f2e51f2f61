"""Decides what paywalls compile to: one deterministic `aperture.yaml`, or the reasons why there is none.

The control plane's paywalls say more than Aperture can do, and where they do, that is said instead of
guessed at. What an operator has to know beyond the diagnostics: Aperture sells tokens, not requests.
Whoever has paid for a route may use it until the token ends, so the validity of a token bounds what one
payment buys; a client-side credential cache relies on the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_l402.ops.compile.aperture_writer import render_aperture_yaml
from pytest_l402.ops.compile.candidates import Candidates, collect_candidates
from pytest_l402.ops.compile.closed_routes import hold_closed
from pytest_l402.ops.compile.diagnostics import Diagnostic, DiagnosticCode, Severity
from pytest_l402.ops.compile.hashes import config_hash, paywalls_hash
from pytest_l402.ops.compile.ordering import duplicate_findings, order_findings
from pytest_l402.ops.compile.overlaps import find_overlaps
from pytest_l402.ops.compile.paywall import PaywallDefinition, rule_id
from pytest_l402.ops.compile.rules import ClosedRoute, Rule
from pytest_l402.ops.compile.terms import DEFAULT_TOKEN_VALIDITY_S, MAX_TOKEN_VALIDITY_S


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of compiling.

    `config_hash` names the bytes of `aperture_yaml`. An invalid compilation has no file and no rules, and
    carries the paywalls' hash instead. `rules` are the services that sell, in the file's order; `closed`
    those that keep a route shut. The paywalls' hash alone depends on the order in which the paywalls came.
    """

    config_hash: str
    rule_count: int
    valid: bool
    diagnostics: tuple[Diagnostic, ...]
    aperture_yaml: str
    rules: tuple[Rule, ...]
    paywalls_hash: str
    closed: tuple[ClosedRoute, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `smoke:compile` prints: configHash, ruleCount, valid, diagnostics."""
        return {
            "configHash": self.config_hash,
            "ruleCount": self.rule_count,
            "valid": self.valid,
            "diagnostics": [item.to_json() for item in self.diagnostics],
        }


def compile_paywalls(
    paywalls: Sequence[PaywallDefinition], *, token_validity_s: int = DEFAULT_TOKEN_VALIDITY_S
) -> Compilation:
    """Compile paywalls to Aperture's configuration; the same paywalls in any order give the same bytes.

    `token_validity_s` is how long a bought token opens its route, unless the paywall's
    `metadata.tokenValiditySeconds` says otherwise. Only active paywalls without kill switch are sold. Where
    anything of severity error is found, nothing is emitted: a gateway that sells half of what it should is
    not deployed.

    Raises:
        ValueError: when `token_validity_s` is not from 1 s to ten years.
    """
    if not 0 < token_validity_s <= MAX_TOKEN_VALIDITY_S:
        raise ValueError(
            f"token_validity_s: expected 1 to {MAX_TOKEN_VALIDITY_S} seconds, saw {token_validity_s}; "
            "0 would sell tokens that never end"
        )
    pulled = paywalls_hash(paywalls)
    ordered = _in_any_order(paywalls)
    found = collect_candidates(ordered, token_validity_s)
    report = [*found.diagnostics, *_repeated_ids(ordered)]
    if not found.rules:
        report.append(_nothing_to_sell(found))
    if _failed(report):
        return _invalid(report, pulled)
    placed: list[Rule | ClosedRoute] = sorted([*found.rules, *found.unsold], key=lambda item: item.sort_key)
    overlaps = find_overlaps(placed)
    rules = [item for item in placed if isinstance(item, Rule)]
    report += duplicate_findings(rules)
    report += order_findings(placed, overlaps)
    if _failed(report):
        return _invalid(report, pulled)
    services, closings = hold_closed(placed, overlaps)
    text = render_aperture_yaml(services)
    return Compilation(
        config_hash(text.encode()),
        len(rules),
        True,
        (*report, *closings),
        text,
        tuple(rules),
        pulled,
        tuple(item for item in services if isinstance(item, ClosedRoute)),
    )


def _in_any_order(paywalls: Sequence[PaywallDefinition]) -> list[PaywallDefinition]:
    ordered = sorted(paywalls, key=lambda paywall: paywall.paywall_id)
    if len({paywall.paywall_id for paywall in ordered}) < len(ordered):
        ordered.sort(key=lambda paywall: (paywall.paywall_id, paywalls_hash([paywall]), repr(paywall)))
    return ordered


def _repeated_ids(paywalls: Sequence[PaywallDefinition]) -> Iterator[Diagnostic]:
    """Report rule ids that occur twice; those of unsold routes count, which may be held closed by name."""
    seen: set[tuple[str, str]] = set()
    for paywall in paywalls:
        for route in paywall.routes:
            key = (paywall.paywall_id, route.route_id)
            if key in seen:
                yield Diagnostic.about(
                    paywall,
                    route,
                    DiagnosticCode.DUPLICATE_RULE_ID,
                    f"route id {rule_id(*key)} occurs twice: tokens bought for the one would open the other",
                )
            seen.add(key)


def _nothing_to_sell(found: Candidates) -> Diagnostic:
    """Tell an empty or broken state, which must not empty a gateway, from one where all is paused."""
    all_withheld = found.withheld_paywalls > 0 and not found.failed
    return Diagnostic(
        DiagnosticCode.NO_COMPILABLE_ROUTES,
        "No valid routes available to compile",
        Severity.WARN if all_withheld else Severity.ERROR,
    )


def _failed(report: Sequence[Diagnostic]) -> bool:
    return any(item.severity is Severity.ERROR for item in report)


def _invalid(report: Sequence[Diagnostic], pulled: str) -> Compilation:
    return Compilation(pulled, 0, False, tuple(report), "", (), pulled)
