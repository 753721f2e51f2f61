"""Decides which rehearsal an exception belongs to that nobody caught: a thread's, a task's, a finaliser's."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Generator
from types import TracebackType
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

import pytest

from pytest_l402.plugin.marker import MARK
from pytest_l402.plugin.run import AFTERMATH
from pytest_l402.plugin.witness import four_parts, told

HEARD: Final[pytest.StashKey[Aftermath]] = pytest.StashKey()
"""On the config: what came to light after the rehearsals; there once a rehearsal was selected."""

_PATIENCE_SECONDS: Final = 1.0
"""How long the end of a run waits for threads that its rehearsals have started, all together."""


class Aftermath(logging.Handler):
    """Listens where Python puts what nobody caught, from the first rehearsal to the end of the run.

    Pytest warns of it in whichever test runs at that time; here it goes to the rehearsal that started the
    thread, or whose file stands in the traceback. `told` has the first of each, by node id.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: dict[str, str] = {}
        self._running: str | None = None
        self._of_others: WeakSet[threading.Thread] = WeakSet()
        self._started: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
        self._of_file: dict[str, str] = {}
        self._thread_hook = threading.excepthook
        self._finaliser_hook = sys.unraisablehook
        self._hooks = self._in_thread, self._in_finaliser

    @classmethod
    def watch(cls, config: pytest.Config) -> None:
        """Listen from now on, until pytest is configured no more."""
        if HEARD in config.stash:
            return
        listener = config.stash[HEARD] = cls()
        config.pluginmanager.register(listener, AFTERMATH)
        threading.excepthook, sys.unraisablehook = listener._hooks
        # A task that fails and that nobody awaits is told to this logger alone.
        logging.getLogger("asyncio").addHandler(listener)
        config.add_cleanup(listener._stop)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Take what comes to light while a rehearsal runs, and keep which threads it leaves behind."""
        if MARK not in item.stash:
            return (yield)
        self._running = self._of_file[str(item.path)] = item.nodeid
        self._of_others = WeakSet(threading.enumerate())
        # What is older is not looked through again: only what the rehearsal has left is collected below.
        frozen = gc.get_freeze_count()
        if not frozen:
            gc.freeze()
        try:
            return (yield)
        finally:
            gc.collect(1 if frozen else 2)
            if not frozen:
                gc.unfreeze()
            for thread in threading.enumerate():
                if thread not in self._of_others:
                    self._started.setdefault(thread, item.nodeid)
            self._running = None

    def objection(self, item: pytest.Item) -> BaseException | None:
        """Return a failure if the test has put other hooks where stray exceptions are told; None if not."""
        there = threading.excepthook, sys.unraisablehook
        if there == self._hooks:
            return None
        problem = four_parts(
            "what nobody caught would not have been seen",
            "threading.excepthook and sys.unraisablehook as they were before the test",
            " and ".join(map(repr, there)),
            item.nodeid,
            "leave both alone in a rehearsal",
        )
        return pytest.fail.Exception(problem, pytrace=False)

    def finish(self) -> None:
        """Collect what is left, and wait a little for threads of rehearsals; name those that still run."""
        gc.collect()
        until = time.monotonic() + _PATIENCE_SECONDS
        for thread, nodeid in list(self._started.items()):
            if thread is threading.current_thread() or _is_of_a_pool(thread):
                continue
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self._note(
                    nodeid,
                    f"its thread {thread.name} still ran when the run ended: what it did then, nobody saw",
                )

    def emit(self, record: logging.LogRecord) -> None:
        """Take what asyncio says of a task or a callback that failed."""
        error = record.exc_info[1] if record.exc_info else None
        owner = self._running or self._by_file(None if error is None else error.__traceback__)
        first = next(iter(record.getMessage().splitlines()), "")
        self._note(owner, f"{first} ({told(error)})" if error is not None else first)

    def _in_thread(self, args: threading.ExceptHookArgs, /) -> None:
        if args.exc_type is not SystemExit:
            thread = args.thread
            name = "a thread" if thread is None else f"thread {thread.name}"
            owner = None if thread is None else self._started.get(thread)
            if owner is None and thread not in self._of_others:
                owner = self._running
            owner = owner or self._by_file(args.exc_traceback)
            self._note(owner, f"{_said(args.exc_type, args.exc_value)} in {name}, which it started")
        self._thread_hook(args)

    def _in_finaliser(self, unraisable: sys.UnraisableHookArgs, /) -> None:
        owner = self._running or self._by_file(unraisable.exc_traceback)
        said = _said(unraisable.exc_type, unraisable.exc_value)
        self._note(owner, f"{said} while something that it left was finalised")
        self._finaliser_hook(unraisable)

    def _note(self, nodeid: str | None, text: str) -> None:
        if nodeid is not None:
            self.told.setdefault(nodeid, text)

    def _by_file(self, traceback: TracebackType | None) -> str | None:
        while traceback is not None:
            owner = self._of_file.get(traceback.tb_frame.f_code.co_filename)
            if owner is not None:
                return owner
            traceback = traceback.tb_next
        return None

    def _stop(self) -> None:
        logging.getLogger("asyncio").removeHandler(self)
        threading.excepthook = self._thread_hook
        sys.unraisablehook = self._finaliser_hook


def _said(kind: type[BaseException], error: BaseException | None) -> str:
    return kind.__name__ if error is None else told(error)


def _is_of_a_pool(thread: threading.Thread) -> bool:
    """Whether it works for a pool: what fails there goes to whom asked for it, and never to a hook."""
    return getattr(getattr(thread, "_target", None), "__module__", None) == "concurrent.futures.thread"
