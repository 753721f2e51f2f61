"""How Aperture's YAML library reads a word that is not in quotes: YAML 1.2, with the numbers of 1.1."""

from __future__ import annotations

import re
from typing import Final

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_BASES: Final = {"0x": 16, "0o": 8, "0b": 2}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def scalar_of(text: str) -> str | int | float | bool | None:
    """Return what a word without quotes is: `on` and `yes` are texts, `010` is 8, `1_000` a number."""
    if text in _NULLS:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    if text.startswith("_") or text.count(".") > 1:
        return None
    # One sign of each kind, as the library takes them away.
    digits = text.removeprefix("+").removeprefix("-").replace("_", "")
    sign = "-" if text.startswith("-") else ""
    if not digits or not digits.isascii() or digits[0] in "+-" or digits != digits.strip():
        return None
    try:
        if digits[:2] in _BASES:
            return int(sign + digits[2:], _BASES[digits[:2]])
        if digits[0] == "0" and len(digits) > 1 and "." not in digits:
            return int(sign + digits, 8)
        return float(sign + digits) if "." in digits else int(sign + digits)
    except ValueError:
        return None


def seconds_of(text: str) -> float | None:
    """Return how many seconds a Go duration such as `1m30s` lasts, or None when it is none."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, at = 0.0, 0
    while at < len(rest) and (part := _DURATION.match(rest, at)):
        total += float(part[0][: -len(part[1])]) * _NANOSECONDS[part[1]]
        at = part.end()
    return sign * total / 1e9 if rest and at == len(rest) else None
