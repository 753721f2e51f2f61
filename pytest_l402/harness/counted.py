"""How often a part was asked for what it is there for: counted in front of it, not by its own word."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any


class Counted:
    """Stands before a part, counts the calls of some of its methods, and passes everything through.

    To whoever looks it is the part: its class, its attributes, what it is equal to. `part_behind` and
    `times_asked` tell the two apart.
    """

    __slots__ = ("_l402_asked", "_l402_hears", "_l402_methods", "_l402_part")

    def __init__(self, part: object, methods: Collection[str]) -> None:
        object.__setattr__(self, "_l402_part", part)
        object.__setattr__(self, "_l402_methods", frozenset(methods))
        object.__setattr__(self, "_l402_asked", 0)
        object.__setattr__(self, "_l402_hears", None)

    @property
    def __class__(self) -> Any:
        return type(self._l402_part)

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        self._l402_part.__class__ = kind

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._l402_part, name)
        if name not in self._l402_methods or not callable(value):
            return value
        return self._counting(value)

    def _counting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **named: Any) -> Any:
            object.__setattr__(self, "_l402_asked", self._l402_asked + 1)
            if self._l402_hears is None:
                return method(*arguments, **named)
            if iscoroutinefunction(method):
                return self._heard(method, arguments, named)
            with self._l402_hears(*arguments, **named) as heard:
                answer = heard.answer = method(*arguments, **named)
                return answer

        return wraps(method)(asked) if hasattr(method, "__name__") else asked

    async def _heard(self, method: Callable[..., Any], arguments: Any, named: Any) -> Any:
        with self._l402_hears(*arguments, **named) as heard:
            heard.answer = await method(*arguments, **named)
            return heard.answer

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._l402_part, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._l402_part, name)

    def __repr__(self) -> str:
        return repr(self._l402_part)

    def __eq__(self, other: object) -> bool:
        return bool(self._l402_part == part_behind(other))

    def __hash__(self) -> int:
        return hash(self._l402_part)


def counted(part: Any, methods: Collection[str]) -> Any:
    """Return what counts the calls of these methods of a part; the part itself if it is counted already."""
    return part if type(part) is Counted else Counted(part, methods)


@dataclass(slots=True)
class Heard:
    """What became of one call of a part: what it answered, if it has."""

    answer: Any = None


def heard_by(part: object, hears: Callable[..., AbstractContextManager[Heard]] | None) -> None:
    """Let somebody hear every call that is counted: a block around it, which is told the answer."""
    if type(part) is Counted:
        object.__setattr__(part, "_l402_hears", hears)


def part_behind(part: object) -> object:
    """Return the part itself, whether or not somebody counts in front of it."""
    return part._l402_part if type(part) is Counted else part


def times_asked(part: object) -> int | None:
    """Return how often a part was asked since it was first counted; None where nobody counts."""
    return part._l402_asked if type(part) is Counted else None
