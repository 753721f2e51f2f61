"""Decides whether the function of a test ran once, to its end, whatever hooks and decorators make of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any, Final

import pytest

from pytest_l402.plugin.marker import MARK
from pytest_l402.plugin.run import NODES, missing_parts

RAISED: Final[pytest.StashKey[str | None]] = pytest.StashKey()
"""On an item: what the phase that is running raised."""

_DEEPEST: Final = 100


@dataclass
class Witness:
    """What was seen from inside: how often the function began, and the first thing that it raised."""

    calls: int = 0
    raised: BaseException | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note one call."""
        self.calls += 1
        try:
            yield
        except BaseException as error:
            self.raised = self.raised or error
            raise

    def objection(self, item: pytest.Item) -> BaseException | None:
        """Return why a call that looks as if it passed did not, as a failure; None if it did."""
        if self.calls == 0:
            head, seen = "was not called", "a hook, or another function in its place, did something else"
        elif self.calls > 1:
            head, seen = f"ran {self.calls} times", f"it first ended with {told(self.raised)}"
        elif self.raised is not None:
            head, seen = "failed, and that was swallowed", told(self.raised)
        else:
            return None
        remedy = (
            "take out what repeats, replaces or catches it: a hook of a conftest.py or a plugin, a decorator"
        )
        problem = four_parts(
            f"the function of the test {head}", "one run of it, to its end", seen, item.location[0], remedy
        )
        return pytest.fail.Exception(problem, pytrace=False)


def four_parts(head: str, expected: str, seen: str, where: str, remedy: str) -> str:
    """Return what went wrong around a test, told as checks tell what they find."""
    return f"{head}\n  expected  {expected}\n  seen      {seen}\n  where     {where}\n  do        {remedy}"


def told(error: BaseException | None) -> str:
    """Return an exception as one short line."""
    if error is None:
        return "no exception"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


@contextmanager
def watched(item: pytest.Item) -> Iterator[Witness | None]:
    """Watch the function of an item from inside of its decorators; yields None for an item that has none."""
    if not isinstance(item, pytest.Function):
        yield None
        return
    witness = Witness()
    function = item.obj
    layers = _layers(function)
    defined = _plain(getattr(item.parent.obj, item.originalname, function))  # type: ignore[union-attr]
    if not any(layer is defined for layer in layers):
        yield witness  # never called: another function was put in its place
        return
    places = _places_of(layers) or [(item, "obj")]
    held = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, inner in held:
        setattr(place, name, _witnessed(inner, witness))
    try:
        yield witness
    finally:
        for place, name, inner in held:
            setattr(place, name, inner)


def _layers(function: Any) -> list[Any]:
    """A function, what it wraps, and so on; a decorator that hides what it wraps ends the list."""
    layers = [_plain(function)]
    while (inner := getattr(layers[-1], "__wrapped__", None)) is not None and len(layers) < _DEEPEST:
        layers.append(_plain(inner))
    return layers


def _places_of(layers: list[Any]) -> list[tuple[object, str]]:
    """Where the decorators keep the innermost function to call it: in closures, in attributes of objects."""
    *around, innermost = layers
    cells = [
        (cell, "cell_contents") for layer in around for cell in getattr(layer, "__closure__", None) or ()
    ]
    objects = [layer for layer in around if not isinstance(layer, FunctionType)]
    attributes = [(layer, name) for layer in objects for name in {"__wrapped__", *layer.__dict__}]
    return [(place, name) for place, name in (*cells, *attributes) if _is_there(place, name, innermost)]


def _is_there(place: object, name: str, function: Any) -> bool:
    try:
        return _plain(getattr(place, name)) is function
    except ValueError:  # an empty cell
        return False


def _plain(function: Any) -> Any:
    return getattr(function, "__func__", function)


def _witnessed(function: Callable[..., Any], witness: Witness) -> Callable[..., Any]:
    if iscoroutinefunction(function):

        @functools.wraps(function)
        async def witnessed_task(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            with witness.watch():
                return await function(*args, **kwargs)

        return witnessed_task

    @functools.wraps(function)
    def witnessed(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with witness.watch():
            return function(*args, **kwargs)

    return witnessed


class InnermostHooks:
    """What setup and teardown of a rehearsal raised, seen from inside of all other hooks."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what the fixtures raised; refuse to be all that is left of the hooks around a rehearsal."""
        if MARK in item.stash and (missing := missing_parts(item.config, NODES)):
            pytest.fail(missing, pytrace=False)
        return (yield from _noting(item))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note what the ends of the fixtures raised."""
        return (yield from _noting(item))


def _noting(item: pytest.Item) -> Generator[None, object, object]:
    item.stash[RAISED] = None
    try:
        return (yield)
    except BaseException as error:
        item.stash[RAISED] = told(error)
        raise


def swallowed(item: pytest.Item, phase: str) -> str | None:
    """Return what a hook swallowed of a phase that looks as if it passed."""
    noted = item.stash.get(RAISED, None)
    if noted is None:
        return None
    return four_parts(
        f"the {phase} of the test failed, and that was swallowed",
        "what it raises to be reported",
        noted,
        item.location[0],
        "take out the hook of a conftest.py or a plugin that catches it",
    )
