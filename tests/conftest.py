"""What every test may rely on, wherever the suite is started, and what none may leave behind."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "stories"]

# The tests start hundreds of processes. Where no bytecode may be written, as in many images, each of them
# would compile the whole package anew: more work than the tests themselves.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How fast a machine is proves nothing: no test is timed. The gate asks for more examples than the fast tier.
settings.register_profile(
    "not timed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("L402_TEST_EXAMPLES", "25")),
)
settings.load_profile("not timed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--aperture", metavar="PATH", help="send the recorded requests to this program instead")


def pytest_collection_finish() -> None:
    """Let no run of pytest in this process look for garbage in what was loaded before the first test.

    Each of the hundreds collects garbage ten times or so, and what is loaded by now stays to the end.
    """
    gc.collect()
    gc.freeze()


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


PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): who has lost its parent becomes a child of this process."""
PATIENCE_S = 20


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Every process that the tests have started, and each that one of those has started, ends with them."""
    if not Path("/proc/self/task").is_dir():
        yield
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = children()
    yield
    left = {pid: command for pid, command in children().items() if pid not in before and not ends(pid)}
    assert not left


def children() -> dict[int, str]:
    """The processes below this one that live or that nobody has waited for, with what they run."""
    listed = (task / "children" for task in Path("/proc/self/task").iterdir())
    pids = [int(pid) for file in listed for pid in file.read_text().split()]
    return {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids}


def ends(pid: int) -> bool:
    """Whether a process ends in time that was told to."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], PATIENCE_S)[0])
    finally:
        os.close(descriptor)
