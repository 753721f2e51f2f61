"""What triage and audit cost a record, against a scan of the same file: best of three, in CPU and in memory.

Run with ``pytest benchmarks/test_audit_speed.py -s``. Sizes are 10,000, 100,000 and 1,000,000 records;
`L402_AUDIT_RECORDS` adds a larger one (10000000 takes 5 GB of disk). The scan is ``for line in file`` of
Python's. Memory is the most that a command and its workers together had for themselves, without what they
have mapped from files.
"""

import json
import math
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from exports import write_export

from pytest_l402.triage.record_gate import RecordGate

MAIN = "import sys; from pytest_l402.cli import main; sys.exit(main(sys.argv[1:]))"
SIZES = [10_000, 100_000, 1_000_000, *map(int, os.environ.get("L402_AUDIT_RECORDS", "").split())]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for size in SIZES:
        write_export(folder / f"{size}.jsonl", size)
    return folder


def cpu_of(act, rounds=3):
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        act()
        taken.append(time.process_time() - begun)
    return min(taken)


def scan(path):
    def act():
        with path.open("rb") as file:
            for _ in file:
                pass

    return cpu_of(act)


def family(pid):
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from family(int(child))


def own_kib(pid):
    try:
        return sum(
            int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{each}/status").read_text())[1])
            for each in family(pid)
        )
    except (OSError, TypeError):  # one of them has just ended
        return 0


def command(*arguments):
    """CPU and wall in seconds, and memory in MB, of a command of its own."""
    before, begun, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-c", MAIN, *arguments], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, own_kib(process.pid))
            time.sleep(0.01)
    assert process.returncode in (0, 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - begun, most / 1024


def told(name, size, cpu, wall, memory, scanned):
    print(
        f"{name:22} {size:>10,} records  {cpu:7.2f} s CPU  {wall:7.2f} s wall  {memory:6.0f} MB  "
        f"{cpu / scanned:6.1f} scans  {cpu / size * 1e6:5.1f} us a record"
    )


COMMANDS = {
    "triage": ["triage"],
    "audit, SQLite": ["audit", "--engine", "sqlite"],
    "audit, DuckDB": ["audit", "--engine", "duckdb"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_growth(exports, name):
    print()
    curve = {}
    for size in SIZES:
        path = exports / f"{size}.jsonl"
        rounds = [command(*COMMANDS[name], str(path)) for _ in range(3 if size <= 100_000 else 1)]
        best = min(rounds)
        told(name, size, *best, scan(path))
        curve[size] = best[0]
    exponent = math.log(curve[SIZES[-1]] / curve[SIZES[1]]) / math.log(SIZES[-1] / SIZES[1])
    print(f"{name}: exponent {exponent:.2f} from {SIZES[1]:,} records on; 1 is linear")
    assert exponent < 1.25


def test_gate(exports):
    path = exports / "100000.jsonl"
    gate, data = RecordGate(), path.read_bytes()
    line = data[: data.index(b"\n") + 1].decode()
    assert gate.learn(line, json.loads(line))
    pattern = re.compile(gate.run_pattern)

    def act():
        assert pattern.match(data).end() == len(data)

    print(f"\nthe gate: {cpu_of(act, 5) / scan(path):.1f} times reading the lines")


def test_help():
    alone = min(_cpu("-c", "") for _ in range(9))
    spent = min(_cpu("-c", MAIN, "triage", "--help") for _ in range(9))
    print(f"\ntriage --help: {spent:.3f} s CPU, of which Python alone {alone:.3f} s")


def _cpu(*arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
