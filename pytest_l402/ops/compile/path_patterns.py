"""Decides what a path pattern means, and by which regexp Aperture matches the same paths.

Aperture tests `pathregexp` against the decoded path, unanchored, so the regexp is anchored. Source:
Aperture proxy, `matchService`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

from pytest_l402.ops.compile.hashes import normal_path
from pytest_l402.ops.regexps import (
    REGEXP_SIGNS,
    UnmatchableError,
    ascii_pattern,
    compiled,
    fixed_beginning,
    fixed_ending,
    only_text,
    quote_go,
    whole_bounds,
    without_anchors,
)

_PERCENT_CODE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNSAFE_SEGMENT = re.compile(r"//|/\.{1,2}(?:/|\Z)|;|[\x00-\x1f\x7f]")
_SLASH_STAR = re.compile(r"/\*(?=.)")


class PathKind(IntEnum):
    """How a path pattern is read; the number is its specificity."""

    CATCHALL = 0
    REGEXP = 1
    PREFIX = 2
    EXACT = 3


@dataclass(frozen=True)
class PathPattern:
    """Which paths a route takes; every path that matches begins with `prefix`, an exact one is `prefix`."""

    text: str
    kind: PathKind
    regexp: str
    prefix: str
    body: str = field(default="", repr=False, compare=False)
    warning: str | None = field(default=None, compare=False)

    @property
    def specificity(self) -> int:
        """0 for a catch-all, 1 for a regexp, 2 for a prefix, 3 for one path."""
        return int(self.kind)

    def matches(self, path: str) -> bool:
        """Return whether a decoded path is one of these."""
        match self.kind:
            case PathKind.EXACT:
                return path == self.prefix
            case PathKind.REGEXP:
                return compiled(self.body).fullmatch(path)
            case _:
                return path.startswith(self.prefix)

    def common_path(self, other: PathPattern) -> str | None:
        """Return a path that both match, None when there is none; empty when there may be one.

        Two regexps are said to meet unless their bounds or their endings keep them apart.
        """
        for one, another in ((self, other), (other, self)):
            if one.kind is PathKind.EXACT:
                return one.prefix if another.matches(one.prefix) else None
        if PathKind.REGEXP not in (self.kind, other.kind):
            longer, shorter = sorted((self.prefix, other.prefix), key=len, reverse=True)
            return longer if longer.startswith(shorter) else None
        (low, high), (other_low, other_high) = self._bounds, other._bounds
        if (high and high < other_low) or (other_high and other_high < low):
            return None
        endings = self._ending, other._ending
        if not (endings[0].endswith(endings[1]) or endings[1].endswith(endings[0])):
            return None
        known = (self.example, other.example)
        return next((text for text in known if self.matches(text) and other.matches(text)), "")

    def covers(self, other: PathPattern) -> bool:
        """Return whether every path of `other` is also one of these; False where that cannot be told."""
        if self.kind is PathKind.CATCHALL or (other.kind is PathKind.EXACT and self.matches(other.prefix)):
            return True
        if self.kind is PathKind.PREFIX:
            return other.prefix.startswith(self.prefix)
        return self.kind is PathKind.REGEXP is other.kind and self.regexp == other.regexp

    @cached_property
    def example(self) -> str:
        """A path that matches, or `/` when none is known."""
        if self.kind is not PathKind.REGEXP:
            return self.prefix
        least = self._bounds[0].decode("utf-8", "replace")
        return next(
            (
                text
                for text in (least, self.body.replace(".*", ""), self.prefix + self._ending)
                if self.matches(text)
            ),
            "/",
        )

    @cached_property
    def _ending(self) -> str:
        return fixed_ending(self.body) if self.kind is PathKind.REGEXP else ""

    @cached_property
    def _bounds(self) -> tuple[bytes, bytes]:
        if self.kind is PathKind.REGEXP:
            return whole_bounds(self.body)
        least = self.prefix.encode()
        return least, least if self.kind is PathKind.EXACT else least + b"\xff"


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
    if REGEXP_SIGNS.search(text) or "*" in text:
        return _regexp_path(text)
    return _exact_path(text)


def _read_literally(prefix: str) -> str | None:
    if REGEXP_SIGNS.search(prefix) or "*" in prefix:
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
    body, warning = without_anchors(text)
    if text.startswith("^"):
        one_path = only_text(body)
        if one_path is not None and one_path.startswith("/") and one_path != "/":
            return _exact_path(one_path)
        below = only_text(body.removesuffix(".*")) if body.endswith("/.*") else None
        if below is not None and len(below) > 1 and below.startswith("/"):
            return _prefix_path(below, warning)
    if _SLASH_STAR.search(body):
        warning = "/* within a regexp repeats the slash; for one segment write /[^/]+"
    compiled(body)
    pattern = PathPattern(
        text, PathKind.REGEXP, f"^(?:{ascii_pattern(body)})$", fixed_beginning(body), body, warning
    )
    if not pattern.prefix.startswith("/") and pattern.common_path(_EVERY_PATH) is None:
        if not text.startswith(("/", "^")):
            return _regexp_path("/" + text)
        raise UnmatchableError("every path begins with a slash, which this regexp does not allow")
    return pattern
