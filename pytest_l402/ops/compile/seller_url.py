"""Decides where a paid request goes: a route's seller URL as Aperture's protocol, address and path prefix.

Aperture forwards the path of the request, at most with a prefix before it, and the query of the request. So
a seller's URL can be kept only when its path is the route's own, or ends in it. Source: Aperture proxy,
`rewriteRequestPath`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from pytest_l402.ops.compile.path_patterns import PathKind, PathPattern

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<userinfo>[^/?#@\s\\]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~-]|[^\x00-\x7f])+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#\s\\]*)?(?P<query>\?[^#\s]*)?(?P<fragment>#\S*)?"
)
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_.~!$&'()*+,=:@-]*)+")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(?:/|\Z)")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_DEFAULT_PORT = {"http": 80, "https": 443}
_NEVER_SENT = {
    "userinfo": "Aperture sends no user and password of a URL: use a header instead",
    "query": "Aperture forwards the query of the request and adds none of its own",
    "fragment": "a fragment is never sent",
}


class SellerUrlError(ValueError):
    """Text that is no URL of the form `scheme://host[:port][/path]`."""


class NotExpressibleError(ValueError):
    """A good URL that Aperture cannot forward to; `part` of it is the reason."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(reason)
        self.part = part


@dataclass(frozen=True, slots=True)
class SellerUrl:
    """A URL in parts, `never_sent` being the names of those that Aperture leaves out.

    `address` is `host[:port]`, in lower case and without the port that the scheme implies.
    """

    scheme: str
    address: str
    path: str
    never_sent: tuple[str, ...]


def parse_seller_url(text: str) -> SellerUrl:
    """Return a URL in parts; blanks around it do not count.

    Raises:
        SellerUrlError: when it has another form, no host that can be asked, or a port above 65535.
    """
    found = _URL.fullmatch(text.strip())
    if found is None:
        raise SellerUrlError("expected scheme://host[:port][/path]")
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    _check_address(host)
    if port is not None and int(port) > 65_535:
        raise SellerUrlError("a port above 65535")
    implied = port is None or int(port) == _DEFAULT_PORT.get(scheme)
    return SellerUrl(
        scheme,
        host if implied else f"{host}:{int(port)}",
        found["path"] or "",
        tuple(part for part in _NEVER_SENT if found[part]),
    )


def _check_address(host: str) -> None:
    """Refuse what is written like an address and is none, such as 1.2.3 or [::x]."""
    bare = host.removesuffix(".")
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif _NUMBER.fullmatch(bare.rpartition(".")[2]):
            ipaddress.IPv4Address(bare)
    except ValueError:
        raise SellerUrlError("no IP address") from None


def rewrite_prefix(url: SellerUrl, route: PathPattern) -> str | None:
    """Return what Aperture has to put before a request's path to reach `url`; None for nothing.

    The URL's path stands for the part of the request's path that the route names: for `/api/*` and
    `…/v1/api/`, `/api/x` goes to `/v1/api/x`. A URL without a path, or with `/`, leaves the request's path
    as it is.

    Raises:
        NotExpressibleError: when no prefix leads there, or when the URL holds what Aperture never sends.
    """
    for part in url.never_sent:
        raise NotExpressibleError(part, _NEVER_SENT[part])
    if not url.address.isascii():
        raise NotExpressibleError("host", "write the host in its ASCII form, xn--…")
    if url.path in ("", "/"):
        return None
    if not _PLAIN_PATH.fullmatch(url.path) or "//" in url.path or _DOT_SEGMENT.search(url.path):
        raise NotExpressibleError(
            "path", "a prefix is cleaned and decoded by Aperture: no codes, empty or dot segments"
        )
    if route.kind is PathKind.REGEXP:
        raise NotExpressibleError(
            "path", "a regexp leaves no fixed part of the path that the seller's could replace"
        )
    theirs = url.path if route.kind is PathKind.EXACT or url.path.endswith("/") else url.path + "/"
    if not theirs.endswith(route.prefix):
        raise NotExpressibleError(
            "path",
            f"Aperture can put a prefix before {route.prefix} but not replace it: "
            "let the seller's path end in the route's, or publish the route under the seller's path",
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
