"""A live run in a process of its own, which sends itself a signal at a named place.

Usage: live_client.py STATE reconcile REQUEST_ID [FAILPOINT SIGNAL] | STATE drill
"""

import json
import os
import signal
import sys
from pathlib import Path

from pytest_l402.live import Bounds, Interrupted, LiveSystem, control_plane_access, gateway_access
from pytest_l402.ops.reconcile.steps import Failpoint


def main(state: str, action: str, *arguments: str) -> int:
    def failpoint(reached: Failpoint) -> None:
        if arguments[1:] and reached == arguments[1]:
            os.kill(os.getpid(), signal.Signals[arguments[2]])

    system = LiveSystem(
        control_plane_access(os.environ),
        gateway_access(os.environ),
        folder=Path(state),
        allow_changes=True,
        bounds=Bounds(pauses_s=()),
        failpoint=failpoint,
    )
    try:
        with system:
            if action == "drill":
                print(json.dumps(system.run_security_drill().to_row()))
            else:
                print(json.dumps(system.reconcile(arguments[0]).to_json()))
    except Interrupted as interrupted:
        return interrupted.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
