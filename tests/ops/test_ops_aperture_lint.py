"""What the linter says of Aperture's file: as recorded of a real Aperture, and by each kind of hazard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from test_ops_compile_properties import ORDERED

from pytest_l402.ops.aperture.decoding import Place, decode
from pytest_l402.ops.aperture.finding import CODES
from pytest_l402.ops.aperture.lint import lint
from pytest_l402.ops.aperture.shape import FILE
from pytest_l402.ops.aperture.starting import prevented
from pytest_l402.ops.compile.compilation import compile_paywalls

CASES = json.loads((Path(__file__).parent / "vectors/aperture-config.json").read_text())["cases"]
GOOD = {
    "name": "'s'",
    "hostregexp": r"'^svc\.test(:[0-9]+)?$'",
    "pathregexp": "'^/p'",
    "address": "'127.0.0.1:8080'",
    "protocol": "http",
    "auth": "'on'",
    "price": "5",
    "timeout": "60",
}


def service(*, without: str = "", **fields: str) -> str:
    entries = {key: value for key, value in (GOOD | fields).items() if key != without}
    return "- " + "\n  ".join(f"{key}: {value}" for key, value in entries.items())


def fragment(*services: str) -> str:
    return "services:\n" + "\n".join(services) + "\n"


def whole(*services: str, **root: str) -> str:
    settings = {
        "listenaddr": "'127.0.0.1:8081'",
        "dbbackend": "sqlite",
        "authenticator": "{wavelengthgateway: 'http://127.0.0.1:1'}",
    }
    lines = [f"{key}: {value}" for key, value in (settings | root).items() if value]
    return "\n".join(lines) + "\n" + fragment(*(services or [service()]))


def codes(text: str, path: Path | None = None) -> list[str]:
    return [finding.code for finding in lint(text, path)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_as_a_real_aperture_was_seen(case: dict[str, object]) -> None:
    text = str(case["yaml"]).replace("BACKEND", "8080")
    found = lint(text)
    severities = {finding.severity.value for finding in found}
    worst = "error" if "error" in severities else "warning" if severities else "sound"
    assert worst == case.get("lint", worst)
    starts = not list(prevented(decode(text, FILE), {}))
    # A file that a header names is read when the gateway starts, and by nobody before.
    assert starts is (case["starts"] or case["name"] == "headers file missing")


HAZARDS = {
    "not-yaml": ("services: [", "does-not-start"),
    "key-twice": (fragment(service() + "\n  price: 6"), "does-not-start"),
    "deep": ("services: " + "[" * 100_000 + "]" * 100_000, "does-not-start"),
    "freebie-without-number": (fragment(service(auth="freebie")), "does-not-start"),
    "debug-level": (whole(debuglevel="loud"), "does-not-start"),
    "read-timeout": (whole(readtimeout="15"), "does-not-start"),
    "no-invoices": (whole(authenticator="{network: regtest}"), "does-not-start"),
    "lnd-without-certificate": (whole(authenticator="{lndhost: 'a:1', macdir: /m}"), "does-not-start"),
    "strict-with-wavelength": (whole(strictverify="true"), "does-not-start"),
    "no-port": (whole(listenaddr="localhost"), "does-not-start"),
    "backend": (whole(dbbackend="sqllite"), "does-not-start"),
    "etcd-by-default": (whole(dbbackend=""), "hangs"),
    "services-in-capitals": (whole().replace("services:", "Services:"), "key-not-read"),
    "service-key-in-capitals": (fragment(service(without="price", Price="5")), "key-not-read"),
    "prefix-misspelt": (fragment(service(rewrite="{prefx: /v1}")), "key-not-read"),
    "auth-of-no-word": (fragment(service(auth="yes")), "gives-away"),
    "whitelist-in-the-middle": (fragment(service(authwhitelistpaths="['/free']")), "gives-away"),
    "price-missing": (fragment(service(without="price")), "price-not-written"),
    "price-0": (fragment(service(price="0")), "price-not-written"),
    "price-of-freebie": (fragment(service(auth="'freebie 3'", without="price")), "price-not-written"),
    "timeout-beside-price-0": (fragment(service(price="0", timeout="60")), "never-expires"),
    "timeout-below-0": (fragment(service(timeout="-5")), "never-expires"),
    "colon": (fragment(service(name="'a:b'")), "refuses-the-buyer"),
    "another-service": (fragment(service(constraints="{services: 't:0'}")), "refuses-the-buyer"),
    "burst-below-0": (
        fragment(service(ratelimits="[{requests: 1, per: 1s, burst: -1}]")),
        "refuses-the-buyer",
    ),
    "address-with-scheme": (fragment(service(address="'http://svc.test'")), "cannot-deliver"),
    "address-empty": (fragment(service(address="''")), "cannot-deliver"),
    "protocol-in-capitals": (fragment(service(protocol="HTTP")), "cannot-deliver"),
    "protocol-missing": (fragment(service(without="protocol")), "cannot-deliver"),
    "sells-nothing": (whole().split("services:")[0], "cannot-deliver"),
    "name-missing": (fragment(service(without="name")), "cannot-challenge"),
    "authenticator-disabled": (
        whole(authenticator="{disable: true}"),
        "cannot-challenge",
    ),
    "behind-all-paths": (fragment(service(name="a", pathregexp="'^/'"), service()), "never-reached"),
    "behind-a-beginning": (fragment(service(name="a"), service(pathregexp="'^/p/x$'")), "never-reached"),
    "behind-all-hosts": (fragment(service(name="a", hostregexp="'.*'"), service()), "never-reached"),
    "behind-a-regexp": (
        fragment(service(name="a", pathregexp="'^/p/[a-z]+$'"), service(pathregexp="'^/p/x$'")),
        "never-reached",
    ),
    "network-in-blocklist": (whole(blocklist="['10.0.0.1', '10.0.0.0/8']"), "blocks-nobody"),
    "name-in-blocklist": (whole(blocklist="[evil.test]"), "blocks-nobody"),
    "scheme": (fragment(service(authscheme="lsat")), "scheme-not-known"),
    "path-missing": (fragment(service(without="pathregexp")), "path-not-anchored"),
    "path-in-the-middle": (fragment(service(pathregexp="'/p'")), "path-not-anchored"),
    "host-missing": (fragment(service(without="hostregexp")), "host-not-bound"),
    "host-without-port": (fragment(service(hostregexp=r"'^svc\.test$'")), "host-not-bound"),
    "host-in-capitals": (fragment(service(hostregexp=r"'^SVC\.test(:[0-9]+)?$'")), "host-not-bound"),
    "octal": (fragment(service(price="010")), "price-misread"),
    "fraction": (fragment(service(price="5.5")), "price-misread"),
    "timeout-of-nothing": (fragment(service(timeout="")), "no-timeout"),
    "freebie-0": (fragment(service(auth="'freebie 0'")), "freebies-not-given"),
    "freebie-and-skipped": (
        fragment(service(auth="'freebie 1'", authskipinvoicecreationpaths="['^/p/x']")),
        "freebies-not-given",
    ),
    "limits-behind-freebies": (
        fragment(service(auth="'freebie 1'", ratelimits="[{requests: 1, per: 1s}]")),
        "limits-not-held",
    ),
    "name-twice": (fragment(service(), service(pathregexp="'^/q'")), "name-twice"),
    "dbfile": (whole(sqlite="{dbfile: /x/aperture.db}"), "database-elsewhere"),
    "environment": (fragment(service(headers="{Authorization: 'Bearer ${KEY}'}")), "environment-needed"),
}


@pytest.mark.parametrize(("text", "code"), HAZARDS.values(), ids=HAZARDS)
def test_each_hazard_is_found(text: str, code: str) -> None:
    found = lint(text)
    assert code in {finding.code for finding in found}
    for finding in found:
        assert finding.says
        assert finding.remedy
        assert finding.place >= Place(1, 1)


def test_each_code_has_a_hazard() -> None:
    assert {code for _, code in HAZARDS.values()} | {"serves-its-own-files"} == set(CODES)


def test_the_file_and_the_database_are_not_served(tmp_path: Path) -> None:
    path = tmp_path / "etc/aperture.yaml"
    for root, database, found in (
        (".", "/var/aperture.db", ["this file"]),
        ("../data", "../data/aperture.db", ["the database with all root keys"]),
        ("static", "/var/aperture.db", []),
    ):
        text = whole(servestatic="true", staticroot=f"'{root}'", sqlite=f"{{databasefilename: '{database}'}}")
        said = [finding.subject for finding in lint(text, path) if finding.code == "serves-its-own-files"]
        assert said == found


def test_a_place_is_that_of_the_entry() -> None:
    text = whole(blocklist="\n- 10.0.0.1\n- 10.0.0.0/8")
    [finding] = lint(text)
    assert text.splitlines()[finding.place.line - 1][finding.place.column - 1 :] == "10.0.0.0/8"


def test_the_closest_key_is_named() -> None:
    for key, meant in (("Price", "price"), ("pathregex", "pathregexp"), ("rate_limits", "ratelimits")):
        said = [one for one in lint(fragment(service(**{key: "5"}))) if one.code == "key-not-read"]
        assert [one.remedy for one in said] == [f"write {meant}"]


CAREFUL = {
    "one-api": whole(service(), strictverify="false", insecure="true"),
    "lnd": whole(
        service(hostregexp=r"'(?i)^api\.example\.com(?::\d+)?$'", address="api.internal", protocol="https"),
        authenticator="{network: mainnet, lndhost: 'lnd:10009', tlspath: /t, macdir: /m}",
        strictverify="true",
        sqlite="{databasefilename: /var/lib/aperture/aperture.db}",
    ),
    "free-beside-paid": fragment(
        service(name="health", auth="'off'", without="price", pathregexp="'^/healthz$'"),
        service(name="catalogue", auth="'off'", without="price", pathregexp="'^/catalogue(/|$)'"),
        service(name="paid", pathregexp="'^/v1/'", authwhitelistpaths=r"['^/v1/status$']"),
    ),
    "tiers": fragment(
        service(name="premium", pathregexp="'^/v1/premium/'", price="500", capabilities="'read,write'"),
        service(name="basic", pathregexp="'^/v1/'", price="5", ratelimits="[{requests: 10, per: 1m}]"),
    ),
    "freebies": whole(
        service(auth="'freebie 3'", rewrite="{prefix: /internal/v2}", headers="{X-From: aperture}"),
        staticroot="/var/www",
        servestatic="true",
        blocklist="['203.0.113.7', '2001:db8::1']",
        debuglevel="info",
        logging="{console: {disable: true}}",
    ),
}


@pytest.mark.parametrize("text", CAREFUL.values(), ids=CAREFUL)
def test_nothing_is_said_of_a_careful_file(text: str) -> None:
    assert lint(text) == ()


@given(ORDERED)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_what_compile_writes_is_sound(shop: list[object]) -> None:
    compiled = compile_paywalls(shop)  # type: ignore[arg-type]
    if compiled.valid:
        assert lint(compiled.aperture_yaml) == ()
