"""Decides how a departure from the contract is named: field, kind, what was expected, what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from pytest_l402.boundary.text_safety import seen

ABSENT = "absent"


class FaultKind(StrEnum):
    """In which way a value departs from the contract."""

    MISSING = "missing"
    TYPE = "type"
    ENUM = "enum"
    RANGE = "range"
    BLANK = "blank"
    NOT_AN_OBJECT = "not_an_object"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class RecordFault:
    """One departure from the contract; `field` is the key as the document spells it, dotted when nested.

    `seen` is a JSON literal, redacted and safe to print, or `absent`.
    """

    field: str
    kind: FaultKind
    expected: str
    seen: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}expected {self.expected}, saw {self.seen}"


def faults_of(error: ValidationError) -> tuple[RecordFault, ...]:
    """Return what pydantic found as faults, in document order."""
    return tuple(_fault(item) for item in error.errors(include_url=False))


_EXPECTED = {
    FaultKind.MISSING: "a value or null",
    FaultKind.NOT_AN_OBJECT: "an object",
}


def _fault(item: Mapping[str, Any]) -> RecordFault:
    kind = _kind(item["type"])
    context = item.get("ctx") or {}
    expected = context.get("expected") or _EXPECTED.get(kind) or _expected_by_pydantic(item)
    saw = ABSENT if kind is FaultKind.MISSING else _seen_input(kind, item)
    return RecordFault(_dotted(item["loc"]), kind, str(expected), saw)


def _kind(pydantic_type: str) -> FaultKind:
    if pydantic_type in ("model_type", "model_attributes_type", "dict_type"):
        return FaultKind.NOT_AN_OBJECT
    try:
        return FaultKind(pydantic_type)
    except ValueError:
        return FaultKind.RULE if pydantic_type == "value_error" else FaultKind.TYPE


def _expected_by_pydantic(item: Mapping[str, Any]) -> str:
    if item["type"] in ("tuple_type", "list_type"):
        return "an array"
    return str(item["msg"]).removeprefix("Value error, ")


def _seen_input(kind: FaultKind, item: Mapping[str, Any]) -> str:
    value = item["input"]
    if kind is FaultKind.RULE and isinstance(value, Mapping):
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
