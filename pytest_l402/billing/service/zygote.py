"""Starts processes for a drill, each a fork of this one, which has imported the service once for all of them.

Run as `python -m pytest_l402.billing.service.zygote`. Each line of its input is a JSON object: `settings` and
`environment` of an instance of the service, or `command`, `environment` and `cwd` of a program. For each it
prints `{"started": PID}`; an instance prints a line after that when it answers, or why it does not.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

__all__: list[str] = []

_PR_SET_PDEATHSIG: Final = 1


def _forked(act: Callable[[], None]) -> None:
    """Do something in a process of its own, which ends with this one; its id is told first."""
    server = os.getpid()
    wait, go = os.pipe()
    # This process has one thread, so that a fork of it has all that it needs.
    pid = os.fork()
    if pid:
        os.close(wait)
        os.write(1, json.dumps({"started": pid}).encode() + b"\n")
        os.close(go)
        return
    status = 1
    try:
        # So that its id is told before it tells anything.
        os.close(go)
        os.read(wait, 1)
        os.close(wait)
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, *map(ctypes.c_ulong, (signal.SIGKILL, 0, 0, 0)))
        if os.getppid() == server:
            act()
            status = 0
    except BaseException as error:
        # As a line that is waited for; what it was about may be a secret.
        os.write(1, json.dumps({"failed": type(error).__name__}).encode() + b"\n")
    finally:
        os._exit(status)


def _act_of(asked: dict[str, Any]) -> Callable[[], None]:
    environment = asked["environment"]
    if "command" in asked:

        def run() -> None:
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
            os.chdir(asked["cwd"])
            os.execve(asked["command"][0], asked["command"], environment)  # noqa: S606

        return run
    from pytest_l402.billing.service.main import serve
    from pytest_l402.billing.settings import ServiceSettings

    gc.freeze()
    return lambda: serve(ServiceSettings.read(asked["settings"]), environment)


def main() -> None:
    """Start what each line of the input asks for, until it ends."""
    print(json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        # Only now: whoever asks again has taken hold of all that was started before by a pidfd.
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        _forked(_act_of(json.loads(line)))


if __name__ == "__main__":
    main()
