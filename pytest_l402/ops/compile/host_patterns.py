"""Decides what a host pattern means, and by which regexp Aperture matches the same Host headers.

Aperture tests `hostregexp` against the Host header as the client sent it, unanchored. So the regexp is
anchored, and it takes upper case, a dot at the end and a port as well: a client could otherwise choose a
cheaper rule by the way it spells the host. Source: Aperture proxy, `matchService`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from pytest_l402.ops.compile.hashes import normal_host
from pytest_l402.ops.regexps import (
    REGEXP_SIGNS,
    UnmatchableError,
    ascii_pattern,
    compiled,
    fixed_ending,
    only_text,
    quote_go,
    whole_bounds,
    without_anchors,
)

_HOST_NAME = re.compile(r"[a-z0-9._~*-]+|\[[0-9a-f:.]+\]")
_PORT = re.compile(r"(.*?)(?::([0-9]{1,5}))?", re.DOTALL)
_DEFAULT_PORTS = ("80", "443")


@dataclass(frozen=True)
class HostPattern:
    """Which Host headers a route takes; `specificity` is 0 for any, 1 for a wildcard or regexp, 2 for a name.

    `name` is the one host name, or None; every host that matches ends in `suffix`, before its port and a dot.
    `example` is a host that matches, empty when none is known.
    """

    text: str
    specificity: int
    regexp: str
    name: str | None
    suffix: str
    port: str | None
    example: str
    warning: str | None = field(default=None, compare=False)

    def matches(self, host: str) -> bool:
        """Return whether a Host header is one of these."""
        return compiled(self.regexp).search(host)

    def common_host(self, other: HostPattern) -> str | None:
        """Return a Host header that both match, None when there is none; empty when there may be one."""
        if self.text == other.text or other.specificity == 0:
            return self.example
        if self.specificity == 0:
            return other.example
        known = (
            self.example,
            other.example,
            self.text.partition("*")[0] + other.suffix,
            other.text.partition("*")[0] + self.suffix,
        )
        shared = next((host for host in known if self.matches(host) and other.matches(host)), None)
        if shared is not None or self.name is not None or other.name is not None:
            return shared
        shorter, longer = sorted((self.suffix, other.suffix), key=len)
        return "" if longer.endswith(shorter) else None

    def covers(self, other: HostPattern) -> bool:
        """Return whether every host of `other` is also one of these; False where that cannot be told."""
        if self.text == other.text or self.specificity == 0:
            return True
        if other.name is not None:
            return self.matches(other.example) and (self.port is None or self.port == other.port)
        return self._is_suffix and other._is_suffix and other.suffix.endswith(self.suffix)

    @property
    def _is_suffix(self) -> bool:
        return self.text == f"*{self.suffix}"


_EVERY_HOST = HostPattern("*", 0, "(?s)^.*$", None, "", None, "any.example")


@lru_cache(maxsize=4096)
def read_host_pattern(raw: str) -> HostPattern:
    """Return what a host pattern means: a name, a name with `*` for any run of characters, or a regexp.

    A port in the pattern must be in the header, unless it is 80 or 443, which clients leave out.

    Raises:
        UnmatchableError: when no Host header can match.
        PatternError: when it is a regexp that Go refuses.
    """
    text = normal_host(raw)
    if text in ("*", ".*"):
        return _EVERY_HOST
    if (REGEXP_SIGNS.search(text) and not _is_bracketed_address(text)) or text.startswith(".*"):
        return _regexp_host(raw.strip())
    return _named_host(text)


def _is_bracketed_address(text: str) -> bool:
    found = _PORT.fullmatch(text)
    return found is not None and text.startswith("[") and _HOST_NAME.fullmatch(found[1]) is not None


def _named_host(text: str) -> HostPattern:
    found = _PORT.fullmatch(text)
    name, port = (found[1], found[2]) if found is not None else (text, None)
    if not name.isascii():
        raise UnmatchableError("clients send host names in their ASCII form: write it as xn--…")
    if not _HOST_NAME.fullmatch(name) or (port is not None and int(port) > 65_535):
        raise UnmatchableError("it is no host name, with or without a port")
    name = name.rstrip(".") or name
    parts = name.split("*")
    body = "[^:]*".join(quote_go(part) for part in parts)
    one_name = len(parts) == 1
    text = name + (f":{port}" if port else "")
    return HostPattern(
        text,
        2 if one_name else 1,
        f"(?i)^{body}\\.?{_port_regexp(port)}$",
        name if one_name else None,
        parts[-1],
        port,
        text.replace("*", "any"),
    )


def _port_regexp(port: str | None) -> str:
    if port is None:
        return "(?::[0-9]+)?"
    return f"(?::{port})?" if port in _DEFAULT_PORTS else f":{port}"


def _regexp_host(raw: str) -> HostPattern:
    body, warning = without_anchors(raw)
    one_host = only_text(body)
    if one_host is not None and _HOST_NAME.fullmatch(one_host.lower()) and "*" not in one_host:
        return _named_host(one_host.lower())
    regexp = f"(?i)^(?:{ascii_pattern(body)})\\.?(?::[0-9]+)?$"
    # Letters outside ASCII have other cases than the lower one, and digits may be those of a port.
    ending = fixed_ending(body).lower().rstrip(".")
    is_known = ending.isascii() and ":" not in ending and not ending.isdigit()
    known = (whole_bounds(body)[0].decode("utf-8", "replace"), body.replace(".*", "any"))
    return HostPattern(
        raw,
        1,
        regexp,
        None,
        ending if is_known else "",
        None,
        next((host for host in known if compiled(regexp).search(host)), ""),
        warning,
    )
