"""Decides what a regexp of a route means to Go's engine, which is RE2: asked of RE2 itself."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Protocol

import re2

REGEXP_SIGNS = re.compile(r"[\\^$+?()\[\]{}|]")
"""What makes a pattern a regexp; `*` alone does not, and neither does a dot."""
_QUOTED = {ord(sign): "\\" + sign for sign in "\\.+*?()|[]{}^$"}
_LONGEST = 1_000


class Pattern(Protocol):
    """What RE2 made of a pattern."""

    def search(self, text: str) -> Any:
        """Return whether and where the pattern matches somewhere in `text`."""
        ...

    def fullmatch(self, text: str) -> Any:
        """Return whether and where the pattern matches `text` as a whole."""
        ...

    def possiblematchrange(self, longest: int) -> tuple[bytes, bytes]:
        """Return texts of at most `longest` bytes between which every match lies."""
        ...


class PatternError(ValueError):
    """A pattern that Go's engine refuses."""


class UnmatchableError(ValueError):
    """A pattern that no request can match by the time Aperture looks at it."""


def _options(ignore_case: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return options


@lru_cache(maxsize=4096)
def compiled(pattern: str, *, ignore_case: bool = False) -> Pattern:
    """Return RE2's own reading of a pattern. Raises `PatternError` when it refuses it."""
    try:
        made: Pattern = re2.compile(pattern, _options(ignore_case))
        return made
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(
            reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        ) from None
    except UnicodeEncodeError:
        raise PatternError("half of a surrogate pair") from None


def text_range(pattern: str, *, ignore_case: bool = False) -> tuple[str, str]:
    """Return texts between which every whole match lies, in the order of their bytes; ("", "") for all."""
    try:
        low, high = compiled(f"^(?:{pattern})$", ignore_case=ignore_case).possiblematchrange(_LONGEST)
        return low.decode("utf-8", "replace"), high.decode("utf-8", "replace")
    except re2.error:
        return "", ""


def only_text(pattern: str, *, ignore_case: bool = False) -> str | None:
    """Return the one text that a pattern matches, None when it matches another number of texts."""
    low, high = text_range(pattern, ignore_case=ignore_case)
    return low if low == high and low and compiled(pattern, ignore_case=ignore_case).fullmatch(low) else None


def fixed_beginning(pattern: str) -> str:
    """Return what every text that matches begins with."""
    low, high = text_range(pattern)
    length = next(
        (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high))
    )
    return low[:length]


def quote_go(text: str) -> str:
    """Return the regexp in ASCII that matches exactly `text`."""
    return ascii_pattern(text.translate(_QUOTED))


def ascii_pattern(pattern: str) -> str:
    """Return a pattern that Go reads the same, with every character outside printable ASCII as its code."""
    return "".join(char if " " <= char <= "~" else f"\\x{{{ord(char):x}}}" for char in pattern)


def without_anchors(pattern: str) -> tuple[str, str | None]:
    """Return a regexp without the anchors at its ends, and a warning when it had only one of the two."""
    compiled(pattern)
    starts, ends = pattern.startswith("^"), pattern.endswith("$")
    ends = ends and (len(pattern) - 1 - len(pattern[:-1].rstrip("\\"))) % 2 == 0
    if _is_choice(pattern) or not (starts or ends):
        # An anchor may belong to one option only, and matching the whole makes it say nothing.
        return pattern, None
    body = pattern.removeprefix("^")
    body = body[:-1] if ends else body
    return (
        body,
        None if starts == ends else "it is anchored on one side only, but always has to match the whole",
    )


def _is_choice(pattern: str) -> bool:
    """Return whether a pattern that RE2 takes is a choice as a whole, not only within a group."""
    plain = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "", pattern, flags=re.DOTALL)
    depth = 0
    for sign in plain:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and not depth:
            return True
    return False
