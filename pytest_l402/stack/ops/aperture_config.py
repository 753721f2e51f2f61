"""Decides the bytes of `aperture.yaml`: the services that Aperture itself loads, in the order it tries them.

The file holds `services` and nothing else. Where Aperture listens, its node and its database are the
operator's own: command-line flags, or a file of theirs that this list is put into. The field `timeout` is
how long a token opens the service, in seconds; a route's timeoutMs, how long the upstream may take, has no
field there (Aperture's one bound is the global `writetimeout`), so it stays with the rule, for whoever
probes the route.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from .rules import ClosedRoute, Rule

CLOSED_ADDRESS = "closed.invalid:80"
"""Where a closed route leads: a name that never resolves, so that no token of any kind gets through."""

_INT_TAG = "tag:yaml.org,2002:int"
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
    yield from _value({"services": [service_of(item) for item in services]})
    yield yaml.DocumentEndEvent(explicit=False)
    yield yaml.StreamEndEvent()


def _value(value: Any) -> Iterator[yaml.Event]:
    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, True, flow_style=False)
        for key, item in value.items():
            yield yaml.ScalarEvent(None, None, (True, False), key)
            yield from _value(item)
        yield yaml.MappingEndEvent()
    elif isinstance(value, list):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=not value)
        for item in value:
            yield from _value(item)
        yield yaml.SequenceEndEvent()
    elif isinstance(value, int):
        yield yaml.ScalarEvent(None, _INT_TAG, (True, False), str(value))
    else:
        yield yaml.ScalarEvent(None, None, (False, True), value, style="'")
