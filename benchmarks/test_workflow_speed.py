"""How long durable workflows take to begin, and to be there again after a kill.

Run with ``pytest benchmarks/test_workflow_speed.py -s``. Medians of ten, in seconds: a worker from
the zygote until it is ready, a start until the run is before its effect, and from SIGKILL, by way of another
worker, until the run has succeeded. Beside them stands what a worker takes in seconds of CPU, which a busy
machine changes less.
"""

import statistics
import time
from pathlib import Path

from pytest_l402.workflow import DurableWorkflow, Point

ROUNDS = 10
BUDGETS_S = {"worker ready": 0.1, "start to effect": 0.25, "SIGKILL to SUCCESS": 0.25}


def cpu_seconds(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def test_from_kill_to_success(l402_zygote, l402_workflow_databases):
    taken = {name: [] for name in BUDGETS_S}
    cpu = []
    with DurableWorkflow(l402_zygote, l402_workflow_databases.fresh(), "seed") as workflow:
        points = workflow.outside.points
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            worker = workflow.worker()
            taken["worker ready"].append(time.perf_counter() - begun)
            cpu.append(cpu_seconds(worker.pid))
            with points.held(Point.BEFORE_EFFECT) as hold:
                begun = time.perf_counter()
                run = workflow.start()
                points.reached(hold)
                taken["start to effect"].append(time.perf_counter() - begun)
                begun = time.perf_counter()
                workflow.kill(worker)
            other = workflow.worker()
            workflow.finished(run)
            taken["SIGKILL to SUCCESS"].append(time.perf_counter() - begun)
            workflow.kill(other)
    for name, seconds in taken.items():
        print(f"\n{name}: median {statistics.median(seconds):.3f} s, budget {BUDGETS_S[name]} s", end="")
    print(f"\na worker until it is ready: {statistics.median(cpu):.2f} s of CPU")
