"""Compile: one file from the same paywalls in any order, faults named, and nothing sold that is paused."""

from dataclasses import replace
from itertools import permutations

import pytest

from pytest_l402.evidence import no_row, result_shows, same_in_every_row, some_row
from pytest_l402.ops.compile.compilation import Compilation, compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("compile", runbook="lightning-ops", section="Commands")


def paywall(name: str, price_msats: int = 21_000, path: str | None = None) -> PaywallDefinition:
    return PaywallDefinition(
        paywall_id=f"pw_{name}",
        owner_id=f"owner_{name}",
        name=name,
        policy=Policy(fixed_amount_msats=price_msats),
        routes=(
            Route(
                route_id=f"route_{name}",
                host_pattern="gateway.l402.test",
                path_pattern=path or f"/{name}",
                upstream_url="https://seller.l402.test",
                protocol="https",
            ),
        ),
    )


FOR_SALE = (paywall("weather"), paywall("news"), paywall("maps"))


def test_deterministic(l402_evidence: EvidenceCollector) -> None:
    compilations = [compile_paywalls(order) for order in permutations(FOR_SALE)]
    l402_evidence.record("compilations", *map(_row, compilations))
    l402_evidence.record("compilation", _row(compilations[0]))
    l402_evidence.verify(
        same_in_every_row("compilations", "configHash", "apertureYaml", at_least=6).proves(
            "compile.deterministic"
        ),
        result_shows("compilation", ruleCount=3, valid=True, configHash=compilations[-1].config_hash).proves(
            "compile.output"
        ),
    )


@pytest.mark.parametrize(
    ("faulty", "code"),
    [
        pytest.param(paywall("weather", price_msats=21_500), "fractional_sats", id="fractional-sats"),
        pytest.param(paywall("weather", price_msats=0), "missing_pricing", id="no-price"),
        pytest.param(paywall("weather", path="/news"), "duplicate_route", id="duplicate-route"),
    ],
)
def test_a_fault_is_diagnosed_and_nothing_is_compiled(
    faulty: PaywallDefinition, code: str, l402_evidence: EvidenceCollector
) -> None:
    compilation = compile_paywalls((faulty, *FOR_SALE[1:]))
    l402_evidence.record("compilation", _row(compilation))
    l402_evidence.record("diagnostics", *(diagnostic.to_json() for diagnostic in compilation.diagnostics))
    l402_evidence.verify(
        some_row("diagnostics", code=code, severity="error", paywallId="pw_weather").proves(
            "compile.diagnostics"
        ),
        result_shows("compilation", valid=False, ruleCount=0).proves("compile.diagnostics"),
    )


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param(replace(FOR_SALE[0], status=PaywallStatus.PAUSED), id="paused"),
        pytest.param(replace(FOR_SALE[0], status=PaywallStatus.ARCHIVED), id="archived"),
        pytest.param(replace(FOR_SALE[0], policy=replace(FOR_SALE[0].policy, kill_switch=True)), id="killed"),
    ],
)
def test_what_is_not_for_sale_is_not_compiled(
    closed: PaywallDefinition, l402_evidence: EvidenceCollector
) -> None:
    given = (closed, *FOR_SALE[1:])
    compilation = compile_paywalls(given)
    l402_evidence.record("paywalls", *({"paywallId": each.paywall_id} for each in given))
    l402_evidence.record("compilation", _row(compilation))
    l402_evidence.record("rules", *({"paywallId": rule.paywall_id} for rule in compilation.rules))
    l402_evidence.verify(
        result_shows("compilation", valid=True, ruleCount=2).proves("compile.not-for-sale"),
        no_row("rules", witness="paywalls", paywallId="pw_weather").proves("compile.not-for-sale"),
        some_row("rules", paywallId="pw_news"),
    )


def _row(compilation: Compilation) -> dict[str, object]:
    return {
        "configHash": compilation.config_hash,
        "ruleCount": compilation.rule_count,
        "valid": compilation.valid,
        "apertureYaml": compilation.aperture_yaml,
    }
