"""Decides whether a check is given what it takes, and says which of its arguments is something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from inspect import Parameter, isfunction, signature
from typing import Any, Final

from pytest_l402.boundary.text_safety import seen

_KINDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "Bought": ("a purchase, or a request id", lambda value: _is_text(value) or _is_bought(value)),
    "Bought | None": (
        "a purchase, a payment hash, or None",
        lambda value: value is None or _is_text(value) or _is_bought(value),
    ),
    "str": ("a text", lambda value: _is_text(value)),
    "str | None": ("a text or None", lambda value: value is None or _is_text(value)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
}
"""What each annotation of a check's parameters stands for; others are not looked at."""


def expect_arguments(
    factory: Callable[..., object], args: Sequence[object], named: Mapping[str, Any]
) -> None:
    """Raise `TypeError`, one line, for the first argument that is not what its parameter takes."""
    for name, annotation, value in _given(factory, args, named):
        expected, fits = _KINDS.get(annotation, ("", _anything))
        if not fits(value):
            __tracebackhide__ = True
            given = _shown(value)
            raise TypeError(f"{factory.__name__}: {name}: expected {expected}, saw {given}")


def plain_argument(value: Any) -> Any:
    """Return what a row would hold in the place of a value: no row holds a member of an enumeration."""
    if isinstance(value, Enum):
        return plain_argument(value.value)
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if type(value) in (list, tuple):
        return type(value)(map(plain_argument, value))
    if type(value) is dict:
        return {key: plain_argument(each) for key, each in value.items()}
    return value


_PLAIN: Final = (str, int, float, bool, type(None))


def _given(
    factory: Callable[..., object], args: Sequence[object], named: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    positional, further, by_name = _parameters(factory)
    for place, value in enumerate(args):
        if place < len(positional):
            yield (*positional[place], value)
        elif further is not None:
            yield f"{further[0]}[{place - len(positional)}]", further[1], value
    yield from ((name, by_name[name], value) for name, value in named.items() if name in by_name)


@cache
def _parameters(
    factory: Callable[..., object],
) -> tuple[list[tuple[str, str]], tuple[str, str] | None, dict[str, str]]:
    """Names and annotations: those by place, the one that takes any number, and those by name."""
    known = signature(factory).parameters.values()
    told: dict[Any, list[tuple[str, str]]] = {}
    for each in known:
        told.setdefault(each.kind, []).append((each.name, str(each.annotation)))
    positional = told.get(Parameter.POSITIONAL_OR_KEYWORD, [])
    further = told.get(Parameter.VAR_POSITIONAL, [])
    by_name = dict([*positional, *told.get(Parameter.KEYWORD_ONLY, [])])
    return positional, further[0] if further else None, by_name


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_bought(value: object) -> bool:
    return any(_is_text(getattr(value, name, None)) for name in ("request_id", "payment_hash"))


def _anything(value: object) -> bool:
    return True


def _shown(value: object) -> str:
    plain = value is None or isinstance(value, bool | int | float | str)
    # Of foreign objects only the kind: a repr may hold anything.
    if plain:
        return seen(value)
    return f"the function {value.__name__}" if isfunction(value) else f"an object of {type(value).__name__}"
