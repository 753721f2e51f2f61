"""Decides at which requests a deployed configuration is probed, and what each of them has to cost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

from pytest_l402.ops.compile.compilation import Compilation
from pytest_l402.ops.compile.rules import Rule
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.ops.reconcile.ports import ProbeTarget

DEFAULT_LIMIT = 20
_BELOW = "l402-probe"
_SAFE = "/:@!$&'()*+,;=-._~"


def probe_targets(
    compilation: Compilation,
    *,
    host: str | None = None,
    path: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> tuple[ProbeTarget, ...]:
    """Return one target for each of the first `limit` rules that can be asked for, in the file's order.

    `host` is the name under which the gateway is reached: rules for other hosts are left out, as long as one
    remains. With a `path`, decoded, there is one target at most: the rule that answers for it. A rule is
    asked for at a request that no other rule or closed route answers for.
    """
    if path is not None:
        if any(route.matches(host or "", path) for route in compilation.closed):
            return ()
        rule = next((rule for rule in compilation.rules if rule.matches(host or "", path)), None)
        return () if rule is None else (_target(rule, host or rule.host.example, path),)
    found = tuple(islice(_reachable(compilation, host), limit))
    if found or not compilation.rules:
        return found
    first = compilation.rules[0]
    return (_target(first, first.host.example, first.path.example),)


def of_unknown_price(targets: tuple[ProbeTarget, ...]) -> tuple[ProbeTarget, ...]:
    """Return the same requests for a configuration whose prices nobody here knows."""
    return tuple(target.model_copy(update={"price_msats": None}) for target in targets)


def _reachable(compilation: Compilation, host: str | None) -> Iterator[ProbeTarget]:
    for number, rule in enumerate(compilation.rules):
        if host is not None and not rule.host.matches(host):
            continue
        at_host, example = host or rule.host.example, rule.path.example
        for path in (example, example + _BELOW):
            earlier = compilation.rules[:number]
            if (
                at_host
                and rule.path.matches(path)
                and not any(other.matches(at_host, path) for other in earlier)
                and not any(route.matches(at_host, path) for route in compilation.closed)
            ):
                yield _target(rule, at_host, path)
                break


def _target(rule: Rule, host: str, path: str) -> ProbeTarget:
    price_msats = rule.price_sats * MSATS_PER_SAT
    return ProbeTarget(
        rule_id=rule.id,
        paywall_id=rule.paywall_id,
        owner_id=rule.owner_id,
        host=host,
        path=quote(path, safe=_SAFE),
        price_msats=price_msats,
        max_msats=price_msats,
        timeout_ms=rule.seller_timeout_ms,
    )
