"""Decides how what a system declares of its tables is told in plain JSON, so that it can be kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import JsonValue

from pytest_l402.contract.tables import ROW_FORMS
from pytest_l402.evidence.fields import Declared, annotations_of

ToldForms: TypeAlias = Mapping[str, tuple[Mapping[str, tuple[JsonValue, ...]], ...]]
"""By table, and for each form of it by key, what a field can hold: names of kinds, and words in a list."""

_KINDS: Final[dict[Any, str]] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "flag",
    NoneType: "null",
    None: "null",
    dict: "object",
    list: "list",
    tuple: "list",
}
_LOOSELY: Final = "what else its system takes"
_READ: Final[dict[str, Any]] = {
    "text": str,
    "integer": int,
    "number": float,
    "flag": bool,
    "null": None,
    "object": dict,
    "list": list,
}


def told_forms(declared: Declared) -> ToldForms:
    """Tell what is declared; the forms of the contract, which nobody has to be told, are left out."""
    return {
        table: tuple(
            {key: tuple(_told(annotation)) for key, annotation in annotations_of(form).items()}
            for form in forms
        )
        for table, forms in declared.items()
        if forms != (ROW_FORMS.get(table),)
    }


def forms_told(told: ToldForms) -> Declared:
    """Return the forms that were told; a kind that nobody knows is taken for any."""
    return {
        table: tuple({key: _annotation(kinds) for key, kinds in form.items()} for form in forms)
        for table, forms in told.items()
    }


def is_loose(told: ToldForms) -> bool:
    """Whether some field can hold what could not be told."""
    return any(_LOOSELY in kinds for forms in told.values() for form in forms for kinds in form.values())


def _told(annotation: Any) -> Iterator[JsonValue]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        for each in arguments:
            yield from _told(each)
    elif origin is Literal:
        yield from _words(arguments)
    elif origin is Annotated:
        yield from _told(arguments[0])
        yield _LOOSELY
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from _words([member.value for member in annotation])
    else:
        yield _KINDS.get(origin or annotation, _LOOSELY)


def _words(values: Iterable[Any]) -> Iterator[JsonValue]:
    for value in values:
        yield [value] if isinstance(value, str | int | None) else _LOOSELY


def _annotation(kinds: Iterable[JsonValue]) -> Any:
    known = [_one(kind) for kind in kinds]
    return Union[tuple(known)] if known else Any  # noqa: UP007 - made of what is read


def _one(kind: JsonValue) -> Any:
    if isinstance(kind, list):
        word = kind[0] if len(kind) == 1 else None
        return Literal[word] if isinstance(word, str | int | None) else Any
    return _READ.get(kind, Any) if isinstance(kind, str) else Any
