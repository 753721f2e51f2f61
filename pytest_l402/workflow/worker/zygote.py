"""Decides how a worker comes to be at once: forked from a process that has imported the engine.

A program: `python -m pytest_l402.workflow.worker.zygote NAME` listens on the abstract unix socket NAME,
prints a ready line, and ends with its stdin. Each connection becomes one process: a line of JSON in says as
what (`worker`, `control`, `template`), a ready line comes out, and the end of the connection ends it. What
becomes of the process is told on the same connection: `stopped`, `running`, `ended` with its exit code or
signal.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite  # noqa: F401 - what a worker needs is imported before the fork

from pytest_l402.workflow.worker import roles

_PR_SET_PDEATHSIG = 1


def main(name: str) -> None:
    """Fork a process for each connection until stdin ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen(64)
    wake, changes = _child_changes()
    selector = selectors.DefaultSelector()
    for source in (listener, sys.stdin, changes):
        selector.register(source, selectors.EVENT_READ)
    gc.collect()
    # What was imported is never collected, so that no page of it is copied in a child.
    gc.freeze()
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    children: dict[int, socket.socket] = {}
    ended: set[int] = set()
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if sys.stdin in ready:
            return
        if changes in ready:
            changes.recv(4096)
            for pid in children.keys() - ended:
                if _tell(pid, children[pid]):
                    ended.add(pid)
                    # Not reaped before the drill hangs up, so that nobody else can have its pid meanwhile.
                    selector.register(children[pid], selectors.EVENT_READ, pid)
        for key in [key for key in selector.get_map().values() if key.fileobj in ready and key.data]:
            selector.unregister(key.fileobj)
            os.waitpid(key.data, 0)
            ended.remove(key.data)
            children.pop(key.data).close()
        if listener in ready:
            connection, _ = listener.accept()
            if not _is_ours(connection):
                connection.close()
                continue
            if (pid := os.fork()) == 0:
                selector.close()
                for source in (listener, changes, wake, *children.values()):
                    source.close()
                _become(connection)
            children[pid] = connection


def _become(connection: socket.socket) -> NoReturn:
    """Play the role that the first line asks for; the process ends with its connection."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        with connection.makefile("r") as lines:
            request: dict[str, Any] = json.loads(lines.readline())
            try:
                told = roles.play(request.pop("role"), request)
            except Exception as error:  # told to the drill in one line, whatever it is
                told = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())}"}
            connection.sendall(json.dumps({"pid": os.getpid(), **told}).encode() + b"\n")
            if "failed" not in told:
                lines.read()
                status = 0
    except OSError:
        pass
    finally:
        os._exit(status)


def _tell(pid: int, connection: socket.socket) -> bool:
    """Say on its connection what has become of a child; return whether it has ended."""
    how = os.WEXITED | os.WSTOPPED | os.WCONTINUED | os.WNOHANG
    seen = os.waitid(os.P_PID, pid, how | os.WNOWAIT)
    if seen is None:
        return False
    row: dict[str, Any]
    if seen.si_code == os.CLD_STOPPED:
        row = {"state": "stopped"}
    elif seen.si_code == os.CLD_CONTINUED:
        row = {"state": "running"}
    elif seen.si_code == os.CLD_EXITED:
        row = {"state": "ended", "exitCode": seen.si_status, "exitSignal": None}
    else:
        row = {"state": "ended", "exitCode": None, "exitSignal": signal.Signals(seen.si_status).name}
    if row["state"] != "ended":
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
    try:  # noqa: SIM105
        connection.sendall(json.dumps({"pid": pid, **row}).encode() + b"\n")
    except OSError:
        pass
    return bool(row["state"] == "ended")


def _child_changes() -> tuple[socket.socket, socket.socket]:
    wake, changes = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake, changes


def _is_ours(connection: socket.socket) -> bool:
    """Whether the same user asks: an abstract socket has no permissions of its own."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(uid == os.getuid())


if __name__ == "__main__":
    main(sys.argv[1])
