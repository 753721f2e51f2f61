"""Decides which characters a class of a regexp holds: sorted, disjoint ranges of code points."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

CharSet = tuple[tuple[int, int], ...]

_LAST = 0x10FFFF
ANY: CharSet = ((0, _LAST),)
ANY_BUT_NEWLINE: CharSet = ((0, 9), (11, _LAST))

_DIGIT = ((48, 57),)
_LOWER = ((97, 122),)
_UPPER = ((65, 90),)
_CASE_DISTANCE = 32

_POSIX: dict[str, CharSet] = {
    "alnum": (*_DIGIT, *_UPPER, *_LOWER),
    "alpha": (*_UPPER, *_LOWER),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": _LOWER,
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": _UPPER,
    "word": (*_DIGIT, *_UPPER, (95, 95), *_LOWER),
    "xdigit": (*_DIGIT, (65, 70), (97, 102)),
}
# Go's \s has no vertical tab, unlike [[:space:]].
_PERL: dict[str, CharSet] = {"d": _DIGIT, "s": ((9, 10), (12, 13), (32, 32)), "w": _POSIX["word"]}


def char_set(char: str) -> CharSet:
    """Return the set of one character."""
    return ((ord(char), ord(char)),)


def union(one: CharSet, other: CharSet) -> CharSet:
    """Return what is in either set."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted((*one, *other)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def intersection(one: CharSet, other: CharSet) -> CharSet:
    """Return what is in both sets."""
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low <= high:
            found.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def invert(chars: CharSet) -> CharSet:
    """Return every character that is not in the set."""
    found: list[tuple[int, int]] = []
    start = 0
    for low, high in chars:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        found.append((start, _LAST))
    return tuple(found)


def contains(chars: CharSet, char: str) -> bool:
    """Return whether a character is in the set."""
    code = ord(char)
    return any(low <= code <= high for low, high in chars)


def fold_case(chars: CharSet) -> CharSet:
    """Return the set with the other case of each letter: exact for ASCII and for single characters.

    Of longer ranges beyond ASCII nothing is added: a host is ASCII, and paths are matched with their case.
    """
    added: list[tuple[int, int]] = []
    for lower, distance in ((_UPPER, _CASE_DISTANCE), (_LOWER, -_CASE_DISTANCE)):
        added += [(low + distance, high + distance) for low, high in intersection(chars, lower)]
    for low, high in chars:
        if low == high and low > 127:
            added += [
                (ord(char), ord(char)) for char in (chr(low).lower(), chr(low).upper()) if len(char) == 1
            ]
    return union(chars, tuple(added))


def single_char(chars: CharSet, *, any_case: bool) -> str | None:
    """Return the one character of a set; with `any_case` a letter in both cases is the lower-case one."""
    if len(chars) == 1 and chars[0][0] == chars[0][1]:
        return chr(chars[0][0])
    if any_case and len(chars) == 2 and all(low == high for low, high in chars):
        upper, lower = chr(chars[0][0]), chr(chars[1][0])
        if upper.isascii() and upper.isupper() and upper.lower() == lower:
            return lower
    return None


def sample(chars: CharSet) -> str:
    """Return one character of a set that is not empty, a readable one if there is any."""
    for wished in (_LOWER, _DIGIT, _UPPER, ((45, 46), (95, 95)), ((33, 126),)):
        if both := intersection(chars, wished):
            return chr(both[0][0])
    return chr(chars[0][0])


def perl_class(letter: str) -> CharSet | None:
    r"""Return the class of `\d`, `\s`, `\w` or their opposites in upper case, else None."""
    chars = _PERL.get(letter.lower())
    return chars if chars is None or letter.islower() else invert(chars)


def class_named(name: str) -> CharSet | None:
    """Return the class that `[:name:]` or `[:^name:]` stands for, else None."""
    chars = _POSIX.get(name.removeprefix("^"))
    return invert(chars) if chars is not None and name.startswith("^") else chars


@cache
def general_category(name: str) -> CharSet | None:
    """Return the characters of a Unicode general category, `L` or `Lu`; `Any` is all of them; else None."""
    if name == "Any":
        return ANY
    if len(name) > 2 or name[0] not in "CLMNPSZ" or name == "Cn":
        return None
    # Go counts no unassigned characters among C.
    codes = [
        code
        for code in range(sys.maxunicode + 1)
        if (category := unicodedata.category(chr(code))).startswith(name) and category != "Cn"
    ]
    ranges: list[tuple[int, int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return tuple(ranges) or None
