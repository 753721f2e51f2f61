"""Runs the rehearsals on one mutant after the other, each in a child that one warmed process forks.

What lies in a function is changed in memory, in the child; what runs when a module is imported needs a child
that has not imported it yet.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib.abc
import importlib.util
import json
import os
import pickle
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from operators import PACKAGE, Mutant, mutated, source_of

REPOSITORY = PACKAGE.parent
FAMILIES = ("observability", "staging_reconcile", "lightning_ops")
MUTATED = ("pytest_l402.stack", "pytest_l402.ops")

_CPU_S = 10
_ONE_PROCESSOR_IN = 12
_MEMORY_BYTES = 3 << 30
_LINE = re.compile(r"\(([\w.-]+\.[\w-]+)\): expected|^([\w.-]+\.[\w-]+): expected", re.MULTILINE)


@dataclass(frozen=True)
class Reached:
    """What a run of the unchanged rehearsals told: which test runs which lines, and how long each takes."""

    lines: dict[str, dict[int, frozenset[str]]]
    seconds: dict[str, float]
    imported: tuple[str, ...]

    def tests(self, mutant: Mutant) -> set[str]:
        """Return the tests that run the statement that is changed; all of them if imports do."""
        if not mutant.scope:
            return set(self.seconds)
        of_module = self.lines.get(mutant.path, {})
        first, last = mutant.lines
        return set().union(*(of_module.get(line, ()) for line in range(first, last + 1)))


@dataclass(frozen=True)
class Outcome:
    """How a mutant ended: killed, survived, timed-out, or unreached by any rehearsal."""

    ended: str
    test: str | None = None
    said: str | None = None
    lines: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(eq=False)
class _Watch:
    """A plugin of pytest that keeps the first failure, and orders the tests as they are wished."""

    order: Sequence[str] = ()
    failed: pytest.TestReport | None = None
    loop: Callable[[pytest.Session], None] | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order:
            place = {nodeid: number for number, nodeid in enumerate(self.order)}
            items[:] = sorted(
                (each for each in items if each.nodeid in place), key=lambda each: place[each.nodeid]
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if self.loop is None:
            return None
        self.loop(session)
        return True


def arguments(place: Path) -> list[str]:
    """Return how pytest is asked for the rehearsals, without the teeth: what the checks find is enough."""
    plugins = ("cacheprovider", "xdist", "anyio", "respx", "hypothesispytest", "benchmark", "rerunfailures")
    without = [word for name in plugins for word in ("-p", f"no:{name}")]
    folders = [str(REPOSITORY / "rehearsals" / family) for family in FAMILIES]
    how = ["-q", "-s", "--assert=plain", "-m", "rehearsal", "--l402-no-teeth", f"--l402-artifact-dir={place}"]
    return [
        *folders,
        *how,
        *without,
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        f"--rootdir={REPOSITORY}",
    ]


class Rehearsals:
    """The warmed process: it has imported what no mutant alters, and forks for everything else."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.reached = _in_child(lambda: _reach(scratch))
        if not isinstance(self.reached, Reached):
            raise SystemExit(f"the rehearsals cannot be run as they are: {self.reached}")
        for name in self.reached.imported:
            if not name.startswith(("pytest_l402.stack", "pytest_l402.ops", "pytest_l402.plugin")):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)

    def judge(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, Outcome]]:
        """Yield how each mutant ended, those inside of functions first."""
        inside, outside = [], []
        for mutant in mutants:
            if not self.reached.tests(mutant):
                yield mutant, Outcome("unreached")
            else:
                (inside if mutant.scope else outside).append(mutant)
        if inside:
            yield from self._in_functions(inside, outside)
        for mutant in outside:
            yield mutant, self._imported_anew(mutant)

    def _in_functions(self, mutants: list[Mutant], outside: list[Mutant]) -> Iterator[tuple[Mutant, Outcome]]:
        """Let a child collect all rehearsals once; it forks for each mutant, and tells of each by a pipe."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            with _leaving():
                _silence()
                _serve(self, mutants, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            while True:
                try:
                    number, outcome = pickle.load(told)
                except EOFError:
                    break
                if outcome is None:
                    outside.append(mutants[number])
                else:
                    yield mutants[number], outcome
        os.waitpid(pid, 0)

    def _imported_anew(self, mutant: Mutant) -> Outcome:
        near = set().union(*self.reached.lines.get(mutant.path, {0: frozenset()}).values())
        seconds = self.reached.seconds
        order = sorted(self.reached.tests(mutant), key=lambda test: (test not in near, seconds[test]))

        def run() -> dict[str, Any]:
            sys.meta_path.insert(0, _Mutation(mutant))
            return _run_all(order, self._scratch)

        return _outcome(run, sum(seconds.values()))


def _serve(rehearsals: Rehearsals, mutants: list[Mutant], writing: int) -> None:
    reached = rehearsals.reached

    def loop(session: pytest.Session) -> None:
        for name in reached.imported:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        functions = _functions()
        items = {item.nodeid: item for item in session.items}
        kills: defaultdict[str, Counter[str]] = defaultdict(Counter)
        gc.collect()
        gc.freeze()
        for number, mutant in enumerate(mutants):
            replaced = _replaced(mutant, functions)
            if replaced is None:
                outcome = None
            else:
                known = kills[f"{mutant.path} {mutant.scope}"]
                tests = sorted(reached.tests(mutant), key=lambda test: (-known[test], reached.seconds[test]))
                chosen = [items[test] for test in tests]

                def run(replaced: Any = replaced, chosen: Any = chosen) -> dict[str, Any]:
                    for function, code in replaced:
                        function.__code__ = code
                    return _run_items(session, chosen)

                outcome = _outcome(run, sum(reached.seconds[test] for test in tests))
                if outcome.test:
                    known[outcome.test] += 1
            with os.fdopen(os.dup(writing), "wb") as to:
                pickle.dump((number, outcome), to)
        os._exit(0)

    with tempfile.TemporaryDirectory(dir=rehearsals._scratch) as place:
        pytest.main(arguments(Path(place)), plugins=[_Watch(loop=loop)])


def _run_items(session: pytest.Session, items: Sequence[pytest.Item]) -> dict[str, Any]:
    from pytest_l402.plugin.run import RUN

    watch = next(each for each in session.config.pluginmanager.get_plugins() if isinstance(each, _Watch))
    run = session.config.stash[RUN]
    own = f"{run.run_id[:-8]}{os.urandom(4).hex()}"
    session.config.stash[RUN] = run._replace(run_id=own)
    try:
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if watch.failed is not None:
                break
        return _told(watch.failed)
    finally:
        shutil.rmtree(session.config.stash[RUN].folder, ignore_errors=True)


def _run_all(order: Sequence[str], scratch: Path) -> dict[str, Any]:
    watch = _Watch(order)
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        status = pytest.main([*arguments(Path(place)), "-x"], plugins=[watch])
    if watch.failed is None and status not in (0, 1):
        return {"test": None, "said": f"pytest ended with {status!r}", "lines": ()}
    # A drill that nothing was found in ends with 0; a run that refuses for another reason has said so.
    return _told(watch.failed) or (
        {"test": None, "said": "the run is refused", "lines": ()} if status else {}
    )


def _told(report: pytest.TestReport | None) -> dict[str, Any]:
    if report is None:
        return {}
    text = report.longreprtext
    lines = tuple(dict.fromkeys(one or other for one, other in _LINE.findall(text)))
    said = next(
        (line for line in text.splitlines() if " is violated" in line), text.strip().splitlines()[-1:]
    )
    return {"test": report.nodeid, "said": str(said)[:300], "lines": lines}


def _outcome(run: Callable[[], dict[str, Any]], seconds: float) -> Outcome:
    """Run in a child, and take a longer time than `seconds` and something for a time-out."""
    began = time.monotonic()
    told = _in_child(
        run, cpu_s=int(_CPU_S + 8 * seconds), patience_s=(_CPU_S + 8 * seconds) * _ONE_PROCESSOR_IN
    )
    took = round(time.monotonic() - began, 2)
    if told is None:
        return Outcome("timed-out", seconds=took)
    if not told:
        return Outcome("survived", seconds=took)
    return Outcome("killed", told["test"], told["said"], tuple(told["lines"]), took)


def _in_child(run: Callable[[], Any], cpu_s: int = 3600, patience_s: float = 3600) -> Any:
    """Return what a child says that this process forks, None if it says nothing in time."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with _leaving():
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
            _silence()
            _spare()
            try:
                said = run()
            except BaseException as error:
                said = {"test": None, "said": f"{type(error).__name__}: {error}"[:200], "lines": ()}
            with os.fdopen(writing, "wb") as to:
                pickle.dump(said, to)
    os.close(writing)
    told = b""
    until = time.monotonic() + patience_s
    while (left := until - time.monotonic()) > 0 and select.select([reading], [], [], left)[0]:
        part = os.read(reading, 1 << 20)
        if not part:
            break
        told += part
    os.close(reading)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    try:
        return pickle.loads(told)
    except (EOFError, pickle.UnpicklingError):
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        over = by in (signal.SIGXCPU, signal.SIGKILL)
        return None if over else {"test": None, "said": f"the run ended by itself, {status}", "lines": ()}


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """End a child here, whatever happens: what comes after is its parent's."""
    try:
        yield
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(3)


