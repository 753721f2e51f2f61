"""Decides which files and texts are JSON that evidence may rest on, and names what is wrong with others."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn, Self

from .faults import seen as _shown
from .json_positions import line_of, value_positions
from .redaction import redact_text
from .text_safety import printable, quoted

MAX_BYTES = 64 * 1024 * 1024
"""The longest line of a JSON Lines file, and the largest JSON document, in bytes."""

_MESSAGE_LIMIT = 1200
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class InputError(ValueError):
    """A file or text from outside cannot be used; its text is one line, safe to print, with secrets redacted.

    Made by `at`, it reads `file:line: field: expected …, saw …; what to do` and holds these as attributes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(redact_text(message), _MESSAGE_LIMIT))
        self.source: str | None = None
        self.line: int | None = None
        self.field: str | None = None
        self.expected: str | None = None
        self.seen: str | None = None

    @classmethod
    def at(
        cls,
        source: str | os.PathLike[str],
        *,
        expected: str,
        seen: str,
        line: int | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> Self:
        """Return the error of one place in one file; `line` counts from 1, `field` is a dotted path."""
        name = printable(os.fspath(source), 400)
        where = name if line is None else f"{name}:{line}"
        named = f"{where}: {quoted_field(field)}" if field else where
        advice = f"; {remedy}" if remedy else ""
        error = cls(f"{named}: expected {expected}, saw {seen}{advice}")
        error.source, error.line, error.field = name, line, field
        error.expected, error.seen = expected, printable(redact_text(seen))
        return error


def quoted_field(field: str) -> str:
    """Return a dotted path from a foreign document as it may be shown: keys of it may hold anything."""
    return quoted(redact_text(field), 120)[1:-1]


def parse_json(text: str, source: str | os.PathLike[str] = "text", first_line: int = 1) -> Any:
    """Return what the JSON `text` holds, as plain builtins.

    Refused beyond malformed text: a key twice in one object, NaN, Infinity and numbers that no float or
    integer holds, lone surrogates, a nesting that exhausts the parser. `source` and `first_line` name the text
    in errors.

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
    if _SURROGATE_ESCAPE.search(text) or not text.isascii():
        _refuse_lone_surrogates(value, text, source, first_line)
    return value


def read_json(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Any:
    """Return what the JSON file at `path` holds; at most `limit` bytes are read.

    Raises:
        InputError: missing, unreadable, a directory, empty, too large, not UTF-8, or not JSON as `parse_json`
            wants it.
    """
    return parse_json(read_text(path, limit), path)


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> str:
    """Return the text of the file at `path`, UTF-8 and not empty; a byte order mark is dropped.

    Raises:
        InputError: missing, unreadable, a directory, empty, larger than `limit` bytes, or not UTF-8.
    """
    with open_input(path) as stream:
        data = _guarded_read(stream, limit + 1, path)
    if len(data) > limit:
        raise InputError.at(
            path,
            expected=f"a JSON document of at most {limit} bytes",
            seen="a larger one",
            remedy="write the records as JSON Lines, one a line",
        )
    text = decode_utf8(data, path)
    if not text.strip():
        raise InputError.at(path, expected="a JSON document", seen="an empty file")
    return text


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


def read_lines(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield line number (from 1) and bytes of each line that is not blank, holding one line at a time.

    Raises:
        InputError: missing, unreadable, a directory, or a line longer than `limit` bytes.
    """
    with open_input(path) as stream:
        yield from lines_of(stream, path, limit)


def lines_of(
    stream: IO[bytes], source: str | os.PathLike[str], limit: int = MAX_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield what `read_lines` yields from a stream that is already open."""
    number = 0
    while True:
        try:
            data = stream.readline(limit + 1)
        except OSError as error:
            raise _unreadable(source, error) from None
        if not data:
            return
        number += 1
        if len(data) > limit and not data.endswith(b"\n"):
            raise InputError.at(
                source, line=number, expected=f"lines of at most {limit} bytes", seen="a longer one"
            )
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if data.strip():
            yield number, data


def open_input(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open the file at `path` for reading bytes.

    Raises:
        InputError: missing, a directory, not permitted, or a name that no file can have.
    """
    try:
        if Path(path).is_dir():
            raise InputError.at(path, expected="a file", seen="a directory", remedy="name the file in it")
        return Path(path).open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError.at(
            path, expected="the name of a file", seen="a name with a null character"
        ) from None


def decode_utf8(data: bytes, source: str | os.PathLike[str], line: int = 1) -> str:
    """Return `data` as text; `line` is the number of its first line.

    Raises:
        InputError: naming the line and the byte that is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = line + data.count(b"\n", 0, error.start)
        raise InputError.at(
            source,
            line=at,
            expected="UTF-8 text",
            seen=f"byte 0x{data[error.start]:02x} at offset {error.start}",
        ) from None


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
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedError("each key once in an object", "the key twice", twice)
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
    rest = text[error.pos :].strip()
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
            source, line=line, expected="one JSON value", seen=f"more text after it: {quoted(rest[0])}"
        ) from None
    # Only one character is shown: what follows it may be a secret.
    raise InputError.at(
        source, line=line, expected=f"JSON ({error.msg} at column {error.colno})", seen=quoted(rest[0])
    ) from None


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


def _guarded_read(stream: IO[bytes], size: int, source: str | os.PathLike[str]) -> bytes:
    try:
        return stream.read(size)
    except OSError as error:
        raise _unreadable(source, error) from None


def _unreadable(path: str | os.PathLike[str], error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError.at(path, expected="a file", seen="nothing of that name", remedy="check the path")
    if isinstance(error, PermissionError):
        return InputError.at(path, expected="a readable file", seen="no permission to read it")
    return InputError.at(path, expected="a readable file", seen=error.strerror or type(error).__name__)
