"""Somebody's own Aperture file on sale: who plays which role, how the copy differs, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.ops.aperture.decoding import decode
from pytest_l402.ops.aperture.lint import lint
from pytest_l402.ops.aperture.shape import FILE
from pytest_l402.ops.regexps import compiled, examples
from pytest_l402.stack import Stack
from pytest_l402.stack.aperture.casting import Named, UnsaleableError
from pytest_l402.stack.aperture.configuration import ELSEWHERE, Surroundings, changes, placed
from pytest_l402.stack.aperture.sold_file import LintedError, rehearsed_in, sold_by_file
from pytest_l402.stack.roles import NotRunError
from pytest_l402.stack.sold import Offer, Role, Sold

FILES = Path(__file__).parent / "aperture_files"
HERE = Surroundings(4711, {"wavelengthgateway": "http://127.0.0.1:1"}, "127.0.0.1:2")
PATH = Path("aperture.yaml")
SERVICE = {
    "name": "a",
    "pathregexp": "^/a$",
    "hostregexp": ".*",
    "address": "b:1",
    "protocol": "http",
    "price": 5,
}


def file_of(*services: dict[str, Any], **root: Any) -> str:
    return yaml.safe_dump({**root, "services": [{**SERVICE, **service} for service in services]})


def sold(text: str, named: dict[Role, Named] | None = None, **environment: str) -> Sold:
    return sold_by_file(text, PATH, environment, named)


def played(found: Sold) -> dict[str, str | None]:
    return {
        str(role): offer.resource if isinstance(offer, Offer) else None for role, offer in found.roles.items()
    }


@pytest.mark.parametrize(
    ("name", "roles", "host", "cap_msats"),
    [
        ("one-service", ["/v1/", None, "/v1/", None], "api.example.com", 500_000),
        (
            "shop",
            ["/v1/quotes/a", "https://reports.example.com/v1/report", "/v1/live/a", "/v1/catalogue"],
            "api.example.com",
            100_000,
        ),
        (
            "two-hosts",
            ["/v0/tiles/0/0", "https://routes.example.com:8443/v0/a", "/v0/tiles/0/0", None],
            "maps.example.com:8443",
            2_000,
        ),
        ("freebies", ["/archive/a", None, "/archive/a", None], "gateway.l402.test", 100_000),
        ("fragment", ["/search", "/bulk", "/search", "/status"], "shop.example", 100_000),
    ],
)
def test_roles_are_found_by_price_and_timeout(
    name: str, roles: list[str | None], host: str, cap_msats: int
) -> None:
    path = FILES / f"{name}.yaml"
    found = sold_by_file(path.read_text(), path, {})
    assert played(found) == dict(zip(("premium", "expensive", "expiring", "free"), roles, strict=True))
    assert (found.host, found.cap_msats) == (host, cap_msats)
    with Stack(sold=found) as stack, stack.online():
        assert {row["detail"] for row in stack.steady_state("before")} == {"ok"}
        bought = stack.executor.buy(found.premium.resource)
        assert (bought.status, bought.amount_msats) == ("paid", found.premium.price_msats)
        assert {row["key"] for row in stack.tables()["configuration_changes"]} >= {"services[0].address"}


def test_what_is_not_sold_at_a_port_is_not_served_at_one() -> None:
    told = re.escape("names a host as 127.0.0.1:8081, and aperture.yaml sells nothing there")
    with Stack(sold=sold((FILES / "shop.yaml").read_text())) as stack:  # noqa: SIM117
        with pytest.raises(NotRunError, match=told), stack.serve():
            pass
    with Stack(sold=sold((FILES / "freebies.yaml").read_text())) as stack, stack.serve() as served:
        assert httpx.get(f"{served.gateway_url}/archive/b", trust_env=False).status_code == 402


def test_the_copy_differs_in_what_is_told_and_in_nothing_else() -> None:
    text = (FILES / "shop.yaml").read_text()
    copy = placed(text, HERE)
    told = {change.key: (change.was, change.now) for change in changes(text, copy)}
    assert told["listenaddr"] == ("0.0.0.0:8081", "127.0.0.1:4711")
    assert told["postgres.password"] == ("withheld", None)
    assert told["services[2].tlscertpath"] == ("/certs/backend.pem", None)
    allowed = r"services\[\d\]\.(address|protocol|tlscertpath)|(authenticator|postgres|sqlite)\.\w+"
    plain = {*ELSEWHERE, "listenaddr", "insecure", "basedir", "dbbackend"}
    assert [key for key in told if key not in plain and not re.fullmatch(allowed, key)] == []
    assert changes(copy, placed(copy, HERE)) == ()
    assert [finding.code for finding in lint(copy) if finding.severity == "error"] == []


def test_what_is_not_changed_is_spelled_as_it_was() -> None:
    text = (
        "services:\n- {name: a, auth: on, price: 010, timeout: '060', headers: {X: !!str 1}, address: b:1}\n"
    )
    copy = placed(text, HERE)
    for spelled in ("auth: on", "price: 010", "timeout: '060'"):
        assert spelled in copy
    services = [decode(one, FILE).root.sections("services")[0] for one in (text, copy)]
    assert [one.values["price"] for one in services] == [8, 8]


def test_another_copy_of_the_file_has_another_digest() -> None:
    text = (FILES / "one-service.yaml").read_text()
    found = sold(text)
    again = rehearsed_in(found, text, placed(text, HERE))
    assert found.file
    assert again.file
    assert found.file.digest == again.file.digest
    assert found.file.digest_as_rehearsed != again.file.digest_as_rehearsed
    assert {"key": "listenaddr", "was": "0.0.0.0:8081", "is": "127.0.0.1:4711"} in again.file.changes
    assert found.strict_verify


def test_a_role_can_be_named_with_its_price() -> None:
    text = (FILES / "shop.yaml").read_text()
    found = sold(text, {Role.PREMIUM: Named("/v1/live/oslo", 35)})
    assert (found.premium.resource, found.premium.price_msats) == ("/v1/live/oslo", 35_000)
    assert found.expiring.resource == "/v1/live/oslo"
    elsewhere = sold(text, {Role.PREMIUM: Named("https://reports.example.com/v1/report")})
    assert elsewhere.premium.resource == "/v1/report"
    assert elsewhere.host == "reports.example.com"
    assert elsewhere.roles[Role.EXPENSIVE] == "no service costs more than /v1/report, which is premium"


@pytest.mark.parametrize(
    ("role", "resource", "said"),
    [
        ("premium", "/nope", "a path that a service answers for, saw premium=/nope; its services answer for"),
        ("premium", "https://nowhere.example/v1/report", "a path that a service answers for"),
        ("premium", "/v1/catalogue", "where 'catalogue' is free: its auth is off; name another"),
        ("free", "/v1/report", "a resource that can be free, saw free=/v1/report, where 'report' asks for a"),
        ("premium", "/v1/quotes/a/../b", "a path from / in plain characters"),
        ("premium", "/v1/quotes/a?b", "a path from / in plain characters"),
        ("premium", "/v1/\u00e9", "a path from / in plain characters"),
        ("premium", "/healthz", "a path from / in plain characters"),
        ("expensive", "/v1/quotes/a", "what is expensive to cost more than what is premium"),
    ],
)
def test_a_role_named_wrongly_is_one_line(role: str, resource: str, said: str) -> None:
    with pytest.raises(UnsaleableError, match=re.escape(said)) as error:
        sold((FILES / "shop.yaml").read_text(), {Role(role): Named(resource)})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"auth": "freebie 3"}, "gives 3 requests for free before it asks for a payment"),
        ({"authwhitelistpaths": ["^/a"]}, "is free: the path is among its authwhitelistpaths"),
        ({"authskipinvoicecreationpaths": ["^/a"]}, "sends no challenge"),
        ({"ratelimits": [{"requests": 4, "per": "1s"}]}, "lets 4 through at once"),
        ({"headers": {"AUTHORIZATION": "Bearer x"}}, "sends on a header AUTHORIZATION of its own"),
        ({"pathregexp": "^/[^a-z]$"}, "answers for no path that is known: name one with --l402-sold"),
    ],
)
def test_what_can_play_no_role_says_why(service: dict[str, Any], said: str) -> None:
    found = sold(file_of(service))
    assert said in str(found.roles[Role.PREMIUM])
    if "pathregexp" not in service:
        with pytest.raises(UnsaleableError, match=re.escape(said)):
            sold(file_of(service), {Role.PREMIUM: Named("/a")})
    else:
        assert sold(file_of(service), {Role.PREMIUM: Named("/0")}).premium.path == "/0"


def test_a_service_without_a_timeout_does_not_expire() -> None:
    with pytest.raises(UnsaleableError, match="has no timeout, so that its credentials never expire"):
        sold(file_of({}), {Role.EXPIRING: Named("/a")})


def test_one_path_for_each_service_and_one_host_for_each_path() -> None:
    two = file_of({"name": "a", "hostregexp": "^a$"}, {"name": "b", "hostregexp": "^b$", "price": 9})
    both = {Role.PREMIUM: Named("https://a/a"), Role.EXPENSIVE: Named("https://b/a")}
    with pytest.raises(UnsaleableError, match="expected paths that differ, saw one path at two hosts"):
        sold(two, both)
    wide = file_of({"pathregexp": "^/", "timeout": 60})
    with pytest.raises(UnsaleableError, match="one path for each service, saw two of one service"):
        sold(wide, {Role.PREMIUM: Named("/a"), Role.EXPIRING: Named("/b")})
    assert len(sold(two).offers) == 1


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (file_of({"price": None}), {"price-not-written"}),
        (file_of({"auth": "yes"}), {"gives-away"}),
        (file_of({"authwhitelistpaths": ["free"]}), {"gives-away"}),
        (file_of({"pathregexp": "^/("}), {"does-not-start"}),
        ("services: [", {"does-not-start"}),
        ("services: []\nservices: []\n", {"does-not-start"}),
        ("hello", {"does-not-start"}),
    ],
)
def test_a_file_with_errors_is_not_sold(text: str, codes: set[str]) -> None:
    with pytest.raises(LintedError) as error:
        sold(text)
    assert {finding.code for finding in error.value.errors} == codes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected at least one service, saw none"),
        (file_of(*({"name": f"s{number}"} for number in range(251))), "at most 250 services, saw 251"),
        (file_of({"headers": {"X": "${NOBODY_SETS_THIS}"}}), "NOBODY_SETS_THIS referenced in a service"),
        (file_of({"headers": {"X": "!file+hex:/nowhere/at/all"}}), "saw /nowhere/at/all: No such file"),
        (file_of({"dynamicprice": {"enabled": True}}), "dynamicprice.enabled: expected false; prices are"),
        (file_of({"authscheme": "mpp"}), "authscheme: expected l402; the Payment scheme is not played here"),
        (
            file_of(
                {},
                authenticator={"enablempp": True, "lndhost": "a:1", "tlspath": "b", "macdir": "c"},
                listenaddr=":1",
                dbbackend="sqlite",
            ),
            "authenticator.enablempp: expected false",
        ),
    ],
)
def test_what_cannot_be_rehearsed_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UnsaleableError, match=re.escape(said)) as error:
        sold(text)
    assert "\n" not in str(error.value)
    assert "; " in str(error.value)


def test_what_headers_name_is_taken_from_the_environment() -> None:
    assert sold(file_of({"headers": {"X": "${KEY}"}}), KEY="abc").premium.path == "/a"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", ""),
        ("^/v1/", "/v1/"),
        ("^/v1/[^/]+$", "/v1/a"),
        ("^/v1/(quotes|rates)/[a-z]+$", "/v1/quotes/a"),
        ("^/users/[0-9]{4}/.*$", "/users/0000/a"),
        ("^/pkg.Service/Do.*$", "/pkg.Service/Doa"),
        (r"^api\.example\.com(:[0-9]+)?$", "api.example.com"),
        (r"^.*\.example\.com$", "a.example.com"),
    ],
)
def test_an_example_of_a_pattern_is_made_of_letters(pattern: str, text: str) -> None:
    assert next(examples(pattern)) == text


@given(
    st.lists(st.sampled_from(["a", "/", ".", "[^/]", "*", "+", "?", "(b|c)", r"\d", "$", "^"]), max_size=6)
)
def test_every_example_matches(parts: list[str]) -> None:
    pattern = "".join(parts)
    try:
        found = compiled(pattern)
    except ValueError:
        return
    assert all(found.search(text) for text in examples(pattern))