def _spare() -> None:
    """Leave out what costs much and judges nothing: to sync, to collect garbage, to keep evidence."""
    os.fsync = lambda descriptor: None
    os.sync = lambda: None
    gc.collect = lambda *generation: 0
    with contextlib.suppress(ImportError):
        node = importlib.import_module("pytest_l402.plugin.node")
        node.keep_evidence = lambda item, mark: ""


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _reach(scratch: Path) -> Reached:
    """Run every rehearsal once, and note what it runs."""
    import coverage

    measured = coverage.Coverage(
        data_file=None, config_file=False, include=[f"{PACKAGE}/stack/*", f"{PACKAGE}/ops/*"]
    )
    seconds: dict[str, float] = {}

    class Measure(_Watch):
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
            measured.switch_context(item.nodeid)
            began = time.process_time()
            try:
                return (yield)
            finally:
                seconds[item.nodeid] = time.process_time() - began
                measured.switch_context("")

    watch = Measure()
    measured.start()
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        status = pytest.main(arguments(Path(place)), plugins=[watch])
    measured.stop()
    if status or watch.failed is not None:
        raise SystemExit(f"the rehearsals are red as they are: {_told(watch.failed)}")
    data = measured.get_data()
    lines: dict[str, dict[int, frozenset[str]]] = {}
    for file in data.measured_files():
        of_file = data.contexts_by_lineno(file)
        path = Path(file).relative_to(PACKAGE).as_posix()
        lines[path] = {line: frozenset(filter(None, tests)) for line, tests in of_file.items()}
    return Reached(lines, seconds, tuple(sys.modules))


