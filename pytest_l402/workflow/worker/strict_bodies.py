"""Decides which bodies and queries are as a route wants them: every field known, of its kind, and none besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from pytest_l402.harness.json_app import Call, Refused

_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Field:
    """What a field must be; without a default it must be there."""

    kind: type
    default: Any = _REQUIRED
    one_of: tuple[Any, ...] = ()
    least: int | None = None
    most: int | None = None

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
        if (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            raise Refused(400, f"invalid_{name}")
        return value


def body_of(call: Call, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the fields of a body; raises `Refused` 400 for one that lacks, is of another kind, or is unknown."""
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
