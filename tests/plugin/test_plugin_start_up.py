"""What the plugin costs a project that does not use it: it imports pytest and the standard library alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from plugin_project import Project
from tiers import sampled

HEAVY = (
    "pydantic",
    "httpx",
    "respx",
    "yaml",
    "freezegun",
    "embit",
    "pytest_l402.stack",
    "pytest_l402.evidence",
    "pytest_l402.signoff",
    "pytest_l402.contract",
    "pytest_l402.protocol",
    "pytest_l402.cli",
)

REPORT = f"""
import os, sys

def pytest_unconfigure():
    present = [name for name in {HEAVY!r} if name in sys.modules]
    with open(f"imported-{{os.getpid()}}", "w") as file:
        file.write(" ".join(present))
"""

# The entry points of other packages import httpx for themselves.
OTHERS = ("-p", "no:respx", "-p", "no:anyio", "-p", "no:hypothesispytest")


MARKING = """
import sys
from _pytest.assertion.rewrite import AssertionRewritingHook

# As pytest does it for every package that is installed with a plugin in it.
[hook] = [finder for finder in sys.meta_path if isinstance(finder, AssertionRewritingHook)]
hook.mark_rewrite("pytest_l402")

def pytest_unconfigure():
    ours = {name: module for name, module in sys.modules.items() if name.startswith("pytest_l402")}
    names = sorted(name for name, module in ours.items() if module.__loader__ is hook)
    print("rewritten:", *names, "of", len(ours))
"""


def test_only_what_is_read_before_the_plugin_can_say_so_is_rewritten(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(marking=MARKING, test_it="def test_something():\n    pass")
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-s", "-p", "marking", *OTHERS)
    (line,) = [line for line in result.outlines if line.startswith("rewritten: ")]
    assert line.startswith("rewritten: pytest_l402 pytest_l402.plugin of 1"), line


def imported(pytester: pytest.Pytester) -> list[str]:
    """Return what each process of the run had imported at its end."""
    return [path.read_text() for path in pytester.path.glob("imported-*")]


@pytest.mark.parametrize(
    "args",
    sampled(
        [pytest.param(option) for option in ((), ("--co",), ("--help",), ("--fixtures",))], 1, "start up"
    ),
    ids=" ".join,
)
def test_a_run_without_rehearsals_imports_nothing_heavy(
    pytester: pytest.Pytester, args: tuple[str, ...]
) -> None:
    pytester.makeconftest(REPORT)
    pytester.makepyfile("def test_something():\n    pass")
    assert pytester.runpytest_subprocess(*args, *OTHERS).ret == 0
    assert imported(pytester) == [""]


@pytest.mark.slow
def test_neither_do_the_workers_of_one(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REPORT)
    pytester.makepyfile("def test_something():\n    pass")
    assert pytester.runpytest_subprocess("-n", "2", *OTHERS).ret == 0
    assert imported(pytester) == ["", "", ""]


def test_rehearsals_without_the_stack_do_not_import_the_stack(project: Project) -> None:
    project.pytester.makeconftest(REPORT)
    assert project.run_process("-m", "rehearsal", *OTHERS).verdict == "SIGNED_OFF"
    (names,) = imported(project.pytester)
    assert "pydantic" in names.split()
    assert not {"pytest_l402.stack", "httpx", "respx", "freezegun"} & set(names.split())


def test_importing_the_plugin_imports_nothing_but_pytest() -> None:
    code = f"import pytest, sys, pytest_l402.plugin; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
