"""How a hand-written YAML file is held against its model: every place that departs from it is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from pytest_l402.boundary.strict_yaml import YamlError
from pytest_l402.boundary.text_safety import seen, suggestion

T = TypeVar("T")
_ID: Final = re.compile(r"[\w.-]{1,80}")


class YamlEntry(BaseModel):
    """A mapping in a hand-written file: exactly the keys of its model, and nothing else."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if isinstance(value, cls):
            return value
        if not isinstance(value, dict):
            raise departure("a mapping", seen(value))
        known = list(cls.model_fields)
        for key in value:
            if key not in known:
                shown = f"{seen(key)}{suggestion(str(key), known)}"
                raise departure(f"only {', '.join(known)}", shown)
        return value


def departure(expected: str, saw: str) -> PydanticCustomError:
    """Return what a validator of a field raises; `validated` puts the place before it."""
    return PydanticCustomError(
        "departure", "expected {expected}, saw {saw}", {"expected": expected, "saw": saw}
    )


def accepts(condition: Callable[[Any], bool], expected: str) -> BeforeValidator:
    """Return the annotation of a field that takes, as it is written, only what `condition` holds for."""

    def accept(value: object) -> object:
        if not condition(value):
            raise departure(expected, seen(value))
        return value

    return BeforeValidator(accept)


def spelled(pattern: str, expected: str) -> BeforeValidator:
    """Return the annotation of a text that matches all of `pattern`; what is no text is left to `OneLine`."""
    matches = re.compile(pattern).fullmatch
    return accepts(lambda value: not isinstance(value, str) or matches(value) is not None, expected)


def word_of(words: type[StrEnum]) -> BeforeValidator:
    """Return the annotation of a field that takes one of these words."""

    known = [word.value for word in words]

    def accept(value: object) -> object:
        if value not in known:
            raise departure(*one_of(known, value))
        return value

    return BeforeValidator(accept)


def one_of(known: Sequence[str], value: object) -> tuple[str, str]:
    """Return what is expected where one of `known` must stand, and `value` with what it may have meant."""
    hint = suggestion(value, known) if isinstance(value, str) else ""
    return f"one of {', '.join(known)}", f"{seen(value)}{hint}"


Entries = Annotated[
    tuple[T, ...],
    accepts(lambda value: isinstance(value, list | tuple) and value != [], "a list with entries"),
]
"""A list with something in it."""
OneLine = Annotated[
    str,
    accepts(
        lambda value: isinstance(value, str) and len(value.splitlines()) == 1 and value.strip() != "",
        "a text on one line (quote what looks like a number)",
    ),
]
"""A text on one line with something in it."""
Flag = Annotated[bool, accepts(lambda value: isinstance(value, bool), "true or false")]
"""true or false, and no other word for them."""


def validated(adapter: TypeAdapter[T], document: object) -> T:
    """Return what `adapter` makes of a document; raises `YamlError` for the first place that is wrong."""
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place, what = list(first["loc"]), first["msg"]
    if first["type"] == "missing":
        what = f"expected the key {place.pop()!r}, saw none"
    raise YamlError(f"{place_of(document, place)}: {what}")


def place_of(document: Any, place: Sequence[int | str]) -> str:
    """Return a place in a document as `rehearsals[3] (cache-reuse).title`; an entry is named by its id."""
    if list(place[-1:]) == ["[key]"]:
        place = place[:-2]
    shown = ""
    for index, part in enumerate(place, start=1):
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
        inner = isinstance(document, list) or (isinstance(document, dict) and part in document)
        document = document[part] if inner else None
        named = document.get("id") if isinstance(document, dict) else None
        if isinstance(named, str) and _ID.fullmatch(named) and list(place[index:]) != ["id"]:
            shown += f" ({named})"
    return shown or "the file"
