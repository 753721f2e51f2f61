"""What one service of Aperture's file does to its operator, whatever stands beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pytest_l402.ops.aperture.decoding import Section
from pytest_l402.ops.aperture.finding import Finding
from pytest_l402.ops.aperture.starting import freebies, is_off, is_on
from pytest_l402.ops.regexps import PatternError, compiled

_ENDS: Final = re.compile(r"\$|\\[zbB]")
_SCHEMES: Final = ("", "l402", "mpp", "l402+mpp")
_PLAIN_NUMBER: Final = re.compile(r'"?(?:0|[1-9][0-9_]*)"?')
_ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s/:?#@\[\]]+)(:[0-9]{1,5})?")
_NUMERIC: Final = re.compile(r"[0-9.]+|\[.*\]|localhost")
_ENVIRONMENT: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|\A!file")
_ESCAPE: Final = re.compile(r"\\.|\[[^\]]*\]|\(\?[a-zA-Z-]*[:)]|\(\?P?<[^>]*>")


def opens_all(pattern: str, beginning: str = "") -> bool:
    """Return whether a pattern matches every text that begins with `beginning`.

    A match within that beginning stays one, whatever follows, if the pattern looks at no end.
    """
    try:
        return (
            pattern == ""
            or (not _ENDS.search(pattern) and compiled(pattern).search(beginning))
            or _spans(pattern)
        )
    except PatternError:
        return False


def _spans(pattern: str) -> bool:
    return re.sub(r"\A\(\?s\)", "", pattern) in ("^.*$", "^/.*$", "^.+$", ".*$", "^(.*)$", "^/(.*)$")


def hazards_of(service: Section) -> Iterator[Finding]:
    """Return what Aperture does with a service that its operator did not mean."""
    yield from _admission(service)
    yield from _price(service)
    yield from _caveats(service)
    yield from _delivery(service)
    yield from _patterns(service)
    yield from _limits(service)


def _sells(service: Section) -> bool:
    """Whether it ever asks for money: not where it is free, and not where each challenge is left out."""
    asks = is_on(service) or service.text("auth").lower().startswith("freebie")
    free = any(opens_all(pattern, "/") for pattern in service.texts("authwhitelistpaths"))
    return asks and not free and not is_closed(service)


def is_closed(service: Section) -> bool:
    """Return whether a service never sends a challenge: it keeps a route shut, and sells nothing."""
    skips = any(opens_all(pattern, "/") for pattern in service.texts("authskipinvoicecreationpaths"))
    return is_on(service) and skips


def _admission(service: Section) -> Iterator[Finding]:
    level, at = service.text("auth"), service.at("auth")
    try:
        free = freebies(service)
    except ValueError:
        return
    if free is None and not is_on(service) and not is_off(service):
        says = f"auth {level!r} is no word for it: every request is let in for nothing"
        yield Finding("gives-away", at, says, 'write auth: "on"', level)
    if free is not None and free <= 0:
        says = f"auth {level!r} gives no request for free"
        yield Finding("freebies-not-given", at, says, 'write auth: "on", or a number above 0', level)
    if free is not None and service.texts("authskipinvoicecreationpaths"):
        says = (
            "authskipinvoicecreationpaths is not looked at beside freebies: a challenge is sent all the same"
        )
        remedy = 'write auth: "on", or take the paths out'
        yield Finding("freebies-not-given", service.at("authskipinvoicecreationpaths"), says, remedy)
    for number, pattern in enumerate(() if is_off(service) else service.texts("authwhitelistpaths")):
        if not _is_anchored(pattern):
            says = f"the pattern {pattern!r} matches anywhere in a path: each such path is free"
            remedy = f"write {'^/' + pattern.lstrip('/')!r}"
            at = service.at(f"authwhitelistpaths[{number}]")
            yield Finding("gives-away", at, says, remedy, pattern)
    scheme = service.text("authscheme")
    if scheme not in _SCHEMES:
        says = f"the scheme {scheme!r} is none: what is offered does not depend on it"
        yield Finding(
            "scheme-not-known", service.at("authscheme"), says, "write l402, mpp or l402+mpp", scheme
        )


def _price(service: Section) -> Iterator[Finding]:
    if service.section("dynamicprice").flag("enabled"):
        return
    written, at = service.written.get("price", ""), service.at("price")
    if not service.whole("price"):
        if _sells(service):
            says = "sold for 1 sat, with a credential that carries no timeout and never expires"
            remedy = 'write the price in sats, at least 1; what is free has auth: "off"'
            yield Finding("price-not-written", at, says, remedy)
            if service.whole("timeout"):
                says = f"the timeout of {service.whole('timeout')} s is left out where the price is 0"
                yield Finding("never-expires", service.at("timeout"), says, "write a price of at least 1")
    elif not _PLAIN_NUMBER.fullmatch(written):
        says = f"the price {written} is read as {service.whole('price')} sats"
        yield Finding("price-misread", at, says, f"write {service.whole('price')} if that is meant", written)
    if service.whole("timeout") < 0:
        says = f"a timeout of {service.whole('timeout')} s is none: the credential never expires"
        remedy = "write seconds above 0, or take the key out"
        yield Finding("never-expires", service.at("timeout"), says, remedy)
    elif "timeout" in service.values and not service.whole("timeout"):
        says = "the timeout is written and holds nothing: the credential never expires"
        yield Finding("no-timeout", service.at("timeout"), says, "write seconds above 0, or take the key out")


def _caveats(service: Section) -> Iterator[Finding]:
    if is_off(service):
        return
    name, at = service.text("name"), service.at("name")
    if not name:
        says = "without a name no credential can be made: 500 `challenge failure` for each request"
        yield Finding("cannot-challenge", at, says, "write a name of letters, digits, dash")
    elif {":", ","} & set(name):
        says = f"the name {name!r} breaks the credential's list of services: paid, and refused for ever"
        yield Finding("refuses-the-buyer", at, says, "write a name without colon and comma", name)
    for condition, value in service.text_by_name("constraints").items():
        if condition == "services" and f"{name}:0" not in value.split(","):
            broken = f"the constraint services={value} shuts out the service itself: paid, and refused"
        elif condition == f"{name}_valid_until":
            broken = (
                f"the constraint {condition}={value} is a date, not a duration: paid, and refused after it"
            )
        else:
            continue
        remedy = "take it out; how long a credential holds is the key timeout"
        yield Finding("refuses-the-buyer", service.at("constraints"), broken, remedy, condition)
    for value in service.text_by_name("headers").values():
        if _ENVIRONMENT.search(value):
            says = f"the header's value {value.split(':')[0]!r} is taken from outside when Aperture starts"
            remedy = "make sure that it is there on the machine where Aperture starts: else it does not"
            yield Finding("environment-needed", service.at("headers"), says, remedy)


def _delivery(service: Section) -> Iterator[Finding]:
    protocol, address = service.text("protocol"), service.text("address")
    if protocol not in ("http", "https"):
        says = f"the protocol {protocol!r} is none that it speaks: paid, and answered 502"
        yield Finding("cannot-deliver", service.at("protocol"), says, "write http or https, in small letters")
    found = _ADDRESS.fullmatch(address)
    # A name without a port is asked at that of the protocol; with a number that is rarely meant.
    if found is None or (found[1] is None and _NUMERIC.fullmatch(address)):
        says = f"the address {address!r} is no host:port: paid, and answered 502"
        yield Finding(
            "cannot-deliver", service.at("address"), says, "write host:port, without scheme and path"
        )


def _patterns(service: Section) -> Iterator[Finding]:
    path, host = service.text("pathregexp"), service.text("hostregexp")
    if not path:
        says = "without pathregexp every path of the host is this service's"
        yield Finding("path-not-anchored", service.at("pathregexp"), says, "write pathregexp: '^/...'")
    elif not _is_anchored(path) and not opens_all(path, "/"):
        says = f"the pattern {path!r} matches in the middle of a path as well"
        yield Finding("path-not-anchored", service.at("pathregexp"), says, f"write {'^' + path!r}", path)
    at = service.at("hostregexp")
    if not host:
        yield Finding(
            "host-not-bound", at, "without hostregexp every host is this service's", "write hostregexp"
        )
    elif not opens_all(host):
        if _ends_without_port(host):
            says = f"the pattern {host!r} does not match a Host that names a port, and those get 404"
            yield Finding("host-not-bound", at, says, "write (:[0-9]+)?$ at its end", host)
        if "(?i)" not in host and re.search("[A-Z]", _ESCAPE.sub("", host)):
            says = f"the pattern {host!r} asks for capitals, and Host is matched as it is sent"
            yield Finding("host-not-bound", at, says, "write (?i) before it", host)


def _limits(service: Section) -> Iterator[Finding]:
    limits = service.sections("ratelimits")
    for limit in limits:
        if limit.whole("burst") < 0:
            says = f"a burst of {limit.whole('burst')} lets nobody in: paid, and answered 429 for ever"
            yield Finding(
                "refuses-the-buyer", limit.at("burst"), says, "write a burst above 0, or take it out"
            )
    if limits and not is_on(service) and not is_off(service):
        says = "once the free requests are used, challenges are sent without limit, an invoice each"
        remedy = "hold back clients without a credential in front of Aperture"
        yield Finding("limits-not-held", service.at("ratelimits"), says, remedy)


def _is_anchored(pattern: str) -> bool:
    return re.match(r"(?:\(\?[a-zA-Z]+\))?(?:\^|\\A)", pattern) is not None


def _ends_without_port(pattern: str) -> bool:
    # What `(?:` begins is no colon; one within brackets may be.
    plain = _ESCAPE.sub(lambda found: found[0] if found[0].startswith("[") else "", pattern)
    return pattern.endswith("$") and ":" not in plain
