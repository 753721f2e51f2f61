"""Decides which files and texts are JSON that evidence may rest on, and names what is wrong with others."""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NoReturn

from pytest_l402.boundary.input_error import InputError as InputError
from pytest_l402.boundary.input_files import MAX_BYTES, decode_utf8, read_lines, read_text
from pytest_l402.boundary.json_positions import line_of, value_positions
from pytest_l402.boundary.text_safety import quoted
from pytest_l402.boundary.text_safety import seen as _shown

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def parse_json(text: str, source: str | os.PathLike[str] = "text", first_line: int = 1) -> Any:
    """Return what the JSON `text` holds, as plain builtins.

    Refused beyond malformed text: a key twice in one object, NaN, Infinity and numbers that no float or
    integer holds, lone surrogates, a nesting that exhausts the parser. `source` and `first_line` name the
    text in errors.

    Raises:
        InputError: with line and, where there is one, field.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except _RefusedError as refused:
        _raise_located(refused, text, source, first_line)
    except json.JSONDecodeError as error:
        _raise_malformed(error, text, source, first_line)
    except RecursionError:
        raise InputError.at(
            source, line=first_line, expected="JSON", seen="nesting too deep to parse"
        ) from None
    except ValueError:
        # The interpreter refuses integers of thousands of digits; any other ValueError is a JSONDecodeError.
        raise InputError.at(
            source,
            line=first_line,
            expected="numbers that fit 64 bits",
            seen="an integer of thousands of digits",
        ) from None
    if _SURROGATE_ESCAPE.search(text) or _has_lone_surrogate(text):
        _refuse_lone_surrogates(value, text, source, first_line)
    return value


def read_json(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Any:
    """Return what the JSON file at `path` holds; at most `limit` bytes are read.

    Raises:
        InputError: missing, unreadable, a directory, empty, too large, not UTF-8, or not JSON as `parse_json`
            wants it.
    """
    return parse_json(read_text(path, limit), path)


def read_json_lines(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Iterator[Any]:
    """Yield the value of each line that is not blank; no line may exceed `limit` bytes.

    Raises:
        InputError: as `read_json`, with the line; also when no line holds anything.
    """
    empty = True
    for number, data in read_lines(path, limit):
        empty = False
        yield parse_json(decode_utf8(data, path, number), path, number)
    if empty:
        raise InputError.at(path, expected="JSON Lines", seen="an empty file")


class _RefusedError(ValueError):
    """Raised inside the parser, which cannot tell where it is."""

    def __init__(self, expected: str, seen: str, key: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.seen = seen
        self.key = key


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _RefusedError("each key once in an object", "the key twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise _RefusedError("a number that JSON has", name, name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError("a number that a float holds", quoted(digits, 20), digits)
    return number


def _raise_located(
    refused: _RefusedError, text: str, source: str | os.PathLike[str], first_line: int
) -> NoReturn:
    line, field = first_line, None
    if refused.expected.startswith("each key"):
        for position in value_positions(text, first_line, max_depth=10**6):
            if position.repeated:
                line, field = position.line, position.path
                break
    elif refused.key is not None:
        line = first_line + text.count("\n", 0, max(text.find(refused.key), 0))
    raise InputError.at(
        source, line=line, field=field, expected=refused.expected, seen=refused.seen
    ) from None


def _raise_malformed(
    error: json.JSONDecodeError, text: str, source: str | os.PathLike[str], first_line: int
) -> NoReturn:
    line = first_line + error.lineno - 1
    # Not strip(): what JSON takes for no blank is what is wrong here.
    rest = text[error.pos : error.pos + 200].strip(" \t\r\n")
    if not rest or error.msg.startswith("Unterminated string"):
        raise InputError.at(
            source,
            line=line,
            expected="complete JSON",
            seen="its end in the middle of a value",
            remedy="the file was cut off; take the whole one",
        ) from None
    if error.msg.startswith("Extra data"):
        raise InputError.at(
            source, line=line, expected="one JSON value", seen=f"more text after it: {_named(rest[0])}"
        ) from None
    # Only one character is shown: what follows it may be a secret.
    raise InputError.at(
        source,
        line=line,
        expected=f"JSON ({error.msg} at column {error.colno})",
        seen=_named(rest[0]),
        remedy=None if rest[0].isascii() and rest[0].isprintable() else "take that character out",
    ) from None


def _named(char: str) -> str:
    """A character, and its number and name where it cannot be told by looking at it."""
    if char.isascii() and char.isprintable():
        return quoted(char)
    return f"{quoted(char)} (U+{ord(char):04X} {unicodedata.name(char, 'a control character')})"


def _refuse_lone_surrogates(value: Any, text: str, source: str | os.PathLike[str], first_line: int) -> None:
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, dict):
            for key, child in item.items():
                here = f"{path}.{key}" if path else key
                if _has_lone_surrogate(key):
                    pending.append((path, key))
                pending.append((here, child))
        elif isinstance(item, list):
            pending.extend((f"{path}[{index}]", child) for index, child in enumerate(item))
        elif isinstance(item, str) and _has_lone_surrogate(item):
            raise InputError.at(
                source,
                line=line_of(text, path, first_line),
                field=path or None,
                expected="text without lone surrogates",
                seen=_shown(item),
            )


def _has_lone_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


MAX_SAFE_INTEGER = 2**53 - 1
"""The greatest integer that every reader of JSON holds exactly."""