@dataclass(eq=False)
class _Mutation(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module with the change in it."""

    mutant: Mutant
    done: list[str] = field(default_factory=list)

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.mutant.module:
            return None
        file = PACKAGE / self.mutant.path
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, file, loader=self, submodule_search_locations=inside
        )

    def exec_module(self, module: ModuleType) -> None:
        warnings.simplefilter("ignore", SyntaxWarning)
        exec(compile(mutated(self.mutant), str(PACKAGE / self.mutant.path), "exec"), module.__dict__)


Place = tuple[str, str, int]


def _functions() -> dict[Place, list[FunctionType]]:
    """Return the functions of the rooms that are mutated, by file, name and line."""
    found: defaultdict[Place, list[FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(str(PACKAGE)):
            code = each.__code__
            found[code.co_filename, code.co_qualname, code.co_firstlineno].append(each)
    return found


def _replaced(
    mutant: Mutant, functions: dict[Place, list[FunctionType]]
) -> list[tuple[FunctionType, CodeType]] | None:
    """Return which functions get which code; None if the change is not in functions that can be replaced."""
    file = str(PACKAGE / mutant.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        was = compile(ast.parse(source_of(mutant.path)), file, "exec")
        now = compile(mutated(mutant), file, "exec")
    changed = list(_changed(was, now))
    replaced = []
    for code in changed:
        if code is None:
            return None
        found = functions.get((file, code.co_qualname, code.co_firstlineno), [])
        if not found or any(each.__code__.co_freevars != code.co_freevars for each in found):
            return None
        replaced += [(each, code) for each in found]
    return replaced or None


def _changed(was: CodeType, now: CodeType) -> Iterator[CodeType | None]:
    """Yield the changed code of each outermost function; None for one of a module or a class itself."""
    pairs = [
        pair
        for pair in zip(was.co_consts, now.co_consts, strict=False)
        if all(isinstance(each, CodeType) for each in pair)
    ]
    if len(was.co_consts) != len(now.co_consts) or was.co_code != now.co_code:
        yield None
    for old, new in pairs:
        if old == new:
            continue
        is_function = bool(new.co_flags & 0x02)  # CO_NEWLOCALS: a class has no locals of its own
        if is_function:
            yield new
        else:
            yield from _changed(old, new)


def to_row(mutant: Mutant, outcome: Outcome) -> str:
    """Return one line of JSON that says how a mutant ended."""
    return json.dumps({"mutant": mutant.key, **outcome.__dict__}, ensure_ascii=False)
