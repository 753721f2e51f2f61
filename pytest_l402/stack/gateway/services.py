"""Decides which service a request is for, what it costs there, and whether it must be paid at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote

from pytest_l402.boundary import quoted
from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.harness.network import Header, Request
from pytest_l402.ops.aperture.starting import prefix_error
from pytest_l402.ops.regexps import Pattern, PatternError, compiled
from pytest_l402.protocol import caveat

DEFAULT_PRICE_MSATS = 1_000
_AUTH = re.compile(r"(?:on|off|freebie [1-9][0-9]*)")


@dataclass(frozen=True)
class RateLimit:
    """At most `requests` every `per_s` seconds on paths that match `pathregexp` (all when empty).

    `burst` requests may come at once, `requests` when it is 0. Source: Aperture services[].ratelimits.
    """

    requests: int
    per_s: int = 1
    burst: int = 0
    pathregexp: str = ""
    _path: Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.check()
        object.__setattr__(self, "_path", _compiled("ratelimits.pathregexp", self.pathregexp))

    def check(self) -> None:
        """Refuse with `ValueError` what cannot work."""
        if self.requests <= 0 or self.per_s <= 0 or self.burst < 0:
            raise ValueError(
                "ratelimits: expected requests > 0, per_s > 0 and burst >= 0, "
                f"saw {self.requests}, {self.per_s} and {self.burst}"
            )

    @property
    def effective_burst(self) -> int:
        """How many requests may come at once."""
        return self.burst or self.requests

    def matches(self, path: str) -> bool:
        """Whether the limit counts requests to this path."""
        return self._path.search(path)


@dataclass(frozen=True)
class Service:
    """One priced service; the fields are those of aperture.yaml, with the price in msats.

    Patterns match anywhere unless they are anchored. `price_msats` 0 means 1 sat and a credential that never
    expires, as Aperture has it.
    `timeout_s` is the credential's life in seconds, 0 for ever. `auth` is `on`, `off` or `freebie N`.
    `paywall_id`, `owner_id` and `route_id` are what the records say; left empty they follow from the name.
    `address` is the host that the seller's API sees, the client's own when empty; it is asked by `protocol`,
    at the request's path after `rewrite_prefix`. Raises `ValueError` for a value that cannot work.
    """

    name: str
    price_msats: int = 0
    hostregexp: str = ""
    pathregexp: str = ""
    auth: str = "on"
    timeout_s: int = 0
    capabilities: str = ""
    constraints: Mapping[str, str] = field(default_factory=dict)
    authwhitelistpaths: tuple[str, ...] = ()
    authskipinvoicecreationpaths: tuple[str, ...] = ()
    ratelimits: tuple[RateLimit, ...] = ()
    address: str = ""
    protocol: str = "https"
    rewrite_prefix: str = ""
    paywall_id: str = ""
    owner_id: str = ""
    route_id: str = ""
    _is_priced: bool = field(init=False, repr=False, compare=False)
    _host: Pattern = field(init=False, repr=False, compare=False)
    _path: Pattern = field(init=False, repr=False, compare=False)
    _whitelist: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)
    _skip_invoice: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.check()
        derived: dict[str, object] = {
            "_is_priced": self.price_msats > 0,
            "price_msats": self.price_msats or DEFAULT_PRICE_MSATS,
            "constraints": MappingProxyType(dict(self.constraints)),
            "paywall_id": self.paywall_id or f"pw_{self.name}",
            "owner_id": self.owner_id or f"owner_{self.name}",
            "route_id": self.route_id or f"route_{self.name}",
            "_host": _compiled(f"service {self.name} hostregexp", self.hostregexp),
            "_path": _compiled(f"service {self.name} pathregexp", self.pathregexp),
            "_whitelist": tuple(
                _compiled(f"service {self.name} authwhitelistpaths", text) for text in self.authwhitelistpaths
            ),
            "_skip_invoice": tuple(
                _compiled(f"service {self.name} authskipinvoicecreationpaths", text)
                for text in self.authskipinvoicecreationpaths
            ),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def check(self) -> None:
        """Refuse with `ValueError` what cannot work."""
        if not self.name or not re.fullmatch(r"[^\s:,=]+", self.name):
            raise ValueError(
                f"services[].name: expected text without blank, colon, comma, =; saw {self.name!r}"
            )
        if not 0 <= self.price_msats <= MAX_SAFE_INTEGER or self.timeout_s < 0:
            raise ValueError(
                f"service {self.name}: expected price_msats from 0 to 2^53-1 and timeout_s >= 0, "
                f"saw {self.price_msats} and {self.timeout_s}"
            )
        if not _AUTH.fullmatch(self.auth):
            raise ValueError(
                f"service {self.name}: auth is on, off or 'freebie N' with N >= 1, saw {self.auth!r}"
            )
        if self.protocol not in ("http", "https"):
            raise ValueError(f"service {self.name}: protocol is http or https, saw {self.protocol!r}")
        if prefix_error(self.rewrite_prefix):
            raise ValueError(
                f"service {self.name}: a prefix is a path from /, without host, query, fragment or broken "
                f"code, saw {self.rewrite_prefix!r}"
            )
        # What cannot be minted is refused here, not at the first challenge.
        self._caveats_of_price()

    def written(self, condition: str, value: str | int) -> bytes:
        """Return a caveat; raises `ValueError` for one that no reader could take apart."""
        return caveat(condition, value)

    def with_headers(self, headers: list[Header]) -> list[Header]:
        """Return the lines that the seller's API gets: those of the client, and none of the service's own."""
        return headers

    @property
    def freebies(self) -> int:
        """How many requests one network of clients has for free; 0 when none."""
        return int(self.auth.removeprefix("freebie ")) if self.auth.startswith("freebie ") else 0

    def matches(self, host: str, path: str) -> bool:
        """Whether the service answers for this host and decoded path."""
        return self._host.search(host) and self._path.search(path)

    def is_paid(self, path: str) -> bool:
        """Whether the decoded path asks for a credential: not with `auth` off, nor on a whitelisted path."""
        return self.auth != "off" and not any(pattern.search(path) for pattern in self._whitelist)

    def skips_invoice(self, path: str) -> bool:
        """Whether a request without a credential is refused with 401 instead of a challenge.

        Beside freebies these paths are not looked at.
        """
        return self.auth == "on" and any(pattern.search(path) for pattern in self._skip_invoice)

    def caveats(self, now_s: int) -> tuple[bytes, ...]:
        """Return the caveats of a credential minted at `now_s` (epoch seconds), in Aperture's order.

        Without a price there is the service alone: no constraint, and no end.
        """
        minted = [self.written("services", f"{self.name}:0")]
        if self._is_priced:
            minted += self._caveats_of_price()
            if self.timeout_s:
                minted.append(self.written(f"{self.name}_valid_until", now_s + self.timeout_s))
        return tuple(minted)

    def _caveats_of_price(self) -> list[bytes]:
        constraints = [self.written(condition, value) for condition, value in self.constraints.items()]
        return [self.written(f"{self.name}_capabilities", self.capabilities), *constraints]


def decoded_path(request: Request) -> str:
    """Return the path as the services' patterns see it: percent-decoded once, as Go's URL.Path is.

    Of a code that is no UTF-8, each byte is one U+FFFD, as Go's engine counts it.
    """
    if "%" not in request.path:
        return request.path
    return re.sub("[\udc80-\udcff]", "\ufffd", unquote(request.path, errors="surrogateescape"))


def host_as_sent(request: Request) -> str:
    """Return the host that the services' patterns see: port, case and last dot as the client sent it."""
    sent = request.header("Host")
    return request.host if sent is None else sent


def match_service(services: Iterable[Service], host: str, path: str) -> Service | None:
    """Return the first service that answers for host and decoded path, or None."""
    return next((service for service in services if service.matches(host, path)), None)


def _compiled(where: str, pattern: str) -> Pattern:
    try:
        return compiled(pattern)
    except PatternError as error:
        said = f"{where}: expected a regular expression, {quoted(pattern)} is none: {error}"
        raise ValueError(said) from error
