"""Decides what every test may rely on, wherever the suite is started."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "stories"]

# How fast a machine is proves nothing: no test is timed.
settings.register_profile("not timed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("not timed")


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal() -> Iterator[None]:
    """Heed the signals that who is started in the background, or with nohup, ignores; so do its children."""
    heeded = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    ignored = [number for number in heeded if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, heeded[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
