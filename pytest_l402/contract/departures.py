"""Decides how a departure from the contract is named: field, kind, what was expected, what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from pytest_l402.boundary.text_safety import seen

ABSENT = "absent"


class DepartureKind(StrEnum):
    """In which way a value departs from the contract."""

    MISSING = "missing"
    TYPE = "type"
    ENUM = "enum"
    RANGE = "range"
    BLANK = "blank"
    NOT_AN_OBJECT = "not_an_object"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Departure:
    """One departure from the contract; `field` is the key as the document spells it, dotted when nested.

    `seen` is a JSON literal, redacted and safe to print, or `absent`.
    """

    field: str
    kind: DepartureKind
    expected: str
    seen: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}expected {self.expected}, saw {self.seen}"


def departures_of(error: ValidationError) -> tuple[Departure, ...]:
    """Return what pydantic found as departures, in document order."""
    return tuple(_departure(item) for item in error.errors(include_url=False))


_EXPECTED = {
    DepartureKind.MISSING: "a value or null",
    DepartureKind.NOT_AN_OBJECT: "an object",
    "string_type": "text",
    "string_unicode": "text without lone surrogates",
    "string_too_short": "text that is not empty",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "list_type": "an array",
}


def _departure(item: Mapping[str, Any]) -> Departure:
    kind = _kind(item["type"])
    context = item.get("ctx") or {}
    expected = context.get("expected") or _EXPECTED.get(kind) or _EXPECTED.get(item["type"])
    expected = expected or str(item["msg"]).removeprefix("Value error, ")
    saw = ABSENT if kind is DepartureKind.MISSING else _seen_input(kind, item)
    return Departure(_dotted(item["loc"]), kind, str(expected), saw)


def _kind(pydantic_type: str) -> DepartureKind:
    if pydantic_type in ("model_type", "model_attributes_type", "dict_type"):
        return DepartureKind.NOT_AN_OBJECT
    if pydantic_type == "string_too_short":
        return DepartureKind.BLANK
    try:
        return DepartureKind(pydantic_type)
    except ValueError:
        return DepartureKind.RULE if pydantic_type == "value_error" else DepartureKind.TYPE


def _seen_input(kind: DepartureKind, item: Mapping[str, Any]) -> str:
    value = item["input"]
    if kind is DepartureKind.RULE and isinstance(value, Mapping):
        return "a document that contradicts itself"
    return seen(value)


def _dotted(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
