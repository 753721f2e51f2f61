"""A process whose interpreter is held is ended, and somebody reads why; any other is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from pytest_l402.harness.stuck import ended_when_stuck

HELD = """
import ctypes
from pytest_l402.stack import Stack

with Stack() as stack, stack.serve(stuck_after_s=0.5) as served:
    print(served.gateway_url, flush=True)
    ctypes.PyDLL(None).sleep(60)
"""


def test_a_client_that_holds_the_interpreter_ends_with_a_message() -> None:
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGABRT
    assert "saw the interpreter held" in ended.stderr
    assert "put the client into a process of its own" in ended.stderr
    assert time.monotonic() - began < 50


def test_a_process_that_waits_is_not_stuck() -> None:
    with ended_when_stuck("stuck", after_s=0.1):
        time.sleep(0.5)
