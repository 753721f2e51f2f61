"""Decides on which line of a JSON text each value stands, so that a fault can be pointed at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|\n|[^\s\[\]{},:"]++', re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ValuePosition:
    """Where a value starts: its dotted path (`flows[0].taskId`, empty for the whole) and its line from 1."""

    path: str
    line: int
    depth: int
    repeated: bool


def value_positions(text: str, first_line: int = 1, max_depth: int = 64) -> Iterator[ValuePosition]:
    """Yield the position of every value in document order, no deeper than `max_depth`.

    `repeated` marks a value whose key its object already had. `text` should be JSON; from text that is not,
    what can be told is yielded and nothing is raised.
    """
    line = first_line
    path = ""
    stack: list[_Container] = []
    for match in _TOKEN.finditer(text):
        found = match[0]
        if found == "\n":
            line += 1
        elif found in ("}", "]"):
            if stack:
                path = stack.pop().path
        elif found == ",":
            if stack:
                stack[-1].step()
        elif found == ":":
            pass
        elif stack and stack[-1].expects_key:
            stack[-1].take_key(found)
        else:
            here, repeated = stack[-1].child() if stack else (path, False)
            if len(stack) <= max_depth:
                yield ValuePosition(here, line, len(stack), repeated)
            if found in ("{", "["):
                stack.append(_Container(here, is_object=found == "{"))


def member_offsets(text: str, offset: int = 0) -> Iterator[tuple[str | int, int]]:
    """Yield key or index of each member of the container at `offset`, and the offset of its value.

    Far faster than `value_positions`, since what lies inside the members is skipped by the parser itself.

    Raises:
        ValueError: `text` is not JSON from here on.
    """
    at = _skip_space(text, offset)
    is_object = text[at : at + 1] == "{"
    closing, index = ("}" if is_object else "]"), 0
    at = _skip_space(text, at + 1)
    while text[at : at + 1] not in (closing, ""):
        name: str | int = index
        if is_object:
            name, at = _DECODER.raw_decode(text, at)
            at = _skip_space(text, _skip_space(text, at) + 1)
        yield name, at
        _, at = _DECODER.raw_decode(text, at)
        at = _skip_space(text, at)
        if text[at : at + 1] == ",":
            at = _skip_space(text, at + 1)
        index += 1


def _skip_space(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return offset if match is None else match.end()


def line_of(text: str, path: str, first_line: int = 1) -> int:
    """Return the line on which the value at `path` starts, or that of its closest parent if it is absent."""
    best, best_length = first_line, -1
    for position in value_positions(text, first_line):
        if _is_same_or_parent(position.path, path) and len(position.path) > best_length:
            best, best_length = position.line, len(position.path)
            if position.path == path:
                break
    return best


def _is_same_or_parent(candidate: str, path: str) -> bool:
    return (path.startswith(candidate) and path[len(candidate) :][:1] in ("", ".", "[")) or candidate == ""


class _Container:
    """An object or array that is being walked through."""

    def __init__(self, path: str, is_object: bool) -> None:
        self.path = path
        self.expects_key = is_object
        self._is_object = is_object
        self._index = 0
        self._key = ""
        self._repeated = False
        self._seen: set[str] = set()

    def step(self) -> None:
        self._index += 1
        self.expects_key = self._is_object

    def take_key(self, token: str) -> None:
        self._key = _unquoted(token)
        self._repeated = self._key in self._seen
        self._seen.add(self._key)
        self.expects_key = False

    def child(self) -> tuple[str, bool]:
        if not self._is_object:
            return f"{self.path}[{self._index}]", False
        return (f"{self.path}.{self._key}" if self.path else self._key), self._repeated


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token
