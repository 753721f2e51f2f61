"""Decides where a paid request goes: a route's upstream URL as Aperture's protocol, address and path prefix.

Aperture forwards the path of the request, at most with a prefix before it, and the query of the request. So
an upstream URL can be kept only when its path is the route's own, or ends in it. Source: Aperture proxy,
`rewriteRequestPath`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from pytest_l402.ops.compile.path_patterns import PathKind, PathPattern

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_EDGE_BLANKS = "".join(map(chr, range(0x21)))
_FORBIDDEN_IN_DOMAIN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_.~!$&'()*+,=:@-]*)+")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z)")
_DEFAULT_PORT = {"http": 80, "https": 443}


class SellerUrlError(ValueError):
    """Text that is no URL to a browser either."""


class NotExpressibleError(ValueError):
    """A good URL that Aperture cannot forward to; `part` of it is the reason."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(reason)
        self.part = part


@dataclass(frozen=True, slots=True)
class SellerUrl:
    """A URL in parts; only http and https have a host here. The repr shows no userinfo and no query."""

    scheme: str
    host: str
    port: int | None
    path: str
    has_userinfo: bool
    has_query: bool

    @property
    def address(self) -> str:
        """`host[:port]`, without the port that the scheme implies."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


def parse_seller_url(text: str) -> SellerUrl:
    """Return a URL in parts as a browser reads it. Source: WHATWG URL, special schemes.

    Raises:
        UrlError: when a browser would refuse it.
    """
    text = re.sub(r"[\t\n\r]", "", text.strip(_EDGE_BLANKS))
    found = _SCHEME.match(text)
    if found is None:
        raise SellerUrlError("no scheme")
    scheme = found[1].lower()
    rest = text[found.end() :]
    if scheme not in _DEFAULT_PORT:
        return SellerUrl(scheme, "", None, "", has_userinfo=False, has_query=False)
    rest = rest.partition("#")[0]
    rest, mark, _ = rest.partition("?")
    rest = rest.replace("\\", "/").lstrip("/")
    authority, slash, path = rest.partition("/")
    userinfo, at, host_port = authority.rpartition("@")
    host, port = _host_and_port(host_port)
    if port == _DEFAULT_PORT[scheme]:
        port = None
    return SellerUrl(scheme, _host(host), port, slash + path, bool(at and userinfo), bool(mark))


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", text)
    if found is None or not found[1]:
        raise SellerUrlError("no host, or a port that is no number")
    if not found[2]:
        return found[1], None
    port = int(found[2]) if len(found[2]) < 20 else 65_536
    if port > 65_535:
        raise SellerUrlError("a port above 65535")
    return found[1], port


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]" if "%" not in text else _no_address()
        except ipaddress.AddressValueError:
            return _no_address()
    domain = unquote_to_bytes(text).decode("utf-8", "replace").lower()
    if _FORBIDDEN_IN_DOMAIN.search(domain) or "\ufffd" in domain:
        raise SellerUrlError("a character that no host may have")
    labels = domain.removesuffix(".").split(".")
    if not _NUMBER.fullmatch(labels[-1]):
        return domain
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        raise SellerUrlError("no IPv4 address")
    numbers = [_ipv4_number(label) for label in labels]
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
        raise SellerUrlError("no IPv4 address")
    value = numbers[-1] + sum(number << (24 - 8 * place) for place, number in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(value))


def _no_address() -> str:
    raise SellerUrlError("no IPv6 address")


def _ipv4_number(label: str) -> int:
    try:
        if label[:2].lower() == "0x":
            return int(label[2:] or "0", 16)
        return int(label, 8) if len(label) > 1 and label[0] == "0" else int(label[:20])
    except ValueError:
        raise SellerUrlError("no IPv4 address") from None


def rewrite_prefix(url: SellerUrl, route: PathPattern) -> str | None:
    """Return what Aperture has to put before a request's path to reach `url`; None for nothing.

    The URL's path stands for the part of the request's path that the route names: for `/api/*` and
    `…/v1/api/`, `/api/x` goes to `/v1/api/x`. A URL without a path, or with `/`, leaves the request's path
    as it is.

    Raises:
        NotExpressibleError: when no prefix leads there, or when the URL holds what Aperture never sends.
    """
    if url.has_userinfo:
        raise NotExpressibleError(
            "userinfo", "Aperture sends no user and password of a URL: use a header instead"
        )
    if url.has_query:
        raise NotExpressibleError(
            "query", "Aperture forwards the query of the request and adds none of its own"
        )
    if not url.host.isascii():
        raise NotExpressibleError("host", "write the host in its ASCII form, xn--…")
    if url.path in ("", "/"):
        return None
    if not _PLAIN_PATH.fullmatch(url.path) or "//" in url.path or _DOT_SEGMENT.search(url.path):
        raise NotExpressibleError(
            "path", "a prefix is cleaned and decoded by Aperture: no codes, empty or dot segments"
        )
    if route.kind is PathKind.REGEXP:
        raise NotExpressibleError(
            "path", "a regexp leaves no fixed part of the path that the upstream's could replace"
        )
    theirs = url.path if route.kind is PathKind.EXACT or url.path.endswith("/") else url.path + "/"
    if not theirs.endswith(route.prefix):
        raise NotExpressibleError(
            "path",
            f"Aperture can put a prefix before {route.prefix} but not replace it: "
            "let the upstream's path end in the route's, or publish the route under the upstream's path",
        )
    return theirs[: len(theirs) - len(route.prefix)] or None


def shown_url(text: str) -> str:
    """Return a URL for a message: without userinfo, query and fragment, where keys and passwords stand."""
    shown = re.sub(r"[?#].*", "?…", text, flags=re.DOTALL)
    head, at, tail = shown.rpartition("@")
    if not at:
        return shown
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]*", head)
    return f"{scheme[0] if scheme else ''}…@{tail}"
