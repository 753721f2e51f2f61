"""Decides which bodies and queries a route takes: every field known, of its kind, and none besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from pytest_l402.harness.json_app import Call, Refused

_REQUIRED: Final = object()
_MOST: Final = 2**53 - 1
"""The largest number that every reader of JSON has exactly."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a field must be; without a default it must be there."""

    kind: type[Any]
    default: Any = _REQUIRED
    one_of: tuple[Any, ...] = ()
    least: int = 0
    most: int = _MOST

    def read(self, name: str, value: Any) -> Any:
        """Return the value.

        Raises:
            Refused: 400, with the name of the field.
        """
        # `type`, not `isinstance`: true is no number here.
        if type(value) is not self.kind or value == "":
            raise Refused(400, f"invalid_{name}")
        if self.one_of and value not in self.one_of:
            raise Refused(400, f"invalid_{name}")
        if self.kind is int and not self.least <= value <= self.most:
            raise Refused(400, f"invalid_{name}")
        return value


def body_of(call: Call, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the fields of a body; raises `Refused` 400 where one lacks, is of another kind, or unknown."""
    return _read(call.body, fields)


def query_of(call: Call, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the fields of a query, as `body_of`; numbers are read from their digits."""
    pairs = parse_qsl(call.request.query, keep_blank_values=True)
    if len(dict(pairs)) != len(pairs):
        raise Refused(400, "repeated_field")
    given: dict[str, Any] = {
        name: int(value) if name in fields and fields[name].kind is int and _is_number(value) else value
        for name, value in pairs
    }
    return _read(given, fields)


def _read(given: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    for name in given:
        if name not in fields:
            raise Refused(400, "unknown_field")
    found = {}
    for name, field in fields.items():
        if name in given:
            found[name] = field.read(name, given[name])
        elif field.default is _REQUIRED:
            raise Refused(400, f"missing_{name}")
        else:
            found[name] = field.default
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
