"""How the compiler's time grows with the routes: 10 000 of them in under 2 s, and linearly.

Run with ``pytest benchmarks/test_compile_growth.py -s``; each table is one shape of a shop, in CPU seconds,
the best of three. The exponent is the slope between the smallest and the largest size on a doubly logarithmic
scale: 1 is linear, 2 would be a comparison of every route with every other.
"""

import gc
import math
import time

import pytest

from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition, Policy, Route

SIZES = (1_250, 2_500, 5_000, 10_000)
MAX_EXPONENT = 1.4


def sold(number, host, path, priority=10):
    route = Route("route", host, path, "https://up.example.com", "https", 8_000, priority)
    return PaywallDefinition(f"pw_{number}", f"owner_{number % 7}", "name", Policy(21_000), (route,))


def one_host(size):
    """A plain API: everything on one host, mostly single paths, some prefixes, one catch-all behind all."""
    shop = [
        sold(n, "a.example", f"/api/{n // 10}/below/*" if n % 10 == 0 else f"/api/{n // 10}/item/{n}")
        for n in range(size - 1)
    ]
    return [*shop, sold(size, "a.example", "/*", priority=90)]


def many_hosts(size):
    """A host for each customer, and one wildcard host behind all."""
    return [*(sold(n, f"c{n}.example", "/api/*") for n in range(size - 1)), sold(size, "*", "/api/*", 90)]


def wildcard_hosts(size):
    """A wildcard host for each customer."""
    return [sold(n, f"*.c{n}.example", "/api/*") for n in range(size)]


def regexps(size):
    """Every path a regexp, each under its own beginning, on one host."""
    return [sold(n, "a.example", f"/service{n}/v[0-9]+/(?:get|list)") for n in range(size)]


def seconds(paywalls):
    best = math.inf
    for _ in range(3):
        gc.collect()
        start = time.process_time()
        compiled = compile_paywalls(paywalls)
        best = min(best, time.process_time() - start)
        assert compiled.valid
        assert compiled.rule_count == len(paywalls)
    return best


# A shop of nothing but regexps is no shop that is, so it may take twice the time.
@pytest.mark.parametrize(
    ("shape", "budget_s"), [(one_host, 2.0), (many_hosts, 2.0), (wildcard_hosts, 2.0), (regexps, 4.0)]
)
def test_growth(shape, budget_s, record_property):
    curve = {size: seconds(shape(size)) for size in SIZES}
    exponent = math.log(curve[SIZES[-1]] / curve[SIZES[0]]) / math.log(SIZES[-1] / SIZES[0])
    print(f"\n{shape.__name__}: exponent {exponent:.2f}")
    for size, spent in curve.items():
        print(f"  {size:>6} routes  {spent:6.3f} s  {spent / size * 1e6:5.0f} us/route")
    record_property("curve", curve)
    assert exponent < MAX_EXPONENT
    assert curve[SIZES[-1]] < budget_s


def test_compile_ten_thousand_routes(benchmark):
    shop = one_host(10_000)
    compiled = benchmark.pedantic(compile_paywalls, args=(shop,), rounds=3, warmup_rounds=1)
    assert compiled.rule_count == 10_000
