"""Decides what a regexp of an `aperture.yaml` means to Go's engine, which is RE2: asked of RE2 itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile
from typing import Final, Protocol

import re2

REGEXP_SIGNS: Final = re.compile(r"[\\^$+?()\[\]{}|]")
"""What makes a pattern a regexp; `*` alone does not, and neither does a dot."""

_QUOTED: Final = {ord(sign): "\\" + sign for sign in "\\.+*?()|[]{}^$"}
_PART: Final = re.compile(
    r"\\Q.*?(?:\\E|\Z)|\\[xpP]\{[^}]*\}|\\x..|\\[0-7]{1,3}|\\[pP].|\\.|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]|\(\?P?<[^>]*>"
    r"|\{(?:0|[1-9][0-9]*)(?:,(?:0|[1-9][0-9]*)?)?\}|.",
    re.DOTALL,
)
_OTHERWISE_IN_GO: Final = re.compile(r"\\C|\{[0-9,]{5}|\(\?P?<")
"""What a pattern has in it that Go refuses and RE2 does not; it may mean something else where it stands."""
_FOLDS_CASE: Final = re.compile(r"\(\?[a-zA-Z-]*i")
_LONGEST_BOUND: Final = 1_000
# Enough for a thousand letters of any script, `\pL{1000}`, which Go takes and RE2's default does not.
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 32 * 1024 * 1024
_LETTER: Final = "[a-z]"
_NEARLY_ANYTHING: Final = (".", r"\w", r"\S", r"\D")
_NO_EDGE: Final = {r"\b": "(?:)", r"\B": "(?:)"}
_PLAIN: Final = re.compile("[ -~]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class PatternError(ValueError):
    """A pattern that Go's engine refuses."""


class UnmatchableError(ValueError):
    """A pattern that no request can match by the time Aperture looks at it."""


class _Compiled(Protocol):
    """What RE2 makes of a pattern, as far as it is used here."""

    def search(self, text: bytes) -> object: ...

    def fullmatch(self, text: bytes) -> object: ...

    def possiblematchrange(self, longest: int) -> tuple[bytes, bytes]: ...


class Pattern:
    """A pattern as Go's engine reads it; in texts, half of a surrogate pair counts as U+FFFD."""

    __slots__ = ("_compiled",)

    def __init__(self, made: _Compiled) -> None:
        self._compiled = made

    def search(self, text: str) -> bool:
        """Return whether the pattern matches somewhere in `text`."""
        return self._compiled.search(_bytes(text)) is not None

    def fullmatch(self, text: str) -> bool:
        """Return whether the pattern matches `text` as a whole."""
        return self._compiled.fullmatch(_bytes(text)) is not None

    def bounds(self) -> tuple[bytes, bytes]:
        """Return what no match lies below or above; two empty bounds when that cannot be told.

        Both are at most 1,000 bytes long. The order of UTF-8 bytes is that of the code points.
        """
        try:
            return self._compiled.possiblematchrange(_LONGEST_BOUND)
        except re2.error:
            return b"", b""


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    """Return a pattern as Go's engine reads it.

    Raises:
        PatternError: when Go refuses it, in RE2's words, or when it is too large to be compiled in 32 MiB.
    """
    if _SURROGATE.search(pattern):
        raise PatternError("half of a surrogate pair")
    if _OTHERWISE_IN_GO.search(pattern):
        for part in _PART.findall(pattern):
            _check_as_go(part)
    try:
        # As bytes, RE2 need not count characters to say where it found what it found.
        return Pattern(re2.compile(pattern.encode(), _OPTIONS))
    except re2.error as error:
        raise PatternError(error.args[0].decode("utf-8", "replace")) from None


def _check_as_go(part: str) -> None:
    """Refuse what RE2 takes and Go does not. Source: 20,000 random patterns given to both."""
    if part == r"\C":
        raise PatternError(r"invalid escape sequence: \C")
    if part.startswith("{") and any(len(count) > 4 for count in re.findall("[0-9]+", part)):
        raise PatternError("invalid repeat count: above 1000")
    if part.startswith("(?") and not part.isascii():
        raise PatternError(f"invalid named capture: {part}")


def whole_bounds(pattern: str) -> tuple[bytes, bytes]:
    """Return the bounds of the texts that a pattern matches as a whole."""
    # Of an edge of a word RE2 makes bounds that are too narrow; without the edges, more texts match.
    parts: list[str] = _PART.findall(_closed(pattern))
    return compiled(f"^(?:{''.join(_NO_EDGE.get(part, part) for part in parts)})$").bounds()


