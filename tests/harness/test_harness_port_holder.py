"""Who listens at a port is told by the process that does, not by an answer."""

from __future__ import annotations

import os
import socket
import sys

from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.harness.port_holder import holds_port

LISTENS = (
    "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
    "print(s.getsockname()[1], flush=True); sys.stdin.read()"
)


def test_a_port_is_held_by_the_session_that_listens_and_by_no_other() -> None:
    with ChildProcess([sys.executable, "-c", LISTENS], env={}) as child:
        port = int(child.line())
        assert holds_port(child.pid, port)
        assert not holds_port(os.getsid(0), port)
    assert not holds_port(child.pid, port)


def test_over_ipv6_too_and_not_by_who_is_only_connected() -> None:
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as server,
        socket.create_connection(("::1", server.getsockname()[1])) as client,
    ):
        assert holds_port(os.getsid(0), server.getsockname()[1])
        assert not holds_port(os.getsid(0), client.getsockname()[1])
