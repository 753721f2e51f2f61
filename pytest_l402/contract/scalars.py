"""Decides which scalar values the contract's documents accept: JSON's own types, nothing coerced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Accepts:
    """Annotation of a field: `accept` alone decides what the field takes, and writes it back as it is."""

    accept: Callable[[object], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.accept)


@dataclass(frozen=True, slots=True)
class Words:
    """Annotation of a text field: the words that it is known to hold, and a pattern of the others."""

    words: tuple[str, ...]
    pattern: str = "(?!)"


def refused(kind: str, expected: str) -> PydanticCustomError:
    """Return the error to raise for a value that departs in this `kind` from what was expected."""
    return PydanticCustomError(kind, "{expected}", {"expected": expected})


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise refused("type", "text")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        # Half of a surrogate pair cannot be written as UTF-8, so it could never be evidence.
        raise refused("type", "text without lone surrogates")
    return str(value)


def _text(value: object) -> str:
    text = _any_text(value)
    if not text:
        raise refused("blank", "text that is not empty")
    return text


def _integer(value: object) -> int:
    expected = "an integer from 0 to 2^53-1"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused("type", expected)
    if isinstance(value, float):
        # JSON has one number type: 1.0 is the integer 1, NaN and 1.5 are no integers.
        if not value.is_integer():
            raise refused("type", expected)
        value = int(value)
    if not 0 <= value <= MAX_SAFE_INTEGER:
        raise refused("range", expected)
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise refused("type", "true or false")
    return value


def member_of(enumeration: type[E]) -> Accepts:
    """Return the annotation of a field that takes exactly the values of `enumeration`, case-sensitively."""
    members = {member.value: member for member in enumeration}
    expected = "one of " + ", ".join(members)

    def accept(value: object) -> E:
        if not isinstance(value, str):
            raise refused("type", expected)
        member = members.get(str(value))
        if member is None:
            raise refused("enum", expected)
        return member

    return Accepts(accept)


Text = Annotated[str, Accepts(_text)]
"""Text of at least one character; a blank such as " " is accepted, as the original decoder does."""
AnyText = Annotated[str, Accepts(_any_text)]
"""Any text, the empty one included."""
Msats = Annotated[int, Accepts(_integer)]
"""An amount in millisatoshis, 0 to 2^53-1."""
EpochMs = Annotated[int, Accepts(_integer)]
"""A time in epoch milliseconds, 0 to 2^53-1."""
Count = Annotated[int, Accepts(_integer)]
"""A number of things, 0 to 2^53-1."""
Flag = Annotated[bool, Accepts(_flag)]
"""true or false; 0 and 1 are numbers."""
