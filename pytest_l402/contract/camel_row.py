"""How a result is told in a row: the fields of a dataclass, in their order, under camelCase keys."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pydantic.alias_generators import to_camel


def camel_row(result: Any, *, unknown: bool = True) -> dict[str, Any]:
    """Return the fields of a dataclass with plain values; `unknown=False` leaves out those that are None."""
    row = {to_camel(field.name): _plain(getattr(result, field.name), unknown) for field in fields(result)}
    return row if unknown else {key: value for key, value in row.items() if value is not None}


def _plain(value: Any, unknown: bool) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item, unknown) for item in value]
    return camel_row(value, unknown=unknown) if is_dataclass(value) else value
