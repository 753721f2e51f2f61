"""Decides where one JSON document ends and the next begins, whatever lines they are written in."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytest_l402.boundary import InputError
from pytest_l402.boundary.input_files import MAX_BYTES, decode_utf8
from pytest_l402.triage.line_feed import LineFeed

_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]')
_BLANK = " \t\r\n"
_RECORD_SEPARATOR = "\x1e"


@dataclass(frozen=True, slots=True)
class Framed:
    """The text of one document and the line on which it begins, or why it cannot be read.

    `data` are the bytes of a document that cannot; `n_nulls` how many NUL bytes stood before it.
    """

    text: str
    line: int
    error: InputError | None = None
    data: bytes = b""
    n_nulls: int = 0


def framed(
    feed: LineFeed, source: str, limit: int = MAX_BYTES, between: Callable[[], None] = lambda: None
) -> Iterator[Framed]:
    """Yield the documents of a file, one after the other: JSON Lines, JSON-SEQ, or over several lines.

    A document that is torn is yielded as it is, and those behind it are read all the same. Wherever none is
    begun `between` is called, and may take lines from the feed.
    """
    lines: list[str] = []
    first, size, open_brackets = 0, 0, ""
    while True:
        if not lines:
            between()
        found = feed.next_line()
        if found is None:
            break
        number, data = found
        if not lines and data[:1] == b"{" and data[-2:] == b"}\n" and data.count(b"{") == data.count(b"}"):
            # The common case: JSON Lines.
            with contextlib.suppress(UnicodeDecodeError):
                yield Framed(data.decode(), number)
                continue
        n_nulls = len(data) - len(data.lstrip(b"\0"))
        data = data[n_nulls:]
        try:
            line = decode_utf8(data, source, number)
        except InputError as error:
            if lines:
                yield Framed("".join(lines), first)
                lines, open_brackets = [], ""
            yield Framed("", number, error, data)
            continue
        while line.startswith(_RECORD_SEPARATOR):
            if lines:
                yield Framed("".join(lines), first)
                lines, open_brackets = [], ""
            line = line[1:]
        body = line.strip(_BLANK)
        if not body:
            continue
        if not lines and body[0] == "{" and body[-1] == "}" and body.count("{") == body.count("}"):
            yield Framed(line, number, n_nulls=n_nulls)
            continue
        if lines and _is_new(body, lines[-1], open_brackets):
            yield Framed("".join(lines), first)
            lines, open_brackets = [], ""
        after = _still_open(line, open_brackets)
        if not lines:
            first, size = number, 0
        lines.append(line)
        size += len(line)
        if size > limit:
            raise InputError.at(
                source,
                line=first,
                expected=f"documents of at most {limit} bytes",
                seen="a larger one",
                remedy="write the records as JSON Lines, one a line (jq -c '.[]')",
            )
        open_brackets = after or ""
        if not open_brackets:
            yield Framed("".join(lines), first, n_nulls=n_nulls)
            lines = []
    if lines:
        yield Framed("".join(lines), first)


def _still_open(line: str, before: str) -> str | None:
    """The brackets that are open behind a line; None where a string is, which no line break can be in."""
    stack = list(before)
    for match in _STRUCTURE.finditer(line):
        found = match[0]
        if found in "{[":
            stack.append(found)
        elif found in "}]":
            if stack:
                stack.pop()
        elif len(found) < 2 or not found.endswith('"'):
            return None
    return "".join(stack)


def _is_new(body: str, last: str, open_brackets: str) -> bool:
    """Whether a line that begins an object cannot go on with the document before it, which was torn."""
    if body[0] != "{" or body[-1] != "}":
        return False
    end = last.rstrip(_BLANK)[-1:]
    return end not in "[{,:" or (open_brackets.endswith("{") and end in "{,")
