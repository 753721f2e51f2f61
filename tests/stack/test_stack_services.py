"""Services read like aperture.yaml: first match wins, and values that cannot work are refused at once."""

import pytest

from pytest_l402.harness.network import Request
from pytest_l402.stack.gateway.services import RateLimit, Service, decoded_path, match_service


def test_the_first_service_that_matches_host_and_path_wins():
    services = (
        Service("host-only", hostregexp=r"^a\.test$"),
        Service("path", hostregexp=r"\.test$", pathregexp="^/x"),
        Service("rest"),
    )
    assert [
        match_service(services, host, path).name
        for host, path in [("a.test", "/x"), ("b.test", "/x/y"), ("b.test", "/y"), ("c.org", "/x")]
    ] == ["host-only", "path", "rest", "rest"]
    assert match_service(services[:1], "b.test", "/") is None


def test_patterns_match_anywhere_unless_they_are_anchored():
    assert Service("s", pathregexp="/x").matches("h", "/a/x/b")
    assert not Service("s", pathregexp="^/x$").matches("h", "/x/b")


def test_the_end_of_a_pattern_is_the_end_of_the_path_as_it_is_to_aperture():
    service = Service("s", pathregexp=r"^/[$a\$]\$?$|^/b$", authwhitelistpaths=("^/free$",))
    assert [path for path in ("/b", "/$", "/a$", "/b\n", "/$\n", "/a$\n") if service.matches("h", path)] == [
        "/b",
        "/$",
        "/a$",
    ]
    assert not service.is_paid("/free")
    assert service.is_paid(decoded_path(Request("GET", "h", "/free%0A")))
    assert Service("s", pathregexp="(?m)^/b$").matches("h", "/b\n/c")


def test_the_path_is_matched_decoded_so_that_encoding_does_not_bypass_a_pattern():
    assert decoded_path(Request("GET", "h", "/%70aid/x")) == "/paid/x"
    assert decoded_path(Request("GET", "h", "/%2570aid")) == "/%70aid"


@pytest.mark.parametrize(
    ("target", "characters"),
    [("/%E2%82%AC", 1), ("/%FF", 1), ("/%E2%82", 2), ("/%ED%A0%80", 3), ("/%F0%9F%98x", 4)],
)
def test_a_byte_that_is_no_utf_8_is_one_character_to_a_pattern_as_it_is_to_go(target, characters):
    path = decoded_path(Request("GET", "h", target))
    for count in range(1, 5):
        assert Service("s", pathregexp=f"^/.{{{count}}}$").matches("h", path) == (count == characters)


def test_a_price_of_zero_means_one_sat():
    assert Service("s").price_msats == 1_000
    assert Service("s", price_msats=21_000).price_msats == 21_000


def test_the_names_in_records_follow_from_the_name_unless_they_are_given():
    derived = Service("premium")
    assert (derived.paywall_id, derived.owner_id, derived.route_id) == (
        "pw_premium",
        "owner_premium",
        "route_premium",
    )
    given = Service("premium", paywall_id="pw", owner_id="o", route_id="r")
    assert (given.paywall_id, given.owner_id, given.route_id) == ("pw", "o", "r")


def test_caveats_come_in_the_order_in_which_aperture_mints_them():
    service = Service("svc", 1, capabilities="a,b", constraints={"z": "1", "a": "2"}, timeout_s=60)
    assert service.caveats(1_000) == (
        b"services=svc:0",
        b"svc_capabilities=a,b",
        b"z=1",
        b"a=2",
        b"svc_valid_until=1060",
    )
    assert Service("svc", 1).caveats(1_000) == (b"services=svc:0", b"svc_capabilities=")


def test_without_a_price_a_credential_names_its_service_and_never_expires():
    service = Service("svc", capabilities="a", constraints={"z": "1"}, timeout_s=60)
    assert service.caveats(1_000) == (b"services=svc:0",)
    assert service.price_msats == 1_000


def test_auth_says_which_requests_are_paid():
    assert Service("s").is_paid("/")
    assert not Service("s", auth="off").is_paid("/")
    whitelisted = Service("s", authwhitelistpaths=("^/free",))
    assert (whitelisted.is_paid("/free/x"), whitelisted.is_paid("/paid")) == (False, True)
    assert (Service("s").freebies, Service("s", auth="freebie 3").freebies) == (0, 3)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"name": ""}, "name"),
        ({"name": "a:b"}, "name"),
        ({"price_msats": -1}, "price_msats"),
        ({"price_msats": 2**53}, "price_msats"),
        ({"constraints": {"a=b": "1"}}, "equals sign"),
        ({"timeout_s": -1}, "timeout_s"),
        ({"auth": "maybe"}, "'maybe'"),
        ({"auth": "freebie 0"}, "freebie"),
        ({"hostregexp": "("}, "hostregexp"),
        ({"pathregexp": "("}, "pathregexp"),
        ({"authwhitelistpaths": ("[",)}, "authwhitelistpaths"),
        ({"authskipinvoicecreationpaths": ("[",)}, "authskipinvoicecreationpaths"),
    ],
    ids=lambda value: next(iter(value)) + str(value[next(iter(value))]) if isinstance(value, dict) else None,
)
def test_values_that_cannot_work_are_named(values, text):
    with pytest.raises(ValueError, match=text):
        Service(**{"name": "s", **values})


@pytest.mark.parametrize("values", [{"requests": 0}, {"per_s": 0}, {"burst": -1}, {"pathregexp": "("}])
def test_rate_limits_that_cannot_work_are_named(values):
    with pytest.raises(ValueError, match="ratelimits"):
        RateLimit(**{"requests": 1, **values})


def test_a_service_cannot_be_changed_through_the_mapping_it_was_given():
    constraints = {"a": "1"}
    service = Service("s", 1, constraints=constraints)
    constraints["a"] = "2"
    assert b"a=1" in service.caveats(0)
