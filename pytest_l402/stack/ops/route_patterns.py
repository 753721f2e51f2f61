"""Decides what host and path patterns mean, and by which regexps Aperture matches the same requests.

Aperture tests `hostregexp` against the Host header as the client sent it, and `pathregexp` against the
decoded path, both unanchored. So every regexp here is anchored; a host also matches in upper case, with a
dot at the end and with a port, since a client could otherwise choose a cheaper rule by the way it spells
the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

from .character_sets import ANY, ANY_BUT_NEWLINE, char_set, invert
from .go_regexp import (
    Chain,
    Chars,
    Choice,
    Node,
    PatternError,
    Repeat,
    ascii_pattern,
    literal,
    parse_go_regexp,
    quote_go,
)
from .language import Language, literal_prefix, literal_suffix, literal_text
from .snapshot import normal_host, normal_path

_REGEXP_SIGNS = re.compile(r"[\\^$+?()\[\]{}|]")
_HOST_NAME = re.compile(r"[a-z0-9._~*-]+|\[[0-9a-f:.]+\]")
_PORT = re.compile(r"(.*?)(?::([0-9]{1,5}))?", re.DOTALL)
_PERCENT_CODE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNSAFE_SEGMENT = re.compile(r"//|/\.{1,2}(?:/|\Z)|;|[\x00-\x1f\x7f]")
_SLASH_STAR = re.compile(r"/\*(?=.)")
_DEFAULT_PORTS = ("80", "443")
_ANY_PORT: Node = Repeat(Chain((Chars(char_set(":")), Repeat(Chars(((48, 57),)), 1, None))), 0, 1)
_DOT: Node = Repeat(Chars(char_set(".")), 0, 1)
_NOT_COLON = invert(char_set(":"))


class PathKind(IntEnum):
    """How a path pattern is read; the number is its specificity."""

    CATCHALL = 0
    REGEXP = 1
    PREFIX = 2
    EXACT = 3


class UnmatchableError(ValueError):
    """A pattern that no request can match by the time Aperture looks at it."""


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
    _node: Node = field(repr=False, compare=False)
    warning: str | None = field(default=None, compare=False)

    @cached_property
    def _language(self) -> Language:
        return Language(self._node)

    def checked(self) -> HostPattern:
        """Return the pattern itself if it can be compared with others; `PatternError` if it is too large."""
        _ = self._language
        return self

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

    @property
    def example(self) -> str:
        """A host that matches."""
        if self.name is not None:
            return self.name + (f":{self.port}" if self.port else "")
        if self.specificity == 0:
            return "any.example"
        return self._language.common_text(self._language) or ""


@dataclass(frozen=True)
class PathPattern:
    """Which paths a route takes; every path that matches begins with `prefix`, an exact one is `prefix`."""

    text: str
    kind: PathKind
    regexp: str
    prefix: str
    _node: Node | None = field(default=None, repr=False, compare=False)
    warning: str | None = field(default=None, compare=False)

    @property
    def specificity(self) -> int:
        """0 for a catch-all, 1 for a regexp, 2 for a prefix, 3 for one path."""
        return int(self.kind)

    @cached_property
    def _language(self) -> Language:
        if self._node is not None:
            return Language(self._node)
        if self.kind is PathKind.EXACT:
            return Language(literal(self.prefix))
        return Language(Chain((literal(self.prefix), Repeat(Chars(ANY), 0, None))))

    def matches(self, path: str) -> bool:
        """Return whether a decoded path is one of these."""
        match self.kind:
            case PathKind.EXACT:
                return path == self.prefix
            case PathKind.REGEXP:
                return self._language.matches(path)
            case _:
                return path.startswith(self.prefix)

    def common_path(self, other: PathPattern) -> str | None:
        """Return a path that both match, or None; empty where a comparison would take too long."""
        if self.kind is PathKind.EXACT:
            return self.prefix if other.matches(self.prefix) else None
        if other.kind is PathKind.EXACT:
            return other.prefix if self.matches(other.prefix) else None
        if PathKind.REGEXP not in (self.kind, other.kind):
            longer, shorter = sorted((self.prefix, other.prefix), key=len, reverse=True)
            return longer if longer.startswith(shorter) else None
        return self._language.common_text(other._language)

    def covers(self, other: PathPattern) -> bool:
        """Return whether every path of `other` is also one of these."""
        if self.kind is PathKind.CATCHALL:
            return True
        if self.kind is PathKind.PREFIX and other.prefix.startswith(self.prefix):
            return True
        if PathKind.REGEXP not in (self.kind, other.kind):
            return self.kind is PathKind.EXACT is other.kind and self.prefix == other.prefix
        return self._language.covers(other._language)

    @property
    def example(self) -> str:
        """A path that matches."""
        return (
            self.prefix
            if self.kind is not PathKind.REGEXP
            else self._language.common_text(self._language) or "/"
        )


def read_host_pattern(raw: str) -> HostPattern:
    """Return what a host pattern means: a name, a name with `*` for any run of characters, or a regexp.

    A port in the pattern must be in the header, unless it is 80 or 443, which clients leave out.

    Raises:
        UnmatchableError: when no Host header can match.
        PatternError: when it is a regexp that Go refuses.
    """
    text = normal_host(raw)
    if text in ("*", ".*"):
        return HostPattern("*", 0, "(?s)^.*$", None, "", None, Chain((Repeat(Chars(ANY), 0, None),)))
    if (_REGEXP_SIGNS.search(text) and not _is_bracketed_address(text)) or text.startswith(".*"):
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
    nodes: list[Node] = [literal(parts[0])]
    for part in parts[1:]:
        nodes += [Repeat(Chars(_NOT_COLON), 0, None), literal(part)]
    body = "[^:]*".join(quote_go(part) for part in parts)
    one_name = len(parts) == 1
    return HostPattern(
        name + (f":{port}" if port else ""),
        2 if one_name else 1,
        f"(?i)^{body}\\.?{_port_regexp(port)}$",
        name if one_name else None,
        parts[-1],
        port,
        Chain((*nodes, _DOT, _port_node(port))),
    )


def _port_regexp(port: str | None) -> str:
    if port is None:
        return "(?::[0-9]+)?"
    return f"(?::{port})?" if port in _DEFAULT_PORTS else f":{port}"


def _port_node(port: str | None) -> Node:
    if port is None:
        return _ANY_PORT
    node = literal(f":{port}")
    return Repeat(node, 0, 1) if port in _DEFAULT_PORTS else node


def _regexp_host(raw: str) -> HostPattern:
    body, warning = _without_anchors(raw)
    node = parse_go_regexp(body, ignore_case=True)
    one_host = literal_text(node)
    if one_host is not None and _HOST_NAME.fullmatch(one_host) and "*" not in one_host:
        return _named_host(one_host)
    suffix = literal_suffix(node)
    # A suffix that ends in a digit may be a port, which says nothing about the name.
    usable = suffix.isascii() and ":" not in suffix and not suffix[-1:].isdigit()
    whole = Chain((node, _DOT, _ANY_PORT))
    pattern = HostPattern(
        raw,
        1,
        f"(?i)^(?:{ascii_pattern(body)})\\.?(?::[0-9]+)?$",
        None,
        suffix.lower().rstrip(".") if usable else "",
        None,
        whole,
        warning,
    )
    return pattern.checked()


def read_path_pattern(raw: str) -> PathPattern:
    """Return what a path pattern means: everything, everything below a path, a regexp, or one path.

    `/` and `/*` take everything, what ends in `/*` all paths below it but not the path itself, and what
    holds any of the signs of a regexp is one; it always has to match the whole path. Source: lightning-ops
    compiler, but a regexp that begins with `^` or `(` is taken as written, where the original puts a slash
    before it.

    Raises:
        UnmatchableError: when no path can match.
        PatternError: when it is a regexp that Go refuses.
    """
    text = normal_path(raw)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UnmatchableError("it holds half of a surrogate pair, which is no character")
    if _PERCENT_CODE.search(text):
        raise UnmatchableError(
            "Aperture matches the decoded path: write the character instead of its %XX code"
        )
    if text in ("/", "/*"):
        return replace(_EVERY_PATH, text=text)
    if text.startswith(("/^", "/(")):
        # Put in front of these, the slash would leave a regexp that no path matches.
        return _regexp_path(raw.strip() if not raw.strip().startswith("/") else text)
    if text.endswith("/*"):
        return _prefix_path(text[:-1], _read_literally(text[:-1]))
    if _REGEXP_SIGNS.search(text) or "*" in text:
        return _regexp_path(text)
    return _exact_path(text)


def _read_literally(prefix: str) -> str | None:
    if _REGEXP_SIGNS.search(prefix) or "*" in prefix:
        return "what stands before the /* at its end is read literally, the signs of a regexp included"
    return None


_EVERY_PATH = PathPattern("/", PathKind.CATCHALL, "(?s)^/.*$", "/")


def _exact_path(path: str) -> PathPattern:
    _check_literal(path)
    return PathPattern(path, PathKind.EXACT, f"^{quote_go(path)}$", path)


def _prefix_path(prefix: str, warning: str | None) -> PathPattern:
    _check_literal(prefix)
    return PathPattern(prefix + "*", PathKind.PREFIX, f"(?s)^{quote_go(prefix)}.*$", prefix, warning=warning)


def _check_literal(path: str) -> None:
    if _UNSAFE_SEGMENT.search(path):
        raise UnmatchableError(
            "Aperture cleans or refuses paths with empty or dot segments, semicolons and control characters"
        )


def _regexp_path(text: str) -> PathPattern:
    body, warning = _without_anchors(text)
    node = parse_go_regexp(body)
    if text.startswith("^"):
        one_path = literal_text(node)
        if one_path is not None and one_path.startswith("/") and one_path != "/":
            return _exact_path(one_path)
        below = _everything_below(node)
        if below is not None:
            return _prefix_path(below, warning)
    if _SLASH_STAR.search(body):
        warning = "/* within a regexp repeats the slash; for one segment write /[^/]+"
    pattern = PathPattern(
        text, PathKind.REGEXP, f"^(?:{ascii_pattern(body)})$", literal_prefix(node), node, warning
    )
    if pattern.common_path(_EVERY_PATH) is None:
        if not text.startswith(("/", "^")):
            return _regexp_path("/" + text)
        raise UnmatchableError("every path begins with a slash, which this regexp does not allow")
    return pattern


def _everything_below(node: Node) -> str | None:
    if isinstance(node, Chain) and node.parts[-1:] in (
        (Repeat(Chars(ANY), 0, None),),
        (Repeat(Chars(ANY_BUT_NEWLINE), 0, None),),
    ):
        prefix = literal_text(Chain(node.parts[:-1]))
        if prefix is not None and len(prefix) > 1 and prefix.startswith("/") and prefix.endswith("/"):
            return prefix
    return None


def _without_anchors(pattern: str) -> tuple[str, str | None]:
    """Return a regexp without the anchors at its ends, and a warning when it had only one of the two."""
    if isinstance(parse_go_regexp(pattern), Choice):
        # An anchor belongs to one option only, and matching the whole makes it say nothing.
        return pattern, None
    starts = pattern.startswith("^")
    body = pattern.removeprefix("^")
    ends = body.endswith("$") and (len(body) - 1 - len(body[:-1].rstrip("\\"))) % 2 == 0
    body = body[:-1] if ends else body
    if starts != ends:
        return body, "it is anchored on one side only, but always has to match the whole"
    return body, None


__all__ = [
    "HostPattern",
    "PathKind",
    "PathPattern",
    "PatternError",
    "UnmatchableError",
    "read_host_pattern",
    "read_path_pattern",
]
