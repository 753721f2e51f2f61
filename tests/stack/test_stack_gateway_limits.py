"""Freebies are counted per network, rates per client, in whole numbers."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.stack.gateway.limits import Freebies, RateLimiter, client_network
from pytest_l402.stack.gateway.services import RateLimit, Service


def test_clients_are_counted_by_their_24_or_48():
    assert client_network("10.1.2.3") == client_network("10.1.2.250") == "10.1.2.0/24"
    assert client_network("10.1.3.3") != client_network("10.1.2.3")
    assert client_network("2001:db8:1:2::1") == client_network("2001:db8:1:ffff::9") == "2001:db8:1::/48"
    assert client_network("unix socket") == "unix socket"


def test_freebies_last_as_long_as_the_allowance_per_service_and_network():
    freebies, service = Freebies(), Service("s", auth="freebie 2")
    assert [freebies.take(service, "n1") for _ in range(4)] == [True, True, False, False]
    assert freebies.take(service, "n2")
    assert freebies.take(Service("t", auth="freebie 1"), "n1")


def test_a_burst_passes_and_then_the_rate_holds():
    limiter = RateLimiter()
    service = Service("s", ratelimits=(RateLimit(requests=2, per_s=10, burst=3),))
    assert [limiter.wait_s(service, "c", "/", 0) for _ in range(4)] == [0, 0, 0, 5]
    assert limiter.wait_s(service, "c", "/", 4_999) == 1
    assert limiter.wait_s(service, "c", "/", 5_000) == 0
    assert limiter.wait_s(service, "c", "/", 5_001) == 5


def test_clients_services_and_paths_are_counted_apart():
    limiter = RateLimiter()
    service = Service("s", ratelimits=(RateLimit(requests=1, pathregexp="^/x"),))
    other = Service("t", ratelimits=service.ratelimits)
    assert limiter.wait_s(service, "c", "/x", 0) == 0
    assert limiter.wait_s(service, "c", "/x", 0) == 1
    assert limiter.wait_s(service, "d", "/x", 0) == 0
    assert limiter.wait_s(other, "c", "/x", 0) == 0
    assert [limiter.wait_s(service, "c", "/y", 0) for _ in range(3)] == [0, 0, 0]


def test_a_request_that_one_rule_refuses_is_counted_by_the_others():
    limiter = RateLimiter()
    service = Service("s", ratelimits=(RateLimit(requests=1, per_s=100), RateLimit(requests=2, per_s=1000)))
    assert limiter.wait_s(service, "c", "/", 0) == 0
    assert limiter.wait_s(service, "c", "/", 0) == 100
    assert limiter.wait_s(service, "c", "/", 99_001) == 401
    assert limiter.wait_s(service, "c", "/", 100_000) == 400
    assert limiter.wait_s(service, "c", "/", 501_000) == 0


@given(
    st.integers(1, 5),
    st.integers(1, 10),
    st.integers(0, 5),
    st.lists(st.integers(0, 5_000), min_size=1, max_size=40),
)
def test_never_more_than_the_burst_plus_the_rate_and_waiting_always_helps(requests, per_s, burst, gaps):
    limiter = RateLimiter()
    rule = RateLimit(requests=requests, per_s=per_s, burst=burst)
    service = Service("s", ratelimits=(rule,))
    now = 0
    for passed, gap in enumerate(gaps, start=1):
        now += gap
        wait = limiter.wait_s(service, "c", "/", now)
        if wait:
            now += wait * 1000
            assert limiter.wait_s(service, "c", "/", now) == 0
        assert passed * per_s * 1000 <= rule.effective_burst * per_s * 1000 + now * requests
