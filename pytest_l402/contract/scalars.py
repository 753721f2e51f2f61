"""Decides which scalar values the contract's documents accept: JSON's own types, nothing coerced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import Field
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


Text = Annotated[str, Field(strict=True, min_length=1)]
"""Text of at least one character; a blank such as " " is accepted, as the original decoder does."""
AnyText = Annotated[str, Field(strict=True, min_length=0)]
"""Any text, the empty one included; with a length at all, since only then a lone surrogate is refused."""
Count = Annotated[int, Accepts(_integer)]
"""A number of things, 0 to 2^53-1."""
Msats = Count
"""An amount in millisatoshis, 0 to 2^53-1."""
EpochMs = Count
"""A time in epoch milliseconds, 0 to 2^53-1."""
Flag = Annotated[bool, Field(strict=True)]
"""true or false; 0 and 1 are numbers."""
