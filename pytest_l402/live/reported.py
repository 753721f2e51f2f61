"""How what a deployed platform reports is read: in JSON's spelling or in protobuf's, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator
from pydantic.alias_generators import to_camel

from pytest_l402.boundary import quoted
from pytest_l402.contract import CamelDocument, DocumentError
from pytest_l402.contract.scalars import Count
from pytest_l402.live.live_error import LiveError

D = TypeVar("D", bound=CamelDocument)


def reported(where: str, model: type[D], answer: object) -> D:
    """Return the document that a platform answered; values of another kind are never shown.

    Raises:
        LiveError: `wrong_schema`, with the first field that is not what it should be.
    """
    try:
        return model.decode(_in_json_spelling(answer))
    except DocumentError as error:
        departure = error.departures[0]
        under = f" under {departure.field}" if departure.field else ""
        raise wrong_schema(where, f"{departure.expected}{under}", answer) from None


def wrong_schema(where: str, expected: str, seen: object) -> LiveError:
    """Return the error of an answer that is not what it should be; values of it are not shown."""
    keys = ", ".join(sorted(map(str, seen))[:8]) if isinstance(seen, dict) else type(seen).__name__
    return LiveError(
        where,
        code="wrong_schema",
        expected=expected,
        seen=f"{'keys ' if isinstance(seen, dict) else ''}{quoted(keys, 120)}",
        remedy="check the URL and the platform's version",
    )


def member_named(members: type[StrEnum]) -> BeforeValidator:
    """Return the annotation of a field in which protobuf's JSON puts an enum's type before its value."""

    def plain(value: object) -> object:
        named = (m.value for m in members if isinstance(value, str) and value.endswith(f"_{m.value.upper()}"))
        return next(named, value)

    return BeforeValidator(plain)


def _from_decimal(value: object) -> object:
    is_decimal = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    return int(str(value)) if is_decimal else value


Number = Annotated[Count, BeforeValidator(_from_decimal)]
"""A whole number; protobuf's JSON writes one of 64 bits as text."""


def _in_json_spelling(value: object) -> Any:
    """A key in JSON's own spelling goes before the same one in protobuf's."""
    if isinstance(value, list):
        return [_in_json_spelling(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    spelled = {to_camel(str(key)): item for key, item in value.items()} | dict(value)
    return {key: _in_json_spelling(item) for key, item in spelled.items()}
