"""Decides how a document is decoded: camelCase keys, nothing coerced, every departure named."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from pytest_l402.contract.departures import Departure, departures_of


class DocumentError(ValueError):
    """A value is not the document that it should be; `departures` holds every departure at once."""

    def __init__(self, title: str, departures: tuple[Departure, ...]) -> None:
        super().__init__(f"not a {title}: " + "; ".join(str(departure) for departure in departures))
        self.departures = departures


class CamelDocument(BaseModel):
    """An immutable document; attributes are snake_case, keys camelCase, unknown keys are dropped."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def decode(cls, value: object) -> Self:
        """Return the document that `value` (as parsed from JSON) is.

        Raises:
            DocumentError: with every departure at once.
        """
        try:
            return cls.model_validate(value, by_alias=True, by_name=False)
        except ValidationError as error:
            raise DocumentError(cls.__name__, departures_of(error)) from None

    def to_row(self) -> dict[str, Any]:
        """Return the document with camelCase keys in declared order and plain JSON values."""
        row: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return row


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
