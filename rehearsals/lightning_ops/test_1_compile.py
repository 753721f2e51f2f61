"""Compile: one file from the same paywalls in any order, faults named, and nothing sold that is paused."""

import re
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import yaml

from pytest_l402.evidence import no_row, result_shows, same_in_every_row, some_row
from pytest_l402.ops.compile.compilation import Compilation, compile_paywalls
from pytest_l402.ops.compile.diagnostics import Severity
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("compile", runbook="lightning-ops", section="Commands")


def paywall(name: str, price_msats: int = 21_000, path: str | None = None, **route: Any) -> PaywallDefinition:
    known = {
        "route_id": f"route_{name}",
        "host_pattern": "gateway.l402.test",
        "path_pattern": path or f"/{name}",
        "upstream_url": "https://seller.l402.test",
        "protocol": "https",
    }
    return PaywallDefinition(
        paywall_id=f"pw_{name}",
        owner_id=f"owner_{name}",
        name=name,
        policy=Policy(fixed_amount_msats=price_msats),
        routes=(Route(**(known | route)),),
    )


FOR_SALE = (
    replace(
        paywall("weather", 2_000, protocol="http", upstream_url="http://seller.l402.test:8080/v1/weather"),
        metadata={"tokenValiditySeconds": 600},
    ),
    paywall("news", path="/news/*", host_pattern="*.l402.test", priority=5),
    paywall("maps", upstream_url="https://seller.l402.test:444"),
)
EVERYTHING_ELSE = paywall("all", path="/*", priority=99)

HOST = r"(?i)^gateway\.l402\.test\.?(?::[0-9]+)?$"
SOLD = {"auth": "on", "protocol": "https", "hostregexp": HOST, "price": 21, "timeout": 3_600}
SERVICES: tuple[dict[str, Any], ...] = (
    {
        **SOLD,
        "name": "pw_weather.route_weather",
        "pathregexp": "^/weather$",
        "address": "seller.l402.test:8080",
        "protocol": "http",
        "price": 2,
        "timeout": 600,
        "rewrite.prefix": "/v1",
    },
    {
        **SOLD,
        "name": "pw_news.route_news",
        "hostregexp": r"(?i)^[^:]*\.l402\.test\.?(?::[0-9]+)?$",
        "pathregexp": "(?s)^/news/.*$",
        "address": "seller.l402.test",
        "place": 1,
    },
    {
        **SOLD,
        "name": "pw_maps.route_maps",
        "pathregexp": "^/maps$",
        "address": "seller.l402.test:444",
    },
)
CLOSED = {
    "auth": "on",
    "hostregexp": HOST,
    "pathregexp": "^/weather$",
    "address": "closed.invalid:80",
    "authskipinvoicecreationpaths": ["^"],
    "place": 3,
}


def test_deterministic(l402_evidence: EvidenceCollector) -> None:
    compilations = [compile_paywalls(order) for order in permutations(FOR_SALE)]
    l402_evidence.record("compilations", *map(_row, compilations))
    l402_evidence.record("compilation", _row(compilations[0]))
    l402_evidence.record("services", *_services(compilations[0]))
    l402_evidence.verify(
        same_in_every_row("compilations", "configHash", "apertureYaml", at_least=6).proves(
            "compile.deterministic"
        ),
        result_shows("compilation", ruleCount=3, valid=True, configHash=compilations[-1].config_hash).proves(
            "compile.output"
        ),
        *(some_row("services", **service).proves("compile.services") for service in SERVICES),
    )


