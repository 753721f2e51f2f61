"""What a whole run costs: the rehearsals of one runbook, all of them, and a project that has none.

Run with ``pytest benchmarks/test_run_speed.py -s``. Each row is a pytest process of its own, with the
bytecode cached as it is after an installation: CPU seconds (user and system), wall seconds, the seconds that
its report gives to tests, and the highest resident memory. Rows are taken in turns, so that all of them meet
the same neighbours, and held against the budget: a busy machine misses one that an idle machine keeps, so a
budget that is missed is told, and fails nothing.
"""

import json
import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROUNDS = 7
UNUSED_ROUNDS = 30
REHEARSALS = Path(__file__).parents[1] / "rehearsals"
INI = '[tool.pytest]\ntestpaths = ["rehearsals"]\nfilterwarnings = ["error"]\n'
# Other people's plugins, which a project that only rehearses does not have, and files that nobody reads.
BARE = (
    *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:respx", "-p", "no:anyio"),
    *("-p", "no:hypothesispytest", "-p", "no:benchmark", "-p", "no:rerunfailures", "-p", "no:xdist"),
)


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    wall_s: float
    memory_mib: float
    test_s: float


def cost_of(arguments, folder, environment):
    report = folder / "report.json"
    started = time.monotonic()
    with (folder / "printed.txt").open("wb") as printed:
        streams = [(os.POSIX_SPAWN_DUP2, printed.fileno(), number) for number in (1, 2)]
        command = [sys.executable, *BARE, *arguments]
        # posix_spawn and wait4, as only they tell the memory of one child.
        pid = os.posix_spawn(
            "/usr/bin/env", ["env", "-C", str(folder), *command], environment, file_actions=streams
        )
        _, status, usage = os.wait4(pid, 0)
    wall_s = time.monotonic() - started
    assert status == 0, (folder / "printed.txt").read_text()
    test_s = 0.0
    if report.exists():
        phases = ("setup", "call", "teardown")
        tests = json.loads(report.read_text())["tests"]
        test_s = sum(test[phase]["duration"] for test in tests for phase in phases)
        report.unlink()
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, test_s)


@pytest.fixture
def environment(tmp_path):
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}


def project(folder, families):
    """A project that rehearses these families and no other."""
    catalogue = yaml.safe_load((REHEARSALS / "catalogue.yaml").read_text(encoding="utf-8"))
    catalogue["runbooks"] = {family: catalogue["runbooks"][family] for family in families}
    entries = catalogue["rehearsals"]
    catalogue["rehearsals"] = [entry for entry in entries if entry["family"] in families]
    shutil.copytree(REHEARSALS, folder / "rehearsals", ignore=shutil.ignore_patterns("__pycache__"))
    for family in {entry["family"] for entry in entries} - set(families):
        shutil.rmtree(folder / "rehearsals" / family.replace("-", "_"))
    (folder / "rehearsals" / "catalogue.yaml").write_text(yaml.safe_dump(catalogue, sort_keys=False))
    (folder / "pyproject.toml").write_text(INI)
    return folder


def empty(folder):
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[tool.pytest]\n")
    (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    return folder


def in_turns(rows, rounds, environment):
    """The costs of each row, taken one after the other so often, after one run that is not counted."""
    taken = {name: [] for name in rows}
    for turn in range(rounds + 1):
        for name, (arguments, folder) in rows.items():
            environment["PYTEST_ADDOPTS"] = f"--json-report-file={folder / 'report.json'}"
            cost = cost_of(arguments, folder, environment)
            if turn:
                taken[name].append(cost)
    print(f"\n{'':34} CPU best  median   wall best   tests best   memory")
    for name, costs in taken.items():
        cpu = [cost.cpu_s for cost in costs]
        print(
            f"{name:34} {min(cpu):6.3f} s {statistics.median(cpu):6.3f} s"
            f" {min(cost.wall_s for cost in costs):9.3f} s"
            f" {min(cost.test_s for cost in costs):10.3f} s"
            f" {max(cost.memory_mib for cost in costs):6.0f} MiB"
        )
    return taken.values()


def kept(what, seen, budget, unit):
    print(f"{what}: {seen:.3g} {unit}, budget {budget:.3g} {unit}{'' if seen < budget else ', MISSED'}")


def test_plugin_unused(tmp_path, environment):
    nothing = empty(tmp_path / "nothing")
    rows = {
        "one empty test, -p no:pytest_l402": (("-p", "no:pytest_l402"), nothing),
        "one empty test": ((), nothing),
    }
    without, unused = in_turns(rows, UNUSED_ROUNDS, environment)
    idle_s = min(cost.cpu_s for cost in unused) - min(cost.cpu_s for cost in without)
    kept("the plugin, unused, best against best", idle_s * 1000, 10, "ms CPU")


def test_whole_runs(tmp_path, environment):
    families = yaml.safe_load((REHEARSALS / "catalogue.yaml").read_text(encoding="utf-8"))["runbooks"]
    rehearse = ("-m", "rehearsal", "--json-report")
    rows = {
        "observability": (rehearse, project(tmp_path / "one", ["observability"])),
        "every family": (rehearse, project(tmp_path / "all", list(families))),
    }
    runbook, everything = in_turns(rows, ROUNDS, environment)
    kept("observability, CPU", min(cost.cpu_s for cost in runbook), 2.0, "s")
    kept("observability, tests", min(cost.test_s for cost in runbook), 0.5, "s")
    kept("every family, wall", min(cost.wall_s for cost in everything), 30.0, "s")
    kept("every family, memory", max(cost.memory_mib for cost in everything), 200.0, "MiB")
