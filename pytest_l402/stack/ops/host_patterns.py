"""Decides what a host pattern means, and by which regexp Aperture matches the same Host headers.

Aperture tests `hostregexp` against the Host header as the client sent it, unanchored. So the regexp is
anchored, and it takes upper case, a dot at the end and a port as well: a client could otherwise choose a
cheaper rule by the way it spells the host. Source: Aperture proxy, `matchService`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from .character_sets import ANY, char_set, invert
from .go_regexp import ascii_pattern, parse_go_regexp, quote_go
from .language import Language, check_size, literal_suffix, literal_text
from .pattern_text import REGEXP_SIGNS, UnmatchableError, without_anchors
from .regexp_nodes import Chain, Chars, Node, Repeat, Text
from .snapshot import normal_host

_HOST_NAME = re.compile(r"[a-z0-9._~*-]+|\[[0-9a-f:.]+\]")
_PORT = re.compile(r"(.*?)(?::([0-9]{1,5}))?", re.DOTALL)
_DEFAULT_PORTS = ("80", "443")
_ANY_PORT: Node = Repeat(Chain((Chars(char_set(":")), Repeat(Chars(((48, 57),)), 1, None))), 0, 1)
_DOT: Node = Repeat(Chars(char_set(".")), 0, 1)
_NOT_COLON = invert(char_set(":"))


@dataclass(frozen=True)
class HostPattern:
    """Which Host headers a route takes; `specificity` is 0 for any, 1 for a wildcard or regexp, 2 for a name.

    `name` is the one host name, or None; every host that matches ends in `suffix`, before its port.
    """

    text: str
    specificity: int
    regexp: str
    name: str | None
    suffix: str
    port: str | None
    _body: str | Node = field(repr=False, compare=False)
    warning: str | None = field(default=None, compare=False)

    @cached_property
    def _language(self) -> Language:
        """The Host headers that match: built only for a pattern that is compared with another."""
        if not isinstance(self._body, str):
            return Language(Chain((self._body, _DOT, _ANY_PORT)))
        first, *others = self._body.split("*")
        nodes: list[Node] = [Text(first)]
        for part in others:
            nodes += [Repeat(Chars(_NOT_COLON), 0, None), Text(part)]
        return Language(Chain((*nodes, _DOT, _port_node(self.port))))

    def matches(self, host: str) -> bool:
        """Return whether a Host header is one of these."""
        return self.specificity == 0 or self._language.matches(host.lower())

    def common_host(self, other: HostPattern) -> str | None:
        """Return a Host header that both match, or None; empty where a comparison would take too long."""
        if self.text == other.text or other.specificity == 0:
            return self.example
        if self.specificity == 0:
            return other.example
        if self.name is not None and other.name is not None and self.name != other.name:
            return None
        return self._language.common_text(other._language)

    def covers(self, other: HostPattern) -> bool:
        """Return whether every host of `other` is also one of these."""
        if self.text == other.text or self.specificity == 0:
            return True
        if other.specificity == 0:
            return False
        if self.name is not None and other.name is not None and self.name != other.name:
            return False
        return self._language.covers(other._language)

    @cached_property
    def example(self) -> str:
        """A host that matches."""
        if self.name is not None:
            return self.name + (f":{self.port}" if self.port else "")
        if self.specificity == 0:
            return "any.example"
        return self._language.common_text(self._language) or ""


_EVERY_HOST = HostPattern("*", 0, "(?s)^.*$", None, "", None, Repeat(Chars(ANY), 0, None))


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
    return HostPattern(
        name + (f":{port}" if port else ""),
        2 if one_name else 1,
        f"(?i)^{body}\\.?{_port_regexp(port)}$",
        name if one_name else None,
        parts[-1],
        port,
        name,
    )


def _port_regexp(port: str | None) -> str:
    if port is None:
        return "(?::[0-9]+)?"
    return f"(?::{port})?" if port in _DEFAULT_PORTS else f":{port}"


def _port_node(port: str | None) -> Node:
    if port is None:
        return _ANY_PORT
    node = Text(f":{port}")
    return Repeat(node, 0, 1) if port in _DEFAULT_PORTS else node


def _regexp_host(raw: str) -> HostPattern:
    body, warning = without_anchors(raw)
    node = parse_go_regexp(body, ignore_case=True)
    one_host = literal_text(node, any_case=True)
    if one_host is not None and _HOST_NAME.fullmatch(one_host) and "*" not in one_host:
        return _named_host(one_host)
    suffix = literal_suffix(node, any_case=True)
    # A suffix that ends in a digit may be a port, which says nothing about the name.
    usable = suffix.isascii() and ":" not in suffix and not suffix[-1:].isdigit()
    check_size(node)
    return HostPattern(
        raw,
        1,
        f"(?i)^(?:{ascii_pattern(body)})\\.?(?::[0-9]+)?$",
        None,
        suffix.lower().rstrip(".") if usable else "",
        None,
        node,
        warning,
    )
