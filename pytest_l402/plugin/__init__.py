"""Decides which parts of the plugin a pytest process needs; nothing here imports more than pytest itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final

import pytest

import pytest_l402

__all__: list[str] = []

_LAST_LOOK: Final[pytest.StashKey[Callable[[], None]]] = pytest.StashKey()
"""On the config: what is to be called when nothing else of pytest or its plugins is left to run."""


_STATUS_OF_A_REFUSAL: Final[pytest.StashKey[Callable[[], int]]] = pytest.StashKey()
"""On the config: what the run must exit with if pytest itself is made to say 0; 0 where that is right."""


_CACHE_PLUGIN: Final = "valkey"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """See to it, before any `conftest.py` is read, that what is called last of all is ours."""
    early_config.add_cleanup(partial(_look_last, early_config))
    _return_last(early_config)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the `--l402-…` options and their ini forms."""
    _rewrite_no_asserts_here(pluginmanager)
    if not pluginmanager.has_plugin(_CACHE_PLUGIN):
        # Of the package of the cache server only the server is wanted; who wants its plugin says `-p valkey`.
        pluginmanager.set_blocked(_CACHE_PLUGIN)
    from pytest_l402.plugin.options import add_options

    # Before a conftest.py can put another clock in its place.
    import_module("pytest_l402.plugin.clock")
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Show what is rehearsed instead of running it, if that was asked for."""
    if not config.getoption("l402_list"):
        return None
    from pytest_l402.plugin.listing import listed

    print(listed(config))
    return 0


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options and take a part in the run, unless pytest only shows something."""
    from pytest_l402.plugin import fixtures
    from pytest_l402.plugin.marker import DESCRIPTION
    from pytest_l402.plugin.run import (
        AFTERMATH,
        CONTROLLER,
        INNERMOST,
        NODES,
        RUN,
        SELECTION,
        TEXT_GUARD,
        WORKER,
        identify_run,
        runs_nothing,
    )

    config.addinivalue_line("markers", DESCRIPTION)
    run = config.stash[RUN] = identify_run(config)
    for name in fixtures.MODULES:
        module = import_module(f"{fixtures.__name__}.{name}")
        _register(config, module, f"pytest_l402_{name}_fixtures")
    if run.settings.catalogue.is_file():
        # There may be rehearsals: what cannot be collected is told before it is known that there are none.
        from pytest_l402.plugin.text_guard import TextGuard

        _register(config, TextGuard(config), TEXT_GUARD)
    if runs_nothing(config):
        return
    from pytest_l402.plugin.controller import Controller, Worker
    from pytest_l402.plugin.selection import RehearsalSelection

    _register(config, RehearsalSelection(), SELECTION)
    if run.worker is not None:
        _register(config, Worker(config), WORKER)
        return
    if run.settings.required_at_hand:
        from pytest_l402.plugin.preparation import check_families

        check_families(run)
    controller = Controller(config)
    config.stash[_LAST_LOOK] = controller.look_last
    config.stash[_STATUS_OF_A_REFUSAL] = controller.status_of_a_refusal
    _register(config, controller, CONTROLLER)
    for name in (NODES, INNERMOST, AFTERMATH):
        _refuse_blocked(config, name)


def _look_last(config: pytest.Config) -> None:
    look = config.stash.get(_LAST_LOOK, None)
    if look is not None:
        look()


def _return_last(config: pytest.Config) -> None:
    """Have the last word on what pytest returns to the shell: no wrapper of anybody's is around this."""
    caller: Any = config.hook.pytest_cmdline_main
    call = getattr(caller, "_hookexec", None)
    if call is None:
        return

    def call_and_look(*args: Any, **named: Any) -> Any:
        try:
            returned = call(*args, **named)
        except SystemExit as stop:
            refused = 0 if stop.code else _status_of_a_refusal(config)
            if not refused:
                raise
            return refused
        return returned or _status_of_a_refusal(config)

    caller._hookexec = call_and_look


def _status_of_a_refusal(config: pytest.Config) -> int:
    return config.stash.get(_STATUS_OF_A_REFUSAL, int)()


def _register(config: pytest.Config, part: object, name: str) -> None:
    _refuse_blocked(config, name)
    config.pluginmanager.register(part, name)


def _refuse_blocked(config: pytest.Config, name: str) -> None:
    if config.pluginmanager.is_blocked(name):
        raise pytest.UsageError(
            f"-p no:{name}: expected all of pytest-l402 or nothing of it, saw a part of it switched off; "
            "leave it on, or switch off all of it with -p no:pytest_l402"
        )


def _rewrite_no_asserts_here(pluginmanager: pytest.PytestPluginManager) -> None:
    # pytest has the asserts of every module of a plugin's package rewritten, and reads those byte by byte:
    # two thirds of what the plugin costs a run that does not use it. There is no public way to say that none
    # of our asserts is for readers of reports; `tests/plugin/test_plugin_start_up.py` tells when this ends.
    marked: set[str] = getattr(pluginmanager.rewrite_hook, "_must_rewrite", set())
    marked.discard(pytest_l402.__name__)