TAKES = (
    paywall("exact", path="/a"),
    paywall("below", path="/a/*"),
    paywall("choice", path="/(b|c)/[0-9]+"),
    paywall("port", path="/p", host_pattern="gateway.l402.test:8443"),
    paywall("any", path="/any", host_pattern="*"),
    paywall("shop", path=" shop ", host_pattern=" Shop.L402.Test "),
    paywall("sub", path="/sub/*", host_pattern="*.l402.test", priority=20),
    paywall("dots", path="/v1.2/x"),
    EVERYTHING_ELSE,
)
ASKED = (
    ("gateway.l402.test", "/a", "exact"),
    ("GATEWAY.L402.TEST:80", "/a", "exact"),
    ("gateway.l402.test", "/a/b", "below"),
    ("gateway.l402.test", "/ab", "all"),
    ("gateway.l402.test.", "/b/7", "choice"),
    ("gateway.l402.test", "/c/x", "all"),
    ("gateway.l402.test:8443", "/p", "port"),
    ("gateway.l402.test", "/p", "all"),
    ("elsewhere.test", "/any", "any"),
    ("elsewhere.test", "/a", None),
    ("shop.l402.test", "/shop", "shop"),
    ("shop.l402.test", "/sub/x", "sub"),
    ("l402.test", "/sub/x", None),
    ("gateway.l402.test", "/v1.2/x", "dots"),
    ("gateway.l402.test", "/v1x2/x", "all"),
    ("gatewayxl402.test", "/a", None),
)


def test_each_request_is_taken_by_its_route(l402_evidence: EvidenceCollector) -> None:
    services = _services(compile_paywalls(TAKES))
    taken = [_taken(services, host, path) for host, path, _ in ASKED]
    l402_evidence.record("taken", {"by": taken, "services": len(services)})
    l402_evidence.verify(
        result_shows(
            "taken",
            services=len(TAKES),
            by=[name and f"pw_{name}.route_{name}" for _, _, name in ASKED],
        ).proves("compile.services")
    )


def limited(**limits: Any) -> PaywallDefinition:
    definition = paywall("weather")
    return replace(definition, policy=replace(definition.policy, **limits))


def lasting(seconds: object) -> PaywallDefinition:
    return replace(paywall("weather"), metadata={"tokenValiditySeconds": seconds})


TEN_YEARS_S = 315_576_000
EITHER = (
    *paywall("weather", path="/(a|b)").routes,
    *paywall("weather", path="/(b|c)", route_id="route_other").routes,
)
FAULTY = (
    (paywall("weather", 21_500), "fractional_sats"),
    (paywall("weather", 0), "missing_pricing"),
    (paywall("weather", 10_000_000_000_001_000), "price_too_high"),
    (limited(pricing_mode="auction"), "invalid_pricing_mode"),
    (limited(max_per_request_msats=20_999), "price_over_cap"),
    (lasting(0), "invalid_token_validity"),
    (lasting(TEN_YEARS_S + 1), "invalid_token_validity"),
    (lasting(True), "invalid_token_validity"),
    (paywall("weather", path="/maps"), "duplicate_route"),
    (replace(paywall("weather"), routes=EITHER), "ambiguous_route"),
    (paywall("weather", path="/news/today"), "first_match_shadowed"),
    (replace(paywall("weather"), routes=paywall("weather").routes * 2), "duplicate_rule_id"),
    (paywall("weather", host_pattern=" "), "invalid_route_pattern"),
    (paywall("weather", protocol="ftp"), "missing_route_protocol"),
    (paywall("weather", upstream_url=" "), "invalid_upstream_url"),
    (paywall("weather", upstream_url="seller"), "invalid_upstream_url"),
    (paywall("weather", upstream_url="http://seller.l402.test"), "invalid_upstream_url"),
    (paywall("weather", upstream_url="https://seller.l402.test/weather?q=1"), "upstream_not_expressible"),
    (paywall("weather", path="/(?=w)"), "pattern_not_re2"),
    (paywall("weather", host_pattern="a b"), "unmatchable_pattern"),
    (limited(allowed_hosts=("another.l402.test",)), "host_not_allowed"),
    (limited(blocked_hosts=("gateway.l402.test",)), "host_not_allowed"),
)
ALLOWED = (
    (limited(max_per_request_msats=21_000), None),
    (lasting(1), None),
    (lasting(TEN_YEARS_S), None),
    (limited(allowed_hosts=("gateway.l402.test",), blocked_hosts=("another.l402.test",)), None),
    (paywall("weather", 10_000_000_000_000_000), None),
    (limited(quota_per_minute=1), "quota_not_enforced"),
)


