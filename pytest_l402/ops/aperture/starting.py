"""What keeps Aperture from starting with a file that it could decode, in the order in which it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pytest_l402.ops.aperture.decoding import Decoded, Refused, Section
from pytest_l402.ops.regexps import PatternError, compiled

_MOST_SATS: Final = 100_000_000 * 100_000
_BACKENDS: Final = ("sqlite", "postgres", "etcd")
ENVIRONMENT: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How the value of a header names a variable of the environment."""
_LEVELS: Final = ("trace", "debug", "info", "warn", "error", "critical", "off")
_ON, _OFF = ("", "on", "true"), ("off", "false")


def is_on(service: Section) -> bool:
    """Return whether a service asks for a credential on each request."""
    return service.text("auth").lower() in _ON


def is_off(service: Section) -> bool:
    """Return whether a service says, in one of the two words for it, that it is free."""
    return service.text("auth").lower() in _OFF


def freebies(service: Section) -> int | None:
    """Return how many requests are free before the first challenge, None when the word is not `freebie`.

    Raises:
        ValueError: `freebie` without one number behind one blank; Aperture panics there.
    """
    level = service.text("auth").lower()
    if not level.startswith("freebie"):
        return None
    parts = level.split(" ")
    if len(parts) != 2 or not re.fullmatch("[+-]?[0-9]+", parts[1]):
        raise ValueError(f"invalid auth value: {level}")
    return int(parts[1])


def is_fragment(root: Section) -> bool:
    """Return whether a file has services alone, to be put into a file with the rest."""
    return set(root.values) <= {"services"}


def prevented(decoded: Decoded, environment: Mapping[str, str] | None = None) -> Iterator[Refused]:
    """Return what keeps Aperture from starting: first what it cannot decode, then what it checks.

    `environment` is that of the process; without one, what depends on it is not looked at.
    """
    yield from decoded.refused
    root = decoded.root
    if not is_fragment(root):
        yield from _whole_file(root)
    for service in root.sections("services"):
        yield from _service(service, environment)


def _whole_file(root: Section) -> Iterator[Refused]:
    authenticator = root.section("authenticator")
    at = root.at("authenticator")
    if not authenticator.flag("disable"):
        reason = _no_invoices(authenticator, root.flag("strictverify"))
        if reason:
            yield Refused(at, reason)
    if not root.text("listenaddr"):
        yield Refused(root.place, "missing listen address for server")
    elif not re.search(r":[0-9]+\Z", root.text("listenaddr")):
        yield Refused(root.at("listenaddr"), f"no port in the listen address {root.text('listenaddr')!r}")
    backend = root.text("dbbackend")
    if backend and backend not in _BACKENDS:
        yield Refused(root.at("dbbackend"), f"unknown database backend: {backend}")
    if "invoicebatchsize" in root.values and root.whole("invoicebatchsize") <= 0:
        yield Refused(root.at("invoicebatchsize"), "invoice batch size must be greater than 0")
    if 0 < root.whole("profile") < 1024:
        yield Refused(root.at("profile"), "the profile port must be between 1024 and 65535")
    level = root.text("debuglevel")
    if level and "=" not in level and level not in _LEVELS:
        yield Refused(root.at("debuglevel"), f"the debug level {level!r} is not known")
    if root.flag("servestatic") and not root.text("staticroot").strip():
        yield Refused(root.at("servestatic"), "staticroot cannot be empty where servestatic is on")


def _no_invoices(authenticator: Section, strict: bool) -> str:
    if authenticator.flag("enablesessions") and not authenticator.flag("enablempp"):
        return "enablesessions requires enablempp to be set"
    lnd, pairing = authenticator.text("lndhost"), authenticator.text("passphrase")
    if authenticator.text("wavelengthgateway"):
        if lnd or pairing:
            return "lndhost and passphrase cannot be set beside wavelengthgateway"
        return "strictverify cannot be met with wavelengthgateway" if strict else ""
    if lnd:
        if pairing:
            return "passphrase cannot be set beside lndhost"
        missing = [key for key in ("tlspath", "macdir") if not authenticator.text(key)]
        return f"lndhost needs {missing[0]}" if missing else ""
    if pairing:
        return "" if authenticator.text("network") else "lnc network required"
    return "invalid authenticator configuration: it names nobody who makes invoices"


def _service(service: Section, environment: Mapping[str, str] | None) -> Iterator[Refused]:
    try:
        freebies(service)
    except ValueError as error:
        yield Refused(service.at("auth"), str(error), code=2)
    if environment is not None:
        for value in service.text_by_name("headers").values():
            yield from _header(service, value, environment)
    if reason := prefix_error(service.section("rewrite").text("prefix")):
        yield Refused(service.section("rewrite").at("prefix"), reason)
    for key in ("hostregexp", "pathregexp"):
        yield from _pattern(service, key, service.text(key))
    for key in ("authwhitelistpaths", "authskipinvoicecreationpaths"):
        for pattern in service.texts(key):
            yield from _pattern(service, key, pattern)
    for number, limit in enumerate(service.sections("ratelimits")):
        where = f"service {service.text('name')} rate limit {number}"
        if limit.whole("requests") <= 0:
            yield Refused(limit.at("requests"), f"{where}: requests must be positive")
        if limit.seconds("per") <= 0:
            yield Refused(limit.at("per"), f"{where}: per duration must be positive")
        yield from _pattern(limit, "pathregexp", limit.text("pathregexp"))
    price = service.whole("price")
    if not service.section("dynamicprice").flag("enabled") and not 0 <= price <= _MOST_SATS:
        kind = "negative price set" if price < 0 else "maximum price exceeded"
        yield Refused(service.at("price"), f"{kind} for service {service.text('name')}")


def prefix_error(prefix: str) -> str:
    """Return why a prefix is none, empty when it is one. Source: Aperture proxy, prepareRewrite."""
    if not prefix:
        return ""
    try:
        url = urlsplit(prefix)
    except ValueError as error:
        return f"invalid prefix format: {error}"
    if re.search("%(?![0-9a-fA-F]{2})|[\x00-\x1f\x7f]", prefix):
        return f"invalid prefix format: {prefix!r} has an escape that is none"
    alone = SplitResult("", "", url.path, "", "")
    # Go keeps a blank in front; Python drops a mark with nothing behind it.
    if url != alone or not prefix.startswith("/") or {*"?#"} & {*prefix}:
        return f"invalid prefix format: expected absolute path, got {prefix!r}"
    return ""


def _header(service: Section, value: str, environment: Mapping[str, str]) -> Iterator[Refused]:
    place = service.at("headers")
    for name in ENVIRONMENT.findall(value):
        if not environment.get(name):
            yield Refused(place, f"environment variable {name} referenced in a service header is not set")
    if not value.startswith("!file"):
        return
    parts = value.split(":")
    if len(parts) != 2:
        yield Refused(place, "invalid header config, must be '!file+hex:path'")
    elif parts[0] not in ("!file+hex", "!file+base64"):
        yield Refused(place, f"unsupported file prefix format {value}")


def _pattern(holder: Section, key: str, pattern: str) -> Iterator[Refused]:
    try:
        compiled(pattern)
    except PatternError as error:
        yield Refused(holder.at(key), f"{key} is no regular expression of Go's: {error}")
