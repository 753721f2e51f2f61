"""Spares a run of the rehearsals what no test in it needs."""

import sys

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    # At the end of every run the plugin imports all of hypothesis to ask whether hypothesis wrote anything:
    # a tenth of the CPU of a run in which no module has imported it.
    if "hypothesis" not in sys.modules:
        session.config.pluginmanager.unregister(name="hypothesispytest")
