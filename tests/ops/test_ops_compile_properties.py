"""Laws of the compiler: any order gives the same bytes, no request is sold in an order nobody chose."""

import itertools
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ops_paywalls import ApertureFile, on_path, paywall, route

from pytest_l402.ops.compile.aperture_writer import service_of
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.overlaps import find_overlaps
from pytest_l402.ops.compile.paywall import PaywallStatus
from pytest_l402.ops.compile.rules import ClosedRoute

HOSTS = st.sampled_from(
    ["*", "a.com", "b.com", "*.com", "*.a.com", "a.*", "a.com:8443", r"(a|c)\.com", r"[^.]+\.a\.com"]
)
PATHS = st.sampled_from(
    [
        "/",
        "/*",
        "/a",
        "/a/b",
        "/a/*",
        "/a/b/*",
        "/[ab]/.*",
        "/(?i:A)/b",
        "/A/b",
        "/a/b?",
        "/b",
        "/.*/b",
        "^/a/.+$",
    ]
)
STATUS = st.sampled_from(
    [PaywallStatus.ACTIVE, PaywallStatus.ACTIVE, PaywallStatus.ACTIVE, PaywallStatus.PAUSED]
)


FEW_PRIORITIES = st.integers(0, 3)


@st.composite
def shops(draw, max_size=6, priorities=FEW_PRIORITIES, status=STATUS):
    size = draw(st.integers(1, max_size))
    return [
        on_path(
            f"pw{number}",
            draw(PATHS),
            host=draw(HOSTS),
            priority=draw(priorities),
            status=draw(status),
            msats=draw(st.sampled_from([1_000, 2_000, 21_000])),
        )
        for number in range(size)
    ]


# Each priority once: most of these shops compile.
ORDERED = shops(priorities=st.integers(0, 1_000))
REQUESTS = list(
    itertools.product(
        ["a.com", "A.com:1", "b.com", "x.a.com", "a.org", "c.com", "a.com:8443"],
        ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/b/b", "/A/b", "/a/x", "/x/b"],
    )
)


@given(shops(), st.randoms())
@settings(max_examples=150)
def test_any_order_of_the_paywalls_gives_the_same(shop, chance):
    compiled = compile_paywalls(shop)
    other = list(shop)
    chance.shuffle(other)
    again = compile_paywalls(other)
    assert again.aperture_yaml == compiled.aperture_yaml
    assert again.diagnostics == compiled.diagnostics
    assert again.rules == compiled.rules
    assert again.valid == compiled.valid
    if compiled.valid:
        assert again.config_hash == compiled.config_hash


@given(
    st.permutations(
        [paywall("pw"), paywall("pw", msats=1), paywall("pw", route("s")), on_path("pw", "/(", msats=2_000)]
    )
)
def test_even_paywalls_of_one_id_are_reported_the_same_in_any_order(shop):
    assert compile_paywalls(shop).diagnostics == compile_paywalls(sorted(shop, key=repr)).diagnostics


@given(st.one_of(shops(), ORDERED))
@example([on_path("a", "/", host="a.com"), on_path("b", "/a", host="*")])
@settings(max_examples=150)
def test_no_two_rules_take_a_request_in_an_order_that_nobody_chose(shop):
    compiled = compile_paywalls(shop)
    for host, path in REQUESTS if compiled.valid else ():
        matching = [rule for rule in compiled.rules if rule.matches(host, path)]
        for earlier, later in itertools.combinations(matching, 2):
            chosen = earlier.priority < later.priority
            specifics = [
                (earlier.host.specificity, later.host.specificity),
                (earlier.path.specificity, later.path.specificity),
            ]
            narrower = all(a >= b for a, b in specifics) and any(a > b for a, b in specifics)
            assert chosen or narrower, (earlier.id, later.id, host, path)
            assert not (all(a <= b for a, b in specifics) and any(a < b for a, b in specifics))


@given(ORDERED)
@settings(max_examples=100)
def test_every_rule_of_a_valid_compilation_gets_some_request(shop):
    compiled = compile_paywalls(shop)
    for place, rule in enumerate(compiled.rules):
        for earlier in compiled.rules[:place]:
            assert not (earlier.host.covers(rule.host) and earlier.path.covers(rule.path))


