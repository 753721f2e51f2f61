"""Compile: one file from the same paywalls in any order, faults named, and nothing sold that is paused."""

from dataclasses import replace
from itertools import permutations
from typing import Any
from urllib.parse import unquote

import pytest
import re2
import yaml

from pytest_l402.evidence import no_row, result_shows, same_in_every_row, some_row
from pytest_l402.ops.compile.compilation import Compilation, compile_paywalls
from pytest_l402.ops.compile.diagnostics import Severity
from pytest_l402.ops.compile.paywall import PaywallDefinition, PaywallStatus, Policy, Route
from pytest_l402.ops.reconcile.probe_targets import probe_targets
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

pytestmark = pytest.mark.rehearsal("compile", runbook="lightning-ops", section="Commands")


def paywall(
    name: str, price_msats: int = 21_000, path: str | None = None, status: str = "active", **route: Any
) -> PaywallDefinition:
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
        status=PaywallStatus(status),
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


# Another hash of the same paywalls would have every gateway deployed anew.
CONFIG_HASH = "cfg_5e1feff832dcc090fd5e0cac133847903bf57f343496a86d8b3f2cd509717e4d"
PULLED_HASH = "cfg_3896c4286e6550a44e0f7a5e784a729b89a153b5773637bca3b9a3e5da1d6e27"


def test_deterministic(l402_evidence: EvidenceCollector) -> None:
    compilations = [compile_paywalls(order) for order in permutations(FOR_SALE)]
    l402_evidence.record("compilations", *map(_row, compilations))
    l402_evidence.record("compilation", _row(compilations[0]))
    l402_evidence.record("services", *_services(compilations[0]))
    l402_evidence.verify(
        same_in_every_row("compilations", "configHash", "apertureYaml", at_least=6).proves(
            "compile.deterministic"
        ),
        result_shows(
            "compilation", ruleCount=3, valid=True, configHash=CONFIG_HASH, pulledHash=PULLED_HASH
        ).proves("compile.output"),
        *(some_row("services", **service).proves("compile.services") for service in SERVICES),
    )


