"""What one `smoke:full-flow --json` costs as a whole: start of Python, imports, the flow, its files.

Run with ``pytest benchmarks/test_command_speed.py -s``. CPU seconds of a process of its own, user and system,
best and median of ten, with the bytecode cached as it is after an installation. The budget is 0.6 s. Beside
it stands what the same machine takes at the same time for Python alone and for the three libraries that the
command cannot do without, so that a busy machine is not taken for a slow command.
"""

import os
import resource
import statistics
import subprocess
import sys

import pytest

ROUNDS = 10
BUDGET_S = 0.6
MAIN = "import sys; from pytest_l402.cli import main; sys.exit(main(sys.argv[1:]))"
LIBRARIES = """
import httpx, pydantic, yaml
class Model(pydantic.BaseModel):
    value: int
"""
COMMAND = ("smoke:full-flow", "--json", "--mode", "mock", "--allow-missing-local-artifact")


def cpu_seconds(arguments, folder, environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture
def environment(tmp_path):
    cached = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}
    cached.pop("PYTHONDONTWRITEBYTECODE", None)
    return cached


def test_full_flow_command(tmp_path, environment):
    programs = {
        "python": ["-c", ""],
        "pydantic, httpx, yaml": ["-c", LIBRARIES],
        "smoke:full-flow --json": ["-c", MAIN, *COMMAND],
    }
    taken = {name: [] for name in programs}
    for arguments in programs.values():
        cpu_seconds(arguments, tmp_path, environment)
    # In turns, so that all of them meet the same neighbours.
    for _ in range(ROUNDS):
        for name, arguments in programs.items():
            taken[name].append(cpu_seconds(arguments, tmp_path, environment))
    print()
    for name, seconds in taken.items():
        print(f"{name:24} best {min(seconds):.3f} s   median {statistics.median(seconds):.3f} s")
    assert min(taken["smoke:full-flow --json"]) < BUDGET_S
