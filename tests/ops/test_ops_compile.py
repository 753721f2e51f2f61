"""The compiler: every diagnostic with its rule, the golden file, and what a valid compilation carries."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from ops_paywalls import ApertureFile, codes, errors, on_path, paywall, route

from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.decode_paywalls import decode_paywalls
from pytest_l402.ops.compile.diagnostics import DiagnosticCode, Severity
from pytest_l402.ops.compile.hashes import paywalls_hash
from pytest_l402.ops.compile.paywall import PaywallStatus

VECTORS = Path(__file__).parent / "vectors"
ORIGINAL = decode_paywalls(json.loads((VECTORS / "ops-paywalls.json").read_text()))


def only(compilation):
    (found,) = [
        item for item in compilation.diagnostics if item.code is not DiagnosticCode.NO_COMPILABLE_ROUTES
    ]
    return found.to_json()


# The hash of the paywalls as they were pulled


def test_the_paywalls_hash_is_the_original_tools():
    assert paywalls_hash(ORIGINAL) == "cfg_a86442566e4dd01ae9f8584243ebe5e0b153963a32551b099bfb04efb9fa0b98"
    assert paywalls_hash([]) == "cfg_4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_the_paywalls_hash_sees_what_the_compiler_reads_and_nothing_else():
    one = paywall()
    assert paywalls_hash([one]) != paywalls_hash([replace(one, status=PaywallStatus.PAUSED)])
    assert paywalls_hash([one]) == paywalls_hash([replace(one, name="other", updated_at_ms=9)])
    assert paywalls_hash([paywall("a"), paywall("b")]) != paywalls_hash([paywall("b"), paywall("a")])
    assert paywalls_hash([paywall(msats=2500.0)]) == paywalls_hash([paywall(msats=2500)])
    assert paywalls_hash([paywall(msats=float("nan"))]) != paywalls_hash([paywall(msats=0)])


# Valid


def test_the_golden_file():
    shop = decode_paywalls(json.loads((VECTORS / "ops-golden-paywalls.json").read_text()))
    compiled = compile_paywalls(shop)
    golden = (VECTORS / "ops-golden-aperture.yaml").read_bytes()
    assert compiled.aperture_yaml.encode() == golden
    assert compiled.config_hash == "cfg_" + hashlib.sha256(golden).hexdigest()
    assert compiled.valid
    assert compiled.rule_count == len(compiled.rules) == 5
    assert codes(compiled) == ["not_for_sale", "route_closed"]


def test_what_the_smoke_command_prints():
    printed = compile_paywalls([on_path("pw", "/x", quota_per_day=5)]).to_json()
    assert list(printed) == ["configHash", "ruleCount", "valid", "diagnostics"]
    assert (printed["ruleCount"], printed["valid"]) == (1, True)
    assert printed["diagnostics"] == [
        {
            "code": "quota_not_enforced",
            "severity": "warn",
            "message": "quotas are not in the file, as Aperture limits single tokens: "
            "they stay with the control plane",
            "paywallId": "pw",
            "details": {"quotaPerDay": 5},
        }
    ]
    json.dumps(printed)


def test_rules_stand_in_order_of_priority_then_specificity_then_code_points():
    compiled = compile_paywalls(
        [
            on_path("late", "/a", priority=20),
            on_path("any", "/h", host="*"),
            on_path("wild", "/e", host="*.c.com"),
            on_path("regexp", "/f[0-9]"),
            on_path("prefix", "/g/*"),
            on_path("small", "/z"),
            on_path("big", "/Z"),
        ]
    )
    assert compiled.valid
    assert [rule.paywall_id for rule in compiled.rules] == [
        "big",
        "small",
        "prefix",
        "regexp",
        "wild",
        "any",
        "late",
    ]


def test_a_rule_says_what_is_sold_and_what_the_file_cannot_say():
    (rule,) = compile_paywalls([paywall(metadata={"tokenValiditySeconds": 60})]).rules
    assert (rule.price_sats, rule.token_validity_s, rule.seller_timeout_ms) == (21, 60, 8_000)
    assert rule.id == "pw:r"
    assert rule.matches("A.com:1", "/x")
    assert not rule.matches("a.com", "/xy")
    (defaulted,) = compile_paywalls([paywall("pw", route(timeout_ms=0))], token_validity_s=7).rules
    assert (defaulted.token_validity_s, defaulted.seller_timeout_ms) == (7, 15_000)


@pytest.mark.parametrize("validity", [0, -1, 10**12])
def test_a_validity_that_no_token_can_have_is_refused(validity):
    with pytest.raises(ValueError, match="token_validity_s: expected 1 to"):
        compile_paywalls([paywall()], token_validity_s=validity)


# The nine codes


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (
            paywall(pricing_mode="dynamic"),
            {
                "code": "invalid_pricing_mode",
                "severity": "error",
                "message": "Only fixed pricing mode is supported in Phase 2A",
                "paywallId": "pw",
                "details": {"pricingMode": "dynamic"},
            },
        ),
        (
            paywall(msats=0),
            {
                "code": "missing_pricing",
                "severity": "error",
                "message": "fixedAmountMsats must be greater than zero",
                "paywallId": "pw",
                "details": {"fixedAmountMsats": 0},
            },
        ),
        (
            paywall("pw", route(host=" ", path=" p ", protocol="ftp", upstream="")),
            {
                "code": "invalid_route_pattern",
                "severity": "error",
                "message": "hostPattern and pathPattern must be non-empty",
                "paywallId": "pw",
                "routeId": "r",
                "details": {"hostPattern": " ", "pathPattern": " p "},
            },
        ),
        (
            paywall("pw", route(protocol="HTTPS", upstream="")),
            {
                "code": "missing_route_protocol",
                "severity": "error",
                "message": "route protocol must be http or https",
                "paywallId": "pw",
                "routeId": "r",
                "details": {"protocol": "HTTPS"},
            },
        ),
        (
            paywall("pw", route(upstream=" ")),
            {
                "code": "invalid_upstream_url",
                "severity": "error",
                "message": "upstreamUrl must be non-empty",
                "paywallId": "pw",
                "routeId": "r",
            },
        ),
        (
            paywall("pw", route(upstream="https://a b")),
            {
                "code": "invalid_upstream_url",
                "severity": "error",
                "message": "upstreamUrl must be a valid URL",
                "paywallId": "pw",
                "routeId": "r",
                "details": {"upstreamUrl": "https://a b"},
            },
        ),
        (
            paywall("pw", route(upstream="http://h")),
            {
                "code": "invalid_upstream_url",
                "severity": "error",
                "message": "upstreamUrl protocol must match route protocol",
                "paywallId": "pw",
                "routeId": "r",
                "details": {"upstreamUrl": "http://h", "routeProtocol": "https"},
            },
        ),
    ],
)
def test_findings_on_one_paywall_are_the_original_tools(bad, expected):
    compiled = compile_paywalls([bad])
    assert only(compiled) == expected
    assert codes(compiled)[-1] == "no_compilable_routes"
    assert (compiled.valid, compiled.rule_count, compiled.rules, compiled.aperture_yaml) == (False, 0, (), "")
    assert compiled.config_hash == compiled.paywalls_hash == paywalls_hash([bad])


def test_one_bad_paywall_keeps_all_from_being_emitted():
    compiled = compile_paywalls([paywall("good"), paywall("bad", msats=-1)])
    assert codes(compiled) == ["missing_pricing"]
    assert not compiled.valid


def test_an_amount_that_is_no_number_is_reported_as_json():
    found = only(compile_paywalls([paywall(msats=float("inf"))]))
    assert found["details"] == {"fixedAmountMsats": "inf"}


def test_nothing_at_all_is_an_error_and_all_paused_is_not():
    empty = compile_paywalls([])
    assert codes(empty) == ["no_compilable_routes"]
    assert empty.diagnostics[0].to_json() == {
        "code": "no_compilable_routes",
        "severity": "error",
        "message": "No valid routes available to compile",
    }
    # An invalid compilation would leave the old configuration selling what was just paused.
    paused = compile_paywalls([paywall(status=PaywallStatus.PAUSED)])
    assert codes(paused) == ["not_for_sale", "no_compilable_routes"]
    assert (paused.valid, paused.rule_count, paused.aperture_yaml) == (True, 0, "services: []\n")
    broken = compile_paywalls([paywall("a", status=PaywallStatus.PAUSED), paywall("b", msats=0)])
    assert not broken.valid


def test_duplicates_are_reported_on_the_later_rule():
    found = only(compile_paywalls([on_path("a", "/x", priority=5), on_path("b", " x ", host="A.COM")]))
    assert found == {
        "code": "duplicate_route",
        "severity": "error",
        "message": "Duplicate host/path rule detected (a.com::/x)",
        "paywallId": "b",
        "routeId": "r",
    }


def test_an_order_that_nobody_chose_is_ambiguous():
    found = only(compile_paywalls([on_path("a", "/v[0-9]+"), on_path("b", "/v1|/v12")]))
    assert found == {
        "code": "ambiguous_route",
        "severity": "error",
        "message": "Ambiguous overlapping routes for host a.com",
        "paywallId": "a",
        "routeId": "r",
        "relatedRouteId": "r",
        "details": {
            "primaryPath": "/v1|/v12",
            "secondaryPath": "/v[0-9]+",
            "primaryPaywallId": "b",
            "example": "a.com/v1",
        },
    }


def test_a_rule_behind_a_more_general_one_is_shadowed():
    found = only(compile_paywalls([on_path("a", "/api/*", priority=1), on_path("b", "/api/x", priority=2)]))
    assert found["code"] == "first_match_shadowed"
    assert found["message"] == "Route b:r is shadowed by earlier first-match rule a:r"
    assert (found["paywallId"], found["relatedRouteId"]) == ("b", "r")
    assert found["details"]["primaryPriority"] == 1
    assert found["details"]["secondaryPriority"] == 2
    assert found["details"]["example"] == "a.com/api/x"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # As the original: one host.
        (("/api/*", 10), ("/api/x/*", 10), ["ambiguous_route", "first_match_shadowed"]),
        (("/", 10), ("/*", 10), ["ambiguous_route", "first_match_shadowed"]),
        (("/api/*", 10), ("/api", 10), []),
        (("/api/*", 10), ("/api/x", 10), []),
        (("/", 20), ("/api/*", 10), []),
        (("/", 10), ("/api/*", 20), ["first_match_shadowed"]),
        (("/v[0-9]", 10), ("/v/*", 20), []),
        (("/v.*", 10), ("/v/*", 20), ["first_match_shadowed"]),
        (("/v/*", 10), ("/v.*", 20), []),
        # Beyond the original: nothing is left for the later rule, though it is not the more specific one.
        (("/v/*", 10), ("/v/[0-9]+", 20), ["first_match_shadowed"]),
        (("/*", 10), ("/", 20), ["first_match_shadowed"]),
        # Two regexps that no path matches both do not overlap.
        (("/v[0-9]+/a", 10), ("/v[0-9]+/b", 10), []),
        (("/(?i:V)1", 10), ("/V1", 5), []),
        (("/(?i:V)1", 5), ("/V1", 10), ["first_match_shadowed"]),
    ],
)
def test_the_order_of_two_rules_on_one_host(first, second, expected):
    compiled = compile_paywalls(
        [on_path("a", first[0], priority=first[1]), on_path("b", second[0], priority=second[1])]
    )
    assert codes(compiled) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("*", "/x", 1), ("a.com", "/x", 2), ["first_match_shadowed"]),
        (("*", "/*", 1), ("a.com", "/x", 2), ["first_match_shadowed"]),
        (("a.com", "/x", 1), ("*", "/x", 1), []),
        (("a.com", "/x", 1), ("*", "/x", 2), []),
        # Each is the more specific in one of the two: the priority has to say which is meant.
        (("a.com", "/", 1), ("*", "/x", 1), ["ambiguous_route"]),
        (("a.com", "/", 1), ("*", "/x", 2), []),
        (("*.com", "/x", 1), ("a.*", "/x", 1), ["ambiguous_route"]),
        (("*.com", "/x", 1), ("*.a.com", "/x", 2), ["first_match_shadowed"]),
        (("*.a.com", "/x", 1), ("*.com", "/x", 2), []),
        (("*.b.com", "/x", 1), ("a.com", "/x", 1), []),
        (("a.com", "/x", 1), ("a.com:8443", "/x", 1), ["ambiguous_route", "first_match_shadowed"]),
        (("a.com:8443", "/x", 1), ("a.com:8444", "/x", 1), []),
        (("(a|b)[.]com", "/x", 1), ("a.com", "/x", 2), ["first_match_shadowed"]),
    ],
)
def test_wildcard_hosts_are_compared_by_the_hosts_they_match(first, second, expected):
    compiled = compile_paywalls(
        [
            on_path("a", first[1], host=first[0], priority=first[2]),
            on_path("b", second[1], host=second[0], priority=second[2]),
        ]
    )
    assert codes(compiled) == expected


# What Aperture cannot do


def test_the_original_paywalls_cannot_be_sold_by_aperture_and_it_is_said_why():
    compiled = compile_paywalls(ORIGINAL)
    assert errors(compiled) == ["fractional_sats", "upstream_not_expressible"] * 2 + ["no_compilable_routes"]
    assert compiled.config_hash == paywalls_hash(ORIGINAL)


@pytest.mark.parametrize(
    ("bad", "code", "detail"),
    [
        (paywall(msats=2_500), "fractional_sats", "2.5 sats; set 2000 or 3000"),
        (paywall(msats=999), "fractional_sats", "set 1000 or 1000"),
        (paywall(msats=10**13 * 1000 + 1000), "price_too_high", "at most 10000000000000 sats"),
        (paywall(msats=2_000, max_per_request_msats=1_000), "price_over_cap", "2000 > 1000"),
        (paywall(metadata={"tokenValiditySeconds": "60"}), "invalid_token_validity", "whole seconds"),
        (paywall(metadata={"tokenValiditySeconds": True}), "invalid_token_validity", "whole seconds"),
        (
            paywall("pw", route(path="/a(?=b)")),
            "pattern_not_re2",
            r"pathPattern must .* invalid perl operator: \(\?=",
        ),
        (paywall("pw", route(host="(?!a).*")), "pattern_not_re2", "hostPattern .* invalid perl operator"),
        (paywall("pw", route(path="/a%20b")), "unmatchable_pattern", "decoded path"),
        (paywall("pw", route(host="bücher.de")), "unmatchable_pattern", "xn--"),
        (paywall("pw", route(upstream="https://h/other")), "upstream_not_expressible", "not replace it"),
        (paywall("pw", route(upstream="https://h/x?k=1")), "upstream_not_expressible", "query"),
        (paywall(allowed_hosts=("b.com",)), "host_not_allowed", "allowedHosts"),
        (paywall("pw", route(host="*"), allowed_hosts=("a.com",)), "host_not_allowed", "allowedHosts"),
        (paywall("pw", route(host="*"), blocked_hosts=("a.com",)), "host_not_allowed", "blocked host"),
        (paywall(blocked_hosts=("(?!x)",)), "host_not_allowed", "blocked host"),
    ],
)
def test_what_aperture_cannot_do_is_an_error(bad, code, detail):
    compiled = compile_paywalls([bad])
    (found,) = [item for item in compiled.diagnostics if item.code == code]
    assert found.severity is Severity.ERROR
    assert re.search(detail, found.message)
    assert not compiled.valid


def test_hosts_within_the_paywalls_own_lists_are_sold():
    kept = paywall("pw", route(host="*.a.com"), allowed_hosts=("*.A.com", "b.com"), blocked_hosts=("b.com",))
    assert codes(compile_paywalls([kept])) == []


def test_a_rule_id_used_twice_is_an_error():
    twice = compile_paywalls([paywall("pw", route(path="/a"), route(path="/b"))])
    assert codes(twice) == ["duplicate_rule_id"]
    assert codes(compile_paywalls([paywall("pw"), on_path("pw", "/b")])) == ["duplicate_rule_id"]


def test_a_suspicious_pattern_is_sold_with_a_warning():
    compiled = compile_paywalls([on_path("pw", "/api/*/x")])
    assert (compiled.valid, codes(compiled)) == (True, ["suspicious_pattern"])


def test_no_diagnostic_repeats_a_credential_of_the_upstream():
    compiled = compile_paywalls([paywall("pw", route(upstream="https://u:CANARY@h/x?key=CANARY"))])
    assert "CANARY" not in json.dumps(compiled.to_json())


# Not for sale


@pytest.mark.parametrize(
    "stopped",
    [
        paywall("stopped", status=PaywallStatus.PAUSED),
        paywall("stopped", status=PaywallStatus.ARCHIVED),
        paywall("stopped", kill_switch=True),
    ],
)
def test_what_is_not_for_sale_is_not_in_the_file(stopped):
    compiled = compile_paywalls([stopped, on_path("other", "/other")])
    assert compiled.valid
    assert [rule.paywall_id for rule in compiled.rules] == ["other"]
    assert ApertureFile(compiled.aperture_yaml).pick("a.com", "/x") is None
    assert codes(compiled) == ["not_for_sale"]


def test_a_broken_paywall_that_is_paused_does_not_keep_the_others_from_being_sold():
    bad = paywall("bad", route(path="/(?=a)"), msats=0, status=PaywallStatus.PAUSED)
    compiled = compile_paywalls([bad, on_path("good", "/good")])
    assert compiled.valid
    assert codes(compiled) == ["not_for_sale", "pattern_not_re2"]


PAUSED = on_path("paused", "/api/x", status=PaywallStatus.PAUSED)


def test_a_paused_route_is_held_closed_before_a_rule_that_would_inherit_it():
    compiled = compile_paywalls([PAUSED, on_path("all", "/", priority=90), on_path("near", "/api/y")])
    aperture = ApertureFile(compiled.aperture_yaml)
    closed = aperture.pick("a.com", "/api/x")
    assert closed["name"] == "closed.paused.r"
    assert closed["auth"] == "on"
    assert closed["authskipinvoicecreationpaths"] == ["^"]
    assert "price" not in closed
    assert aperture.pick("a.com", "/api/y")["name"] == "near.r"
    assert aperture.pick("a.com", "/api/z")["name"] == "all.r"
    assert (compiled.rule_count, len(compiled.closed)) == (2, 1)
    closing = compiled.diagnostics[-1].to_json()
    assert closing["code"] == "route_closed"
    assert (closing["severity"], closing["relatedRouteId"]) == ("warn", "r")
    assert closing["details"] == {"service": "closed.paused.r", "example": "a.com/api/x"}


@pytest.mark.parametrize(
    "other", [on_path("new", "/api/x", priority=50), on_path("new", "/api/x", priority=1)]
)
def test_a_rule_for_the_very_same_requests_takes_over_and_it_is_said(other):
    compiled = compile_paywalls([PAUSED, other])
    assert compiled.closed == ()
    assert codes(compiled) == ["not_for_sale", "route_sold_elsewhere"]
    assert ApertureFile(compiled.aperture_yaml).pick("a.com", "/api/x")["name"] == "new.r"


def test_a_general_rule_that_came_first_already_sells_and_it_is_said():
    compiled = compile_paywalls([PAUSED, on_path("all", "/", priority=1)])
    assert compiled.closed == ()
    assert codes(compiled) == ["not_for_sale", "route_sold_elsewhere"]


def test_a_rule_within_a_paused_route_sells_in_its_own_right():
    wide = on_path("wide", "/api/*", status=PaywallStatus.PAUSED)
    compiled = compile_paywalls(
        [wide, on_path("near", "/api/x", priority=20), on_path("all", "/", priority=90)]
    )
    aperture = ApertureFile(compiled.aperture_yaml)
    assert aperture.pick("a.com", "/api/x")["name"] == "near.r"
    assert aperture.pick("a.com", "/api/y")["name"] == "closed.wide.r"
    assert codes(compiled) == ["not_for_sale", "route_closed"]


def test_a_rule_that_a_closed_route_cuts_off_is_named():
    wide = on_path("wide", "/api/*", host="*", priority=5, status=PaywallStatus.PAUSED)
    heir = on_path("heir", "/", host="b.com", priority=10)
    near = on_path("near", "/api/x", host="a.com", priority=20)
    compiled = compile_paywalls([wide, heir, near])
    assert codes(compiled) == ["not_for_sale", "first_match_shadowed", "route_closed"]
    assert compiled.valid
