"""Decides how objects live in a process of their own, and are asked from here as if they were here."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, Final, Self

from pytest_l402.boundary.known_secrets import ISSUED
from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.harness.handles import Handle
from pytest_l402.harness.line import Line

__all__ = ["OwnProcess", "where_it_lives"]

_WAIT_S: Final = 60.0
# Behind Python's own modules: a folder of tests may have a file of such a name.
_PROGRAM: Final = (
    "import sys, json; sys.path += [path for path in json.loads(sys.argv[1]) if path not in sys.path]; "
    f"from {__name__} import main; main()"
)


class OwnProcess:
    """A process in which objects live; a context manager. With it, or with us, they are gone.

    What is made there is had by its handle. It answers on threads of its own whatever holds our interpreter.
    """

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            # Its name is known to the watcher before it is there: no moment at which a kill would leave it.
            folder = Path(tempfile.gettempdir()).resolve() / f"l402-objects-{secrets.token_hex(4)}"
            command = (sys.executable, "-I", "-c", _PROGRAM, json.dumps(sys.path))
            environment = {"PATH": os.defpath}
            self._process = ChildProcess(command, env=environment, name="stack", folder=folder)
            opened.enter_context(self._process)
            folder.mkdir(mode=0o700)
            key = secrets.token_bytes(32)
            address = str(folder / "line")
            self._process.write(json.dumps({"address": address, "key": key.hex()}) + "\n")
            self._process.ready(_WAIT_S)
            connection = opened.enter_context(Client(address, "AF_UNIX", authkey=key))
            self._line = Line(connection, self._told_lost, is_first=True)
            ISSUED.sources.append(self._line.hear_of_secrets)
            opened.callback(ISSUED.sources.remove, self._line.hear_of_secrets)
            # Once more, for what was issued last.
            opened.callback(self._line.hear_of_secrets)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def runs(self) -> bool:
        """Whether it is there and can be asked."""
        return self._line.is_open and self._process.ended is None

    def run(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function or class of this package there; returns its answer, or a handle of it.

        Raises:
            LineLost: the process is gone.
        """
        return self._line.ask("run", function, arguments, named)

    def forget(self) -> None:
        """Let go of all that was made there."""
        self.run(_forget)
        self._line.forget()

    def _told_lost(self) -> str:
        return (
            "expected the process that the stack lives in to answer, saw "
            f"{self._process.ended or 'nothing of it'}; whatever it had recorded is lost: run the test again"
        )


def where_it_lives(function: Callable[..., Any], given: object, *arguments: Any) -> Any:
    """Call a function of this package with an object, in the process in which that lives."""
    if type(given) is not Handle:
        return function(given, *arguments)
    return given._l402_line.ask("run", function, (given, *arguments), {})


_lines: Final[list[Line]] = []


def _forget() -> None:
    for line in _lines:
        line.forget()


def main() -> None:
    """Answer on the line until whoever started this process says no more."""
    told = json.loads(sys.stdin.readline())
    with Listener(told["address"], "AF_UNIX", authkey=bytes.fromhex(told["key"])) as listener:
        print(json.dumps({"ready": True}), flush=True)
        with listener.accept() as connection:
            line = Line(connection, lambda: "the test's process is gone", is_first=False)
            _lines.append(line)
            line.answer_all()
