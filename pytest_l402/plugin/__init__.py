"""Decides which parts of the plugin a pytest process needs; nothing here imports more than pytest itself."""

from __future__ import annotations

from importlib import import_module

import pytest

import pytest_l402

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the `--l402-…` options and their ini forms."""
    _rewrite_no_asserts_here(pluginmanager)
    from pytest_l402.plugin.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options and take a part in the run, unless pytest only shows something."""
    from pytest_l402.plugin import fixtures
    from pytest_l402.plugin.marker import DESCRIPTION
    from pytest_l402.plugin.run import RUN, identify_run, runs_nothing

    config.addinivalue_line("markers", DESCRIPTION)
    run = config.stash[RUN] = identify_run(config)
    plugins = config.pluginmanager
    for name in fixtures.MODULES:
        module = import_module(f"{fixtures.__name__}.{name}")
        plugins.register(module, f"pytest_l402_{name}_fixtures")
    if runs_nothing(config):
        return
    from pytest_l402.plugin.controller import Controller, Worker
    from pytest_l402.plugin.selection import RehearsalSelection

    plugins.register(RehearsalSelection(), "pytest_l402_selection")
    if run.worker is not None:
        plugins.register(Worker(config), "pytest_l402_worker")
        return
    if run.settings.required_at_hand:
        from pytest_l402.plugin.preparation import check_families

        check_families(run)
    plugins.register(Controller(config), "pytest_l402_controller")


def _rewrite_no_asserts_here(pluginmanager: pytest.PytestPluginManager) -> None:
    # pytest has the asserts of every module of a plugin's package rewritten, and reads those byte by byte:
    # two thirds of what the plugin costs a run that does not use it. There is no public way to say that none
    # of our asserts is for readers of reports; `tests/plugin/test_plugin_start_up.py` tells when this ends.
    marked: set[str] = getattr(pluginmanager.rewrite_hook, "_must_rewrite", set())
    marked.discard(pytest_l402.__name__)
