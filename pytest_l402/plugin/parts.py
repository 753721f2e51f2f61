"""Decides which parts a test has put into the stack: each takes its place before the test begins."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pytest_l402.stack import Stack

ROLES: Final = ("gateway", "control_plane", "settlement_store", "wallet", "executor")
"""The parts that a user may put into the stack; the fixture of each is called `l402_<role>`."""

STACK: Final[pytest.StashKey[Stack]] = pytest.StashKey()
"""On an item: the stack that it uses."""

_FIXTURES: Final = {f"l402_{role}": role for role in ROLES}
_OUR_FIXTURES: Final = "pytest_l402.plugin.fixtures.stack"
_NAME: Final = "pytest_l402_own_parts"


class OwnParts:
    """The hooks that put somebody's own parts in, whether or not a test names the fixtures that give them."""

    @classmethod
    def watch(cls, config: pytest.Config) -> None:
        """Take part in the run from now on: a run without a stack is not to pay for these hooks."""
        if not config.pluginmanager.hasplugin(_NAME):
            config.pluginmanager.register(cls(), _NAME)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Count in front of a part from the moment on at which it is first handed out."""
        value = yield
        role = _FIXTURES.get(fixturedef.argname)
        if role is None or not _is_somebodys(fixturedef):
            return value
        if value is None:
            pytest.fail(
                f"{fixturedef.argname}: expected what plays the {role.replace('_', ' ')}, saw None; "
                "let the fixture return it",
                pytrace=False,
            )
        from pytest_l402.harness.counted import counted
        from pytest_l402.stack.roles import ASKED_BY

        value = counted(value, ASKED_BY[role])
        known: Any = fixturedef.cached_result
        fixturedef.cached_result = (value, *known[1:])
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Ask for every part that somebody overrides, and put it in, once the test has all that it names."""
        try:
            result = yield
        except Exception as error:
            _skip_if_not_able(item, error)
            raise
        stack = _stack_of(item)
        if stack is not None:
            put_parts_in(stack, _parts_of_test(item))
        return result

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Put in what a test was given; skip it, by name, where a part cannot do what it asks for.

        The first stack of a run may have brought these hooks with it, too late for its own test's setup.
        Refuse a stack that a test makes underway, past the parts that it was to be made of.
        """
        known = _stack_of(item)
        if known is not None:
            given = getattr(item, "funcargs", {})
            named = {name: given[name] for name in _FIXTURES if name in given}
            put_parts_in(known, named | _parts_of_test(item))
        try:
            result = yield
        except Exception as error:
            _skip_if_not_able(item, error)
            raise
        if known is None and _stack_of(item) is not None and (names := _overridden(item)):
            pytest.fail(
                f"{item.nodeid}: expected {', '.join(names)} in the stack, saw a stack without it, which the "
                "test asked for after it had begun; name l402_stack among its arguments",
                pytrace=False,
            )
        return result


def asks_for(item: pytest.Item, fixture: str) -> bool:
    """Whether a test asks for a fixture: itself, or by way of a part that somebody puts into the stack."""
    if fixture in getattr(item, "fixturenames", ()):
        return True
    overridden = tuple(_overridden(item))
    if not overridden:
        return False
    closure, _ = item.session._fixturemanager.getfixtureclosure(item, overridden, frozenset())
    return fixture in closure


def put_parts_in(stack: Stack, fixtures: Mapping[str, Any]) -> None:
    """Replace those parts of the stack for which a fixture gives something else."""
    own = {
        role: part
        for role in ROLES
        if (part := fixtures.get(f"l402_{role}")) is not None and part is not getattr(stack, role)
    }
    if not own:
        return
    try:
        stack.replace(**own)
    except TypeError as error:
        pytest.fail(str(error), pytrace=False)


def _skip_if_not_able(item: pytest.Item, error: Exception) -> None:
    if _stack_of(item) is None:
        return
    from pytest_l402.stack.roles import NotRunError

    if isinstance(error, NotRunError):
        pytest.skip(str(error))


def _stack_of(item: pytest.Item) -> Stack | None:
    return item.stash.get(STACK, None) or getattr(item, "funcargs", {}).get("l402_stack")


def _parts_of_test(item: pytest.Item) -> dict[str, Any]:
    ask = item._request.getfixturevalue  # type: ignore[attr-defined]
    return {name: ask(name) for name in _overridden(item)}


def _overridden(item: pytest.Item) -> list[str]:
    find = item.session._fixturemanager.getfixturedefs
    found = {name: find(name, item) for name in _FIXTURES}
    return [name for name, defined in found.items() if defined and _is_somebodys(defined[-1])]


def _is_somebodys(fixturedef: pytest.FixtureDef[Any]) -> bool:
    # Where it was written, not what it says of itself: `functools.wraps` puts our name on anybody's.
    written_in = getattr(getattr(fixturedef.func, "__func__", fixturedef.func), "__globals__", {})
    return written_in.get("__name__") != _OUR_FIXTURES
