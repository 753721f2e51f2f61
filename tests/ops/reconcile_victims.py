"""Runs reconciles that kill themselves: one process each, forked from one that has imported everything once.

Reads one JSON job a line: folder, requestId, faults (names), failpoint, deployed. Writes one line each: the
signal that ended it, 0 when it lived. What they leave is on the disk alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from reconcile_world import PROVOKED_BY, prepared, reconcile

from pytest_l402.ops.reconcile.steps import Failpoint


def die(job: dict[str, str]) -> None:
    def kill(point: Failpoint) -> None:
        if point.value == job["failpoint"]:
            os.kill(os.getpid(), signal.SIGKILL)

    with prepared(Path(job["folder"]), deployed=bool(job["deployed"])) as stack, stack.online():
        reconcile(stack, "cut", *PROVOKED_BY.get(job["code"], ()), failpoint=kill)


for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            die(json.loads(line))
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)