def only_text(pattern: str) -> str | None:
    """Return the one text that a pattern matches as a whole, None when that is empty or not known."""
    low, high = whole_bounds(pattern)
    if not low or low != high:
        return None
    text = low.decode("utf-8", "replace")
    return text if compiled(pattern).fullmatch(text) else None


def examples(pattern: str) -> Iterator[str]:
    """Yield texts that a pattern matches, made of letters where it takes nearly anything.

    There may be none, also where the pattern matches something.

    Raises:
        PatternError: when Go refuses it.
    """
    found = compiled(pattern)
    parts: list[str] = _PART.findall(pattern)
    lettered = [_lettered(part, after) for part, after in zip(parts, [*parts[1:], ""], strict=False)]
    # Of what may be left out there is rather one.
    filled = [
        "+" if part == "*" and at and lettered[at - 1] == _LETTER else part
        for at, part in enumerate(lettered)
    ]
    for tried in dict.fromkeys(("".join(filled), "".join(lettered), pattern)):
        text = whole_bounds(tried)[0].decode("utf-8", "replace")
        if found.search(text):
            yield text


def _lettered(part: str, after: str) -> str:
    """Return what is asked for in the place of a part: a letter for nearly anything, a dot for a lone one."""
    if part == "." and after[:1] not in ("*", "+", "?", "{"):
        return r"\."
    return _LETTER if part in _NEARLY_ANYTHING or part.startswith("[^") else part


def fixed_beginning(pattern: str) -> str:
    """Return what every text that matches as a whole begins with, as far as that is known."""
    low, high = whole_bounds(pattern)
    length = next((at for at, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), None)
    return low[: min(len(low), len(high)) if length is None else length].decode("utf-8", "ignore")


def fixed_ending(pattern: str) -> str:
    """Return what every text that matches as a whole ends in, as far as it is written out at the end.

    Only a character that stands for itself counts: a code such as `\\x41`, and a class, end what is known.
    """
    parts: list[str] = _PART.findall(pattern)
    if _is_choice(parts) or _FOLDS_CASE.search(pattern):
        return ""
    letters = [part.removeprefix("\\") for part in takewhile(_is_letter, reversed(parts))]
    return "".join(reversed(letters))


def _is_letter(part: str) -> bool:
    return ord(part) not in _QUOTED if len(part) == 1 else part in _QUOTED.values()


def quote_go(text: str) -> str:
    """Return the regexp in ASCII that matches exactly `text`."""
    return ascii_pattern(text.translate(_QUOTED))


def ascii_pattern(pattern: str) -> str:
    """Return a pattern that Go reads the same, with every character outside printable ASCII as its code."""
    if r"\Q" not in pattern or _PLAIN.fullmatch(pattern):
        return "".join(map(_code, pattern))
    return "".join(map(_part_in_ascii, _PART.findall(_closed(pattern))))


def _part_in_ascii(part: str) -> str:
    if part.startswith(r"\Q") and not _PLAIN.fullmatch(part):
        # Between \Q and \E, a code would be four characters or more that stand for themselves.
        return "".join(f"\\x{{{ord(char):x}}}" for char in part[2:-2])
    return "".join(map(_code, part))


def _code(char: str) -> str:
    return char if " " <= char <= "~" else f"\\x{{{ord(char):x}}}"


def _closed(pattern: str) -> str:
    """Return a pattern with an end of its quotation, which Go lets stay open, to put something behind it."""
    parts: list[str] = _PART.findall(pattern) if r"\Q" in pattern else []
    is_open = parts and parts[-1].startswith(r"\Q") and not parts[-1].endswith(r"\E")
    return pattern + r"\E" if is_open else pattern


def without_anchors(pattern: str) -> tuple[str, str | None]:
    """Return a regexp without the anchors at its ends, and a warning when it had only one of the two.

    Raises:
        PatternError: when Go refuses it.
    """
    compiled(pattern)
    pattern = _closed(pattern)
    if not pattern.startswith("^") and not pattern.endswith("$"):
        return pattern, None
    parts: list[str] = _PART.findall(pattern)
    starts, ends = parts[:1] == ["^"], parts[-1:] == ["$"]
    if not (starts or ends) or _is_choice(parts):
        # An anchor may belong to one option only, and matching the whole makes it say nothing.
        return pattern, None
    warning = "it is anchored on one side only, but always has to match the whole"
    return "".join(parts[starts : len(parts) - ends]), None if starts == ends else warning


def _is_choice(parts: list[str]) -> bool:
    """Return whether a pattern is a choice as a whole, not only within a group."""
    depth = 0
    for part in parts:
        depth += part.startswith("(") - (part == ")")
        if part == "|" and not depth:
            return True
    return False


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()
