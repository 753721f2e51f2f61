"""Decides how a check is told in plain JSON, so that who holds its evidence can build it and judge again."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any, Final, ParamSpec, Protocol, Self, TypeVar

from pydantic import JsonValue

from pytest_l402.boundary.cleaning import clean_text
from pytest_l402.evidence.arguments import expect_arguments, plain_argument

_OURS: Final = "pytest_l402.evidence."
_PURCHASE: Final = "purchase"
_OF_A_PURCHASE: Final = ("request_id", "payment_hash", "kind")
_ONE_OF: Final = ("request_id", "payment_hash")
_LONGEST: Final = 10_000

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The call that built a check: the factory, and what it was given, in order and by name.

    `factory` is a name of `pytest_l402.evidence`, or "module:function" of somebody else's. A purchase is told
    as {"purchase": {"request_id": …, "payment_hash": …, "kind": …}}, with those of the three that it has.
    """

    factory: str
    arguments: tuple[JsonValue, ...] = ()
    named: Mapping[str, JsonValue] = field(default_factory=dict)


class RecipeError(ValueError):
    """No check can be built by a recipe; one line that says why."""


class NotPermittedError(RecipeError):
    """A recipe names code that nobody has permitted to import."""


class NotImportableError(RecipeError):
    """A recipe names a module that may be imported, and cannot be: that says nothing of the evidence."""


class _Describable(Protocol):
    def made_by(self, recipe: Recipe) -> Self: ...


T = TypeVar("T", bound=_Describable)


def described(factory: Callable[P, T]) -> Callable[P, T]:
    """Let each check that a factory returns tell how it was built; for functions at the top of a module.

    A check given something that is not plain JSON, nor a purchase or another object with a `request_id` or a
    `payment_hash`, or given what may be a secret, tells nothing and cannot be judged again.
    """
    name = factory.__qualname__
    ours = factory.__module__.startswith(_OURS)

    @wraps(factory)
    def describing(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        if ours:
            args, kwargs = _plain(args, kwargs)
            expect_arguments(factory, args, kwargs)
        made = factory(*args, **kwargs)
        try:
            told = tuple(map(_told, args))
            named = _told_by_name(kwargs)
        except _NotPlainError:
            return made
        return made.made_by(Recipe(name if ours else f"{factory.__module__}:{name}", told, named))

    if ours:
        _FACTORIES[name] = describing
    describing.__dict__["describes"] = describing
    return describing


def _plain(args: Any, kwargs: Any) -> Any:
    return tuple(map(plain_argument, args)), {name: plain_argument(value) for name, value in kwargs.items()}


def build(recipe: Recipe, importable: Collection[str] = ()) -> Any:
    """Build the check again. Of `importable` modules, and of no other, factories may be imported.

    Raises `NotPermittedError` for a factory of another module, `NotImportableError` for a module that cannot
    be imported, and `RecipeError` for a factory that is not there, or is not `described`, or does not take
    what it is given.
    """
    factory = _factory(recipe.factory, importable)
    arguments = [_given(value) for value in recipe.arguments]
    named = {key: _given(value) for key, value in recipe.named.items()}
    try:
        return factory(*arguments, **named)
    except Exception as error:  # a factory is anybody's code, and what it is given comes from a file
        raise RecipeError(f"{recipe.factory} does not take that: {type(error).__name__}: {error}") from None


_FACTORIES: Final[dict[str, Callable[..., Any]]] = {}


class _NotPlainError(Exception):
    """An argument is not plain JSON, or not fit to be shown."""


def _factory(name: str, importable: Collection[str]) -> Callable[..., Any]:
    module, colon, function = name.partition(":")
    if not colon:
        if name not in _FACTORIES:
            _import_all_of_ours()
        if name not in _FACTORIES:
            raise RecipeError(f"pytest_l402.evidence has no factory {name!r}")
        return _FACTORIES[name]
    if module not in importable:
        raise NotPermittedError(
            f"{name!r} is of another module, which is imported only where that is permitted"
        )
    try:
        found: Any = getattr(import_module(module), function, None)
    except Exception as error:
        raise NotImportableError(f"{module} cannot be imported: {type(error).__name__}: {error}") from None
    # What is not marked is not called: a file is not to choose which function of a module is run.
    if getattr(found, "__dict__", {}).get("describes") is not found or not callable(found):
        raise RecipeError(f"{module} has no described factory {function!r}")
    return found  # type: ignore[no-any-return]


def _import_all_of_ours() -> None:
    # A check that the plugin or a system brings may be in a module that nobody has imported yet.
    room = import_module(f"{_OURS}checks")
    for module in iter_modules(room.__path__):
        import_module(f"{room.__name__}.{module.name}")


def _told(value: object) -> JsonValue:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        if len(text) > _LONGEST or clean_text(text) != text:
            raise _NotPlainError
        return text
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _NotPlainError
        return float(value)
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    if isinstance(value, Mapping):
        if set(value) == {_PURCHASE}:
            raise _NotPlainError
        return _told_by_name(value)
    known = {name: getattr(value, name, None) for name in _OF_A_PURCHASE}
    if not any(isinstance(known[name], str) for name in _ONE_OF):
        raise _NotPlainError
    return {_PURCHASE: {name: _told(str(each)) for name, each in known.items() if each is not None}}


def _told_by_name(values: Mapping[Any, object]) -> dict[str, JsonValue]:
    told = {}
    for key, value in values.items():
        # A name may be what gives a secret away.
        if not isinstance(key, str) or clean_text(key) != key or not _is_clean(key, value):
            raise _NotPlainError
        told[key] = _told(value)
    return told


def _is_clean(key: str, value: object) -> bool:
    return not isinstance(value, str) or clean_text(told := f"{key}={value}") == told


def _given(value: JsonValue) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST:
        raise RecipeError(f"expected texts of at most {_LONGEST} characters, saw a longer one")
    if isinstance(value, list):
        return [_given(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {_PURCHASE}:
        return {key: _given(each) for key, each in value.items()}
    purchase = value[_PURCHASE]
    if (
        not isinstance(purchase, dict)
        or not set(purchase) <= set(_OF_A_PURCHASE)
        or not set(purchase) & set(_ONE_OF)
        or not all(isinstance(each, str) for each in purchase.values())
    ):
        raise RecipeError(f"expected a purchase with {', '.join(_OF_A_PURCHASE)}")
    return SimpleNamespace(**purchase)