def test_a_fault_is_diagnosed_and_nothing_is_compiled(l402_evidence: EvidenceCollector) -> None:
    compilations = [compile_paywalls((faulty, *FOR_SALE[1:])) for faulty, _ in FAULTY]
    found = [_diagnosed(number, compilation) for number, compilation in enumerate(compilations)]
    l402_evidence.record("diagnosed", *found)
    l402_evidence.record("pulled", {"hashes": len({each.config_hash for each in compilations})})
    l402_evidence.verify(
        *(
            some_row("diagnosed", number=number, codes=code, paywallIds="pw_weather", errors=True).proves(
                "compile.diagnostics"
            )
            for number, (_, code) in enumerate(FAULTY)
        ),
        no_row("diagnosed", witness="diagnosed", valid=True).proves("compile.diagnostics"),
        # The hash is of what was pulled; how long a credential lasts, and host lists, have no part in it.
        result_shows("pulled", hashes=len(FAULTY) - 4).proves("compile.output"),
        same_in_every_row("diagnosed", "ruleCount", "bytes").proves("compile.diagnostics"),
    )


def test_what_is_no_fault_is_compiled(l402_evidence: EvidenceCollector) -> None:
    compilations = [compile_paywalls((fine, *FOR_SALE[1:])) for fine, _ in ALLOWED]
    l402_evidence.record("compilations", *map(_row, compilations))
    codes = [[item.code.value for item in compilation.diagnostics] for compilation in compilations]
    l402_evidence.record("compiled", {"codes": codes})
    l402_evidence.verify(
        no_row("compilations", witness="compilations", valid=False).proves("compile.diagnostics"),
        result_shows("compiled", codes=[[code] if code else [] for _, code in ALLOWED]).proves(
            "compile.diagnostics"
        ),
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
    given = (closed, *FOR_SALE[1:], EVERYTHING_ELSE)
    compilation = compile_paywalls(given)
    l402_evidence.record("paywalls", *({"paywallId": each.paywall_id} for each in given))
    l402_evidence.record("compilation", _row(compilation))
    l402_evidence.record("rules", *({"paywallId": rule.paywall_id} for rule in compilation.rules))
    l402_evidence.record("services", *_services(compilation))
    l402_evidence.record("diagnostics", *(diagnostic.to_json() for diagnostic in compilation.diagnostics))
    l402_evidence.verify(
        result_shows("compilation", valid=True, ruleCount=3).proves("compile.not-for-sale"),
        some_row("services", name="closed.pw_weather.route_weather", **CLOSED).proves("compile.not-for-sale"),
        some_row(
            "diagnostics",
            **{"details.service": "closed.pw_weather.route_weather"},
            code="route_closed",
            paywallId="pw_weather",
            routeId="route_weather",
            relatedRouteId="route_all",
        ).proves("compile.not-for-sale"),
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


def _services(compilation: Compilation) -> list[dict[str, Any]]:
    """The services of the file as a gateway reads them, each with its place among them, from 1."""
    services = yaml.safe_load(compilation.aperture_yaml)["services"]
    return [{**service, "place": place} for place, service in enumerate(services, 1)]


def _diagnosed(number: int, compilation: Compilation) -> dict[str, object]:
    """What was said of one fault: every code, every paywall that is named, whether all are errors."""
    errors = [item for item in compilation.diagnostics if item.severity is Severity.ERROR]
    return {
        "number": number,
        "codes": ",".join(sorted({item.code.value for item in errors})),
        "paywallIds": ",".join(sorted({str(item.paywall_id) for item in errors if item.paywall_id})),
        "errors": bool(errors),
        "valid": compilation.valid,
        "ruleCount": compilation.rule_count,
        "bytes": len(compilation.aperture_yaml),
    }


def _taken(services: list[dict[str, Any]], host: str, path: str) -> str | None:
    """The first service of the file that takes a request, as any engine of regexps finds it."""
    found = (
        str(each["name"])
        for each in services
        if re.search(each["hostregexp"], host) and re.search(each["pathregexp"], path)
    )
    return next(found, None)