TAKES = (
    paywall("exact", path="/a", timeout_ms=8_000),
    paywall("slash", path="/a/", timeout_ms=0),
    paywall("below", path="/a/*"),
    paywall("choice", path="/(b|c)/[0-9]+"),
    paywall("port", path="/p", host_pattern="gateway.l402.test:8443"),
    paywall("any", path="/any", host_pattern="*"),
    paywall("shop", path=" shop ", host_pattern=" Shop.L402.Test "),
    paywall("sub", path="/sub/*", host_pattern="*.l402.test", priority=20),
    paywall("dots", path="/v1.2/x"),
    paywall("choices", path="(/x|/y)z"),
    paywall("rootless", path="(u|v)w"),
    paywall("quoted", path="/ü\\Qä.b\\E(1|2)"),
    EVERYTHING_ELSE,
)
ASKED = (
    ("gateway.l402.test", "/a", "exact"),
    ("GATEWAY.L402.TEST:80", "/a", "exact"),
    ("gateway.l402.test", "/a/b", "below"),
    ("gateway.l402.test", "/a/", "slash"),
    ("gateway.l402.test", "/xz", "choices"),
    ("gateway.l402.test", "/xy", "all"),
    ("gateway.l402.test", "/uw", "rootless"),
    ("gateway.l402.test", "/üä.b1", "quoted"),
    ("gateway.l402.test", "/üäxb1", "all"),
    ("[::1]:8081", "/any", "any"),
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
    compilation = compile_paywalls(TAKES)
    services = _services(compilation)
    taken = [_taken(services, host, path) for host, path, _ in ASKED]
    l402_evidence.record("taken", {"by": taken, "services": len(services)})
    targets = probe_targets(compilation)
    l402_evidence.record(
        "probed",
        *(
            {
                "rule": target.rule_id.replace(":", "."),
                "takenBy": _taken(services, target.host, unquote(target.path)),
                "priceMsats": target.price_msats,
                "maxMsats": target.max_msats,
                "timeoutMs": target.timeout_ms,
            }
            for target in targets
        ),
    )
    l402_evidence.record("targets", {"number": len(targets)})
    l402_evidence.verify(
        result_shows(
            "taken",
            services=len(TAKES),
            by=[name and f"pw_{name}.route_{name}" for _, _, name in ASKED],
        ).proves("compile.services"),
        # Each route is probed, at a request that is taken by it and by no other.
        result_shows("targets", number=len(TAKES)),
        *(
            some_row(
                "probed",
                rule=f"{each.paywall_id}.{each.routes[0].route_id}",
                takenBy=f"{each.paywall_id}.{each.routes[0].route_id}",
                priceMsats=21_000,
                maxMsats=21_000,
                timeoutMs=each.routes[0].timeout_ms or 15_000,
            )
            for each in TAKES
        ),
    )


def limited(**limits: Any) -> PaywallDefinition:
    definition = paywall("weather")
    return replace(definition, policy=replace(definition.policy, **limits))


def lasting(seconds: object) -> PaywallDefinition:
    return replace(paywall("weather"), metadata={"tokenValiditySeconds": seconds})


TEN_YEARS_S = 315_576_000


def either(path: str, other: str, host: str = "gateway.l402.test", **of_the_first: Any) -> PaywallDefinition:
    """A paywall with two routes."""
    first = paywall("weather", path=path, **of_the_first)
    second = paywall("weather", path=other, host_pattern=host, route_id="route_other")
    return replace(first, routes=(*first.routes, *second.routes))


FAULTY: tuple[tuple[PaywallDefinition, str, dict[str, Any] | None], ...] = (
    (paywall("weather", 21_500), "fractional_sats", {"fixedAmountMsats": 21_500}),
    (paywall("weather", 0), "missing_pricing", {"fixedAmountMsats": 0}),
    (
        paywall("weather", 10_000_000_000_001_000),
        "price_too_high",
        {"fixedAmountMsats": 10_000_000_000_001_000},
    ),
    (limited(pricing_mode="auction"), "invalid_pricing_mode", {"pricingMode": "auction"}),
    (
        limited(max_per_request_msats=20_999),
        "price_over_cap",
        {"fixedAmountMsats": 21_000, "maxPerRequestMsats": 20_999},
    ),
    (lasting(0), "invalid_token_validity", {"tokenValiditySeconds": "0"}),
    (lasting(TEN_YEARS_S + 1), "invalid_token_validity", {"tokenValiditySeconds": "315576001"}),
    (lasting(True), "invalid_token_validity", {"tokenValiditySeconds": "true"}),
    (paywall("weather", path="/maps"), "duplicate_route", None),
    (
        either("/(a|b)", "/(b|c)"),
        "ambiguous_route",
        {"primaryPath": "/(a|b)", "secondaryPath": "/(b|c)", "example": "gateway.l402.test/b"},
    ),
    (
        either("/(a)|/b", "/(b)|/c"),
        "ambiguous_route",
        {"primaryPath": "/(a)|/b", "secondaryPath": "/(b)|/c", "example": "gateway.l402.test/b"},
    ),
    (
        either("/(a|b)", "/b", "*.l402.test"),
        "ambiguous_route",
        {
            "primaryPath": "/(a|b)",
            "secondaryPath": "/b",
            "primaryHost": "gateway.l402.test",
            "secondaryHost": "*.l402.test",
            "example": "gateway.l402.test/b",
        },
    ),
    (
        either("/(a|b)", "/(b|cc)", priority=1),
        "first_match_shadowed",
        {
            "primaryPriority": 1,
            "secondaryPriority": 10,
            "primaryPath": "/(a|b)",
            "secondaryPath": "/(b|cc)",
            "example": "gateway.l402.test/b",
        },
    ),
    (
        either("/(a|b)", "/(b|c)", priority=1, host_pattern="*.l402.test"),
        "first_match_shadowed",
        {
            "primaryPriority": 1,
            "secondaryPriority": 10,
            "primaryPath": "/(a|b)",
            "secondaryPath": "/(b|c)",
            "primaryHost": "*.l402.test",
            "secondaryHost": "gateway.l402.test",
            "example": "gateway.l402.test/b",
        },
    ),
    (
        paywall("weather", path="/news/today"),
        "first_match_shadowed",
        {
            "primaryPriority": 5,
            "secondaryPriority": 10,
            "primaryPath": "/news/*",
            "secondaryPath": "/news/today",
            "primaryPaywallId": "pw_news",
            "primaryHost": "*.l402.test",
            "secondaryHost": "gateway.l402.test",
            "example": "gateway.l402.test/news/today",
        },
    ),
    (replace(paywall("weather"), routes=paywall("weather").routes * 2), "duplicate_rule_id", None),
    (
        paywall("weather", host_pattern=" "),
        "invalid_route_pattern",
        {"hostPattern": " ", "pathPattern": "/weather"},
    ),
    (paywall("weather", protocol="ftp"), "missing_route_protocol", {"protocol": "ftp"}),
    (paywall("weather", upstream_url=" "), "invalid_upstream_url", None),
    (paywall("weather", upstream_url="seller"), "invalid_upstream_url", {"upstreamUrl": "seller"}),
    (
        paywall("weather", upstream_url="http://seller.l402.test"),
        "invalid_upstream_url",
        {"upstreamUrl": "http://seller.l402.test", "routeProtocol": "https"},
    ),
    (
        paywall("weather", upstream_url="https://seller.l402.test/weather?key=secret"),
        "upstream_not_expressible",
        {"upstreamUrl": "https://seller.l402.test/weather?…", "pathPattern": "/weather", "part": "query"},
    ),
    *(
        (paywall("weather", upstream_url=url), "invalid_upstream_url", {"upstreamUrl": url})
        for url in ("https://1.2.3.", "https://seller.l402.test:65536")
    ),
    *(
        (paywall("weather", path=path), "unmatchable_pattern", {"pathPattern": path})
        for path in ("/a;b", "/a//b", "/x%20y")
    ),
    (
        paywall("weather", host_pattern="gateway.l402.test:65536"),
        "unmatchable_pattern",
        {"hostPattern": "gateway.l402.test:65536"},
    ),
    (paywall("weather", path="/(?=w)"), "pattern_not_re2", {"pathPattern": "/(?=w)"}),
    (paywall("weather", host_pattern="a b"), "unmatchable_pattern", {"hostPattern": "a b"}),
    (
        limited(allowed_hosts=("another.l402.test",)),
        "host_not_allowed",
        {"hostPattern": "gateway.l402.test", "allowedHosts": ["another.l402.test"]},
    ),
    (
        limited(blocked_hosts=("gateway.l402.test",)),
        "host_not_allowed",
        {"hostPattern": "gateway.l402.test", "blockedHost": "gateway.l402.test"},
    ),
)
ALLOWED = (
    (limited(max_per_request_msats=21_000), None),
    (lasting(1), None),
    (lasting(TEN_YEARS_S), None),
    (limited(allowed_hosts=("gateway.l402.test",), blocked_hosts=("another.l402.test",)), None),
    (paywall("weather", 10_000_000_000_000_000), None),
    (either("/(a|c)x", "/(b|d)y"), None),
    (paywall("weather", path="/news/*", priority=5), None),
    (paywall("weather", upstream_url="https://Seller.L402.test:65535"), None),
    (limited(quota_per_minute=1), "quota_not_enforced"),
    (either("/(a|b)", "/(b|c)", "g*.l402.test", priority=1, host_pattern="*.l402.test"), None),
    (paywall("weather", path="/a*b/*"), "suspicious_pattern"),
    (paywall("weather", path="/a(b/*"), "suspicious_pattern"),
)


def test_a_fault_is_diagnosed_and_nothing_is_compiled(l402_evidence: EvidenceCollector) -> None:
    compilations = [compile_paywalls((faulty, *FOR_SALE[1:])) for faulty, _, _ in FAULTY]
    found = [_diagnosed(number, compilation) for number, compilation in enumerate(compilations)]
    l402_evidence.record("diagnosed", *found)
    l402_evidence.record(
        "told",
        *(
            {**item.to_json(), "number": number, "details": item.to_json().get("details")}
            for number, compilation in enumerate(compilations)
            for item in compilation.diagnostics
        ),
    )
    l402_evidence.record("pulled", {"hashes": len({each.config_hash for each in compilations})})
    l402_evidence.verify(
        *(
            some_row("diagnosed", number=number, codes=code, paywallIds="pw_weather", errors=True).proves(
                "compile.diagnostics"
            )
            for number, (_, code, _) in enumerate(FAULTY)
        ),
        *(
            some_row("told", number=number, code=code, severity="error", details=details).proves(
                "compile.diagnostics"
            )
            for number, (_, code, details) in enumerate(FAULTY)
        ),
        no_row("told", witness="told", message="").proves("compile.diagnostics"),
        no_row("diagnosed", witness="diagnosed", valid=True).proves("compile.diagnostics"),
        # The hash is of what was pulled; how long a credential lasts, and host lists, have no part in it.
        result_shows("pulled", hashes=len(FAULTY) - 4).proves("compile.output"),
        same_in_every_row("diagnosed", "ruleCount", "bytes", "times").proves("compile.diagnostics"),
        some_row("diagnosed", times=1).proves("compile.diagnostics"),
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


CLOSED_AND_SOLD = (
    paywall("shop", path="/shop/*", status="paused"),
    paywall("open", path="/shop/open"),
    paywall("attic", path="/shop/attic/*", status="paused"),
    paywall("shelf", path="/shop/attic/x/*", priority=40),
    paywall("anywhere", path="/any", host_pattern="*", status="paused"),
    paywall("named", path="/any"),
    paywall("sub", path="/any", host_pattern="*.l402.test", priority=20),
    paywall("dear", path="/bread", status="paused"),
    paywall("cheap", 1_000, path="/bread", priority=30),
    paywall("late", path="/news/*", priority=50, status="paused"),
    paywall("early", path="/news/*", host_pattern="*.l402.test", priority=5),
    paywall("twin", path="/(y|z)", status="paused"),
    paywall("other", path="/(y|z)", priority=30),
    EVERYTHING_ELSE,
)
IN_THIS_ORDER = (
    *("early", "named", "open", "sub", "cheap", "other", "shelf"),
    *("closed.shop", "closed.attic", "closed.anywhere", "all"),
)


def test_what_is_closed_is_closed_before_others_sell_it(l402_evidence: EvidenceCollector) -> None:
    compilation = compile_paywalls(CLOSED_AND_SOLD)
    names = [service["name"] for service in _services(compilation)]
    told = [item for item in compilation.diagnostics if item.related_route_id is not None]
    l402_evidence.record("file", {"services": names, "valid": compilation.valid})
    l402_evidence.record(
        "told", {"of": [[each.code.value, each.route_id, each.related_route_id] for each in told]}
    )
    l402_evidence.verify(
        result_shows("file", valid=True, services=[_service_name(name) for name in IN_THIS_ORDER]).proves(
            "compile.not-for-sale"
        ),
        result_shows(
            "told",
            of=[
                ["route_sold_elsewhere", "route_dear", "route_cheap"],
                ["route_closed", "route_shop", "route_all"],
                ["route_closed", "route_attic", "route_all"],
                ["route_sold_elsewhere", "route_twin", "route_other"],
                ["route_closed", "route_anywhere", "route_all"],
                ["route_sold_elsewhere", "route_late", "route_early"],
            ],
        ).proves("compile.not-for-sale"),
    )


def test_what_sells_nothing_empties_a_gateway_only_if_that_is_meant(l402_evidence: EvidenceCollector) -> None:
    for table, given in (("all_paused", (paywall("weather", status="paused"),)), ("nothing", ())):
        compilation = compile_paywalls(given)
        told = [[item.code.value, item.severity.value] for item in compilation.diagnostics]
        file = compilation.aperture_yaml.splitlines()
        l402_evidence.record(table, {"valid": compilation.valid, "told": told, "file": file})
    l402_evidence.verify(
        result_shows(
            "all_paused",
            valid=True,
            told=[["not_for_sale", "warn"], ["no_compilable_routes", "warn"]],
            file=["services: []"],
        ).proves("compile.not-for-sale"),
        result_shows("nothing", valid=False, told=[["no_compilable_routes", "error"]], file=[]).proves(
            "compile.diagnostics"
        ),
    )


def _service_name(name: str) -> str:
    closed, dot, sold = name.rpartition(".")
    return f"{closed}{dot}pw_{sold}.route_{sold}"


def _row(compilation: Compilation) -> dict[str, object]:
    return {
        "configHash": compilation.config_hash,
        "ruleCount": compilation.rule_count,
        "valid": compilation.valid,
        "pulledHash": compilation.paywalls_hash,
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
        "times": len(compilation.diagnostics),
    }


def _taken(services: list[dict[str, Any]], host: str, path: str) -> str | None:
    """The first service of the file that takes a request, by the engine of regexps that Go has, too."""
    found = (
        str(each["name"])
        for each in services
        if re2.search(each["hostregexp"], host) and re2.search(each["pathregexp"], path)
    )
    return next(found, None)
