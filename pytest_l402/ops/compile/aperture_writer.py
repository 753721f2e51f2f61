"""Decides the bytes of `aperture.yaml`: the services that Aperture itself loads, in the order it tries them.

The file holds `services` and nothing else. Where Aperture listens, its node and its database are the
operator's own: command-line flags, or a file of theirs that this list is put into. The field `timeout` is
how long a token opens the service, in seconds; a route's timeoutMs, how long the seller may take, has no
field there (Aperture's one bound is the global `writetimeout`), so it stays with the rule, for whoever
probes the route.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import yaml

from pytest_l402.ops.compile.rules import ClosedRoute, Rule

CLOSED_ADDRESS = "closed.invalid:80"
"""Where a closed route leads: a name that never resolves, so that no token of any kind gets through."""

_PLAIN, _QUOTED = (True, False), (False, True)
_OPEN, _CLOSE = yaml.MappingStartEvent(None, None, True, flow_style=False), yaml.MappingEndEvent()
_LIST, _END_OF_LIST = yaml.SequenceStartEvent(None, None, True, flow_style=False), yaml.SequenceEndEvent()
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def service_of(item: Rule | ClosedRoute) -> dict[str, Any]:
    """Return the service that Aperture loads for a rule, by its own field names; price in sats."""
    service: dict[str, Any] = {
        "name": item.service_name,
        "hostregexp": item.host.regexp,
        "pathregexp": item.path.regexp,
    }
    if isinstance(item, ClosedRoute):
        return service | {
            "address": CLOSED_ADDRESS,
            "protocol": "http",
            "auth": "on",
            # 401 instead of an invoice. Source: Aperture proxy, SkipInvoiceCreation.
            "authskipinvoicecreationpaths": ["^"],
        }
    service |= {
        "address": item.address,
        "protocol": item.protocol,
        "auth": "on",
        "price": item.price_sats,
        "timeout": item.token_validity_s,
    }
    if item.rewrite_prefix is not None:
        service["rewrite"] = {"prefix": item.rewrite_prefix}
    return service


def render_aperture_yaml(services: Sequence[Rule | ClosedRoute], dumper: Any = None) -> str:
    """Return the file: ASCII, ending in LF, all text quoted, so that no parser reads `on` as a boolean.

    `dumper` is the PyYAML class that writes it, libyaml's where there is one; each writes the same bytes.
    """
    return str(yaml.emit(_events(services), Dumper=dumper or _DUMPER, width=2**31 - 1))


def _events(services: Sequence[Rule | ClosedRoute]) -> Iterator[yaml.Event]:
    # Events instead of `safe_dump`: it would spend most of the time finding out what is known here already.
    yield yaml.StreamStartEvent()
    yield yaml.DocumentStartEvent(explicit=False)
    yield _OPEN
    yield _key("services")
    yield yaml.SequenceStartEvent(None, None, True, flow_style=not services)
    for item in services:
        yield from _service_events(service_of(item))
    yield _END_OF_LIST
    yield _CLOSE
    yield yaml.DocumentEndEvent(explicit=False)
    yield yaml.StreamEndEvent()


def _service_events(service: dict[str, Any]) -> Iterator[yaml.Event]:
    yield _OPEN
    for key, value in service.items():
        yield _key(key)
        if isinstance(value, str):
            yield yaml.ScalarEvent(None, None, _QUOTED, value, None, None, "'")
        elif isinstance(value, int):
            yield yaml.ScalarEvent(None, None, _PLAIN, str(value))
        elif isinstance(value, dict):
            yield from _service_events(value)
        else:
            yield _LIST
            for text in value:
                yield yaml.ScalarEvent(None, None, _QUOTED, text, None, None, "'")
            yield _END_OF_LIST
    yield _CLOSE


@cache
def _key(name: str) -> yaml.Event:
    return yaml.ScalarEvent(None, None, _PLAIN, name)
