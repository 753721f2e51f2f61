"""What a service is to Aperture as its file has it: also where it loses money, or never delivers."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from pytest_l402.harness.network import Header
from pytest_l402.ops.aperture.decoding import Section
from pytest_l402.ops.aperture.starting import ENVIRONMENT, freebies, is_on
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.stack.gateway.lightning_node import NodeUnavailable
from pytest_l402.stack.gateway.services import RateLimit, Service

_MOST_FREEBIES: Final = 0xFFFF


class LimitAsWritten(RateLimit):
    """A rate limit that may let nobody in."""

    def check(self) -> None:
        """Take what Aperture takes: a burst below 0 is one."""


@dataclass(frozen=True)
class ServiceAsWritten(Service):
    """A service with any name, address and protocol; `headers` are set on each request to its backend."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def check(self) -> None:
        """Take what Aperture takes."""

    def caveats(self, now_s: int) -> tuple[bytes, ...]:
        """Return the caveats as Aperture writes them, without looking at what the name does to them.

        Raises:
            NodeUnavailable: there is no name, so that no credential can be made.
        """
        if not self.name:
            raise NodeUnavailable("missing service name")
        return super().caveats(now_s)

    def with_headers(self, headers: list[Header]) -> list[Header]:
        """Return the lines with the service's own, each in place of the client's lines of that name."""
        replaced = {name.lower() for name in self.headers}
        return [line for line in headers if line[0].lower() not in replaced] + list(self.headers.items())

    def written(self, condition: str, value: str | int) -> bytes:
        """Return a caveat of any text."""
        return f"{condition}={value}".encode("utf-8", "surrogateescape")


def service_as_written(service: Section) -> ServiceAsWritten:
    """Return the service that an entry of Aperture's file stands for.

    Raises:
        OSError: a file that a header names cannot be read.
    """
    free = freebies(service)
    auth = "on" if is_on(service) else "off" if free is None else f"freebie {free & _MOST_FREEBIES}"
    return ServiceAsWritten(
        name=service.text("name"),
        price_msats=service.whole("price") * MSATS_PER_SAT,
        hostregexp=service.text("hostregexp"),
        pathregexp=service.text("pathregexp"),
        auth=auth,
        timeout_s=max(service.whole("timeout"), 0),
        capabilities=service.text("capabilities"),
        constraints=service.text_by_name("constraints"),
        authwhitelistpaths=service.texts("authwhitelistpaths"),
        authskipinvoicecreationpaths=service.texts("authskipinvoicecreationpaths"),
        ratelimits=tuple(map(_limit, service.sections("ratelimits"))),
        address=service.text("address"),
        protocol=service.text("protocol"),
        rewrite_prefix=service.section("rewrite").text("prefix"),
        headers={name: _header(value) for name, value in service.text_by_name("headers").items()},
    )


def _limit(limit: Section) -> RateLimit:
    # In whole numbers: three requests every half second are six a second, three of them at once.
    per = Fraction(limit.seconds("per")).limit_denominator(10**9)
    requests, burst = limit.whole("requests"), limit.whole("burst")
    return LimitAsWritten(
        requests=requests * per.denominator,
        per_s=per.numerator,
        burst=burst or requests,
        pathregexp=limit.text("pathregexp"),
    )


def _header(value: str) -> str:
    value = ENVIRONMENT.sub(lambda found: os.environ.get(found[1], ""), value)
    if not value.startswith("!file"):
        return value
    kind, _, name = value.partition(":")
    data = Path(name).read_bytes()
    return data.hex() if kind == "!file+hex" else b64encode(data).decode()
