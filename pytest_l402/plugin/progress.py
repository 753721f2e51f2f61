"""Decides when a rehearsal that takes long is told of while it runs: which test, how long, at which step."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

import pytest

from pytest_l402.plugin import clock
from pytest_l402.plugin.run import RUN
from pytest_l402.plugin.selection import REHEARSAL_PROPERTY

PROGRESS: Final = "pytest_l402_progress"

_WIDTH: Final = 80
_STEP_NAMES: Final = {"setup": "its fixtures", "call": "the procedure", "teardown": "keeping the evidence"}


@dataclass
class _Running:
    """A test that is running; times are ms of the steady clock."""

    rehearsal: str
    test: str
    since_ms: int
    due_ms: int
    phase: str = "setup"
    verified: Callable[[], int] = int


class Progress:
    """Tells of each rehearsal that takes longer than so many ms, and again whenever that has doubled.

    `write` gets whole lines. Nothing is told of tests that are no rehearsals. One thread waits for all of
    them; it ends before this process forks, and begins again with the next test.
    """

    def __init__(
        self, write: Callable[[str], None], after_ms: int, now_ms: Callable[[], int] = clock.steady_ms
    ) -> None:
        self._write = write
        self._after_ms = after_ms
        self._now_ms = now_ms
        self._running: dict[str, _Running] = {}
        self._change = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None
        _ALL.add(self)

    def begin(self, nodeid: str, rehearsal: str) -> None:
        """Take note of a test that begins."""
        with self._change:
            now = self._now_ms()
            test = nodeid.rpartition("::")[2]
            self._running[nodeid] = _Running(rehearsal, test, now, now + self._after_ms)
            self._change.notify()
        if self._thread is None:
            self._ended = False
            self._thread = threading.Thread(target=self._wait, name=PROGRESS, daemon=True)
            self._thread.start()

    def reach(self, nodeid: str, phase: str, verified: Callable[[], int] | None = None) -> None:
        """Take note of the step that a test has come to; `verified` counts how often it has verified."""
        running = self._running.get(nodeid)
        if running is not None:
            running.phase = phase
            running.verified = verified or running.verified

    def end(self, nodeid: str) -> None:
        """Forget a test that has ended."""
        with self._change:
            self._running.pop(nodeid, None)

    def stop(self) -> None:
        """End the thread; what is running then is told of no more."""
        thread, self._thread = self._thread, None
        with self._change:
            self._ended = True
            self._change.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def due(self) -> list[str]:
        """Return what is to be told now."""
        now, lines = self._now_ms(), []
        for running in [*self._running.values()]:
            if now >= running.due_ms:
                running.due_ms = now + max(now - running.since_ms, 1)
                lines.append(_line(running, now - running.since_ms))
        return lines

    def _wait(self) -> None:
        while True:
            with self._change:
                if self._ended:
                    return
                next_ms = min((each.due_ms for each in self._running.values()), default=None)
                left_s = None if next_ms is None else max(next_ms - self._now_ms(), 0) / 1000
                if left_s is None or left_s > 0:
                    self._change.wait(left_s)
                lines = [] if self._ended else self.due()
            for line in lines:
                # A terminal that is gone does not end a run.
                with contextlib.suppress(OSError, ValueError):
                    self._write(line)


class ProgressHooks:
    """What tells `Progress` of the tests of this process, and of those that workers run."""

    def __init__(self, config: pytest.Config, progress: Progress) -> None:
        self._config = config
        self._progress = progress

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Follow a test of this process."""
        from pytest_l402.plugin.marker import MARK

        mark = item.stash.get(MARK, None)
        if mark is not None:
            self._progress.begin(item.nodeid, mark.rehearsal)
        try:
            return (yield)
        finally:
            self._progress.end(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Say how far the procedure has come, by how often it has verified."""
        from pytest_l402.plugin.node import COLLECTOR

        def verified() -> int:
            collector = item.stash.get(COLLECTOR, None)
            return 0 if collector is None else len(collector.moments)

        self._progress.reach(item.nodeid, "call", verified)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Follow a test that a worker runs: what it is, its first report says."""
        if report.when == "setup" and getattr(report, "node", None) is not None:
            rehearsal = dict(report.user_properties).get(REHEARSAL_PROPERTY)
            if isinstance(rehearsal, str) and report.passed:
                self._progress.begin(report.nodeid, rehearsal)
                self._progress.reach(report.nodeid, "call")
        elif report.when == "call":
            self._progress.reach(report.nodeid, "teardown")
        elif report.when == "teardown":
            self._progress.end(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End the thread before anything is said of the end."""
        self._progress.stop()


def follow(config: pytest.Config) -> None:
    """Tell of what takes long in this run, on the terminal that it was started from; not with `-q`.

    Nothing is told where standard output is no file, as of a run within a program.
    """
    after_ms = config.stash[RUN].settings.progress_after_ms
    if not after_ms or config.get_verbosity() < 0 or config.pluginmanager.hasplugin(PROGRESS):
        return
    if config.pluginmanager.get_plugin("terminalreporter") is None:
        return
    try:
        # A file of its own: while a test runs, what is written to the other one is captured.
        stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", errors="replace")
    except (OSError, ValueError, AttributeError):
        return
    config.add_cleanup(stream.close)

    def write(line: str) -> None:
        # pytest's own line is not at its end.
        stream.write(f"\n{line}\n")
        stream.flush()

    progress = Progress(write, after_ms)
    config.add_cleanup(progress.stop)
    config.pluginmanager.register(ProgressHooks(config, progress), PROGRESS)


def _line(running: _Running, passed_ms: int) -> str:
    from pytest_l402.boundary.cleaning import flat
    from pytest_l402.boundary.text_safety import commandless

    verified = running.verified()
    step = _STEP_NAMES.get(running.phase, running.phase)
    if running.phase == "call" and verified:
        step = f"verified {verified} time{'' if verified == 1 else 's'}"
    told = f"l402: {running.rehearsal}, {passed_ms // 1000} s: {step}, "
    test = flat(running.test)
    room = max(_WIDTH - len(told), 20)
    return commandless(told + (test if len(test) <= room else f"{test[: room - 1]}…"))


_ALL: weakref.WeakSet[Progress] = weakref.WeakSet()


def _stop_all() -> None:
    for progress in [*_ALL]:
        progress.stop()


# Python warns of a fork beside other threads, and where warnings are errors that would fail a test of ours.
os.register_at_fork(before=_stop_all)