@given(st.one_of(shops(), ORDERED))
@settings(max_examples=150)
def test_the_file_sells_what_the_rules_say_and_nothing_that_is_paused(shop):
    compiled = compile_paywalls(shop)
    if not compiled.valid:
        assert compiled.aperture_yaml == ""
        return
    aperture = ApertureFile(compiled.aperture_yaml)
    paused = {item.paywall_id for item in shop if not item.for_sale}
    reported = {item.paywall_id for item in compiled.diagnostics}
    assert paused <= reported
    for host, path in REQUESTS:
        picked = aperture.pick(host, path)
        closed = picked is not None and picked["name"].startswith("closed.")
        sold = next((rule for rule in compiled.rules if rule.matches(host, path)), None)
        if picked is not None and not closed:
            assert sold is not None
            assert picked["name"] == sold.service_name
            assert picked["auth"] == "on"
            assert picked["price"] == sold.price_sats > 0
            assert sold.paywall_id not in paused
        elif picked is None:
            assert sold is None


@given(st.one_of(shops(), ORDERED))
@settings(max_examples=100)
def test_a_paused_route_falls_to_another_rule_only_with_a_diagnostic(shop):
    """Whoever sells a request that a paused route takes is narrower, or is named by a diagnostic."""
    compiled = compile_paywalls(shop)
    if not compiled.valid:
        return
    aperture = ApertureFile(compiled.aperture_yaml)
    active = [item if item.for_sale else None for item in shop]
    open_again = {
        rule.paywall_id: rule
        for item, kept in zip(shop, active, strict=True)
        if kept is None
        for rule in compile_paywalls(
            [on_path(item.paywall_id, item.routes[0].path_pattern, item.routes[0].host_pattern)]
        ).rules
    }
    elsewhere = {item.paywall_id for item in compiled.diagnostics if item.code == "route_sold_elsewhere"}
    for (host, path), (paused, rule) in itertools.product(REQUESTS, open_again.items()):
        if not rule.matches(host, path):
            continue
        picked = aperture.pick(host, path)
        if picked is None or picked["name"].startswith("closed."):
            continue
        seller = next(item for item in compiled.rules if item.service_name == picked["name"])
        narrower = rule.host.covers(seller.host) and rule.path.covers(seller.path)
        assert narrower or paused in elsewhere, (host, path, paused, seller.id)


@given(ORDERED)
@settings(max_examples=100)
def test_the_file_read_again_is_what_was_compiled(shop):
    compiled = compile_paywalls(shop)
    if compiled.valid:
        read = ApertureFile(compiled.aperture_yaml).services
        closed = [service_of(item) for item in compiled.closed]
        assert [item for item in read if item not in closed] == [service_of(rule) for rule in compiled.rules]
        assert [item for item in read if item in closed] == closed
        names = [item["name"] for item in read]
        assert len(set(names)) == len(names)


@given(shops(max_size=8, status=st.just(PaywallStatus.ACTIVE)))
@settings(max_examples=100)
def test_the_index_finds_just_the_overlaps_that_comparing_all_finds(shop):
    rules = [rule for item in shop for rule in compile_paywalls([item]).rules]
    found = {(item.earlier, item.later) for item in find_overlaps(rules)}
    compared = {
        (one, other)
        for one, other in itertools.combinations(range(len(rules)), 2)
        if rules[one].host.common_host(rules[other].host) is not None
        and rules[one].path.common_path(rules[other].path) is not None
    }
    assert found == compared


def test_an_overlap_comes_with_a_request_that_shows_it():
    chance = random.Random(7)
    hosts, paths = ["*", "*.com", "a.com", "(a|b)[.]com"], ["/", "/a/*", "/a/[0-9]", "/a/1"]
    shop = [on_path(f"pw{n}", chance.choice(paths), host=chance.choice(hosts)) for n in range(40)]
    rules = [rule for item in shop for rule in compile_paywalls([item]).rules]
    overlaps = find_overlaps(rules)
    assert overlaps
    for overlap in overlaps:
        host, slash, path = overlap.example.partition("/")
        assert rules[overlap.earlier].matches(host, slash + path)
        assert rules[overlap.later].matches(host, slash + path)


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_service_names_are_unique_and_safe_in_caveats(one, two, three):
    def named(paywall_id, route_id):
        host_and_path = compile_paywalls([paywall()]).rules[0]
        return ClosedRoute(paywall_id, "o", route_id, 1, host_and_path.host, host_and_path.path).service_name

    name = named(one, two)
    assert not set(name) & set(",:= \t\n\"'")
    assert name.isascii()
    assert name.isprintable()
    if (one, two) != (two, three):
        assert name != named(two, three)
