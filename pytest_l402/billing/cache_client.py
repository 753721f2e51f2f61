"""Decides how the cache is asked: one connection, one answer a command, a failure when there is none."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = ["CacheClient", "CacheRefused", "CacheUnavailable"]

Reply: TypeAlias = Any
"""Text, a whole number, None, or a list of these."""

_MOST_BYTES: Final = 1 << 26


class CacheUnavailable(ConnectionError):  # noqa: N818 - the name of the condition
    """No answer came in time, or one that is none; whether the command was done is not known."""


class CacheRefused(RuntimeError):  # noqa: N818 - the name of the condition
    """The cache answered with an error, such as `LOADING` or `READONLY`."""


class CacheClient:
    """Speaks RESP to a server at a port of 127.0.0.1, or at a unix socket; for one thread at a time.

    Connects when first asked, and anew after a failure. Nothing is tried twice: a command may have been done.
    """

    def __init__(self, target: int | Path, timeout_s: float) -> None:
        self._target, self._timeout_s = target, timeout_s
        self._socket: socket.socket | None = None

    def __call__(self, *words: str | int) -> Reply:
        """Send one command and return its answer. Raises `CacheUnavailable` or `CacheRefused`."""
        return self.all([words])[0]

    def all(self, commands: list[tuple[str | int, ...]]) -> list[Reply]:
        """Send several commands at once and return their answers, in order; raises as one does."""
        try:
            connection = self._connected()
            connection.sendall(b"".join(map(_written, commands)))
            answers = [self._answer() for _ in commands]
        except (OSError, ValueError) as error:
            self.close()
            raise CacheUnavailable(
                f"cache: expected an answer within {self._timeout_s:g} s, saw {error!r}"
            ) from None
        for answer in answers:
            if isinstance(answer, CacheRefused):
                raise answer
        return answers

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._socket = self._socket, None
        if connection is not None:
            self._file.close()
            connection.close()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            is_port = isinstance(self._target, int)
            made = socket.socket(socket.AF_INET if is_port else socket.AF_UNIX)
            made.settimeout(self._timeout_s)
            with contextlib.ExitStack() as unless_connected:
                unless_connected.callback(made.close)
                made.connect(("127.0.0.1", self._target) if is_port else str(self._target))
                unless_connected.pop_all()
            self._socket, self._file = made, made.makefile("rb")
        return self._socket

    def _answer(self) -> Reply:
        line = self._file.readline(1 << 16)
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the end of the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return CacheRefused(f"cache: {rest.decode('utf-8', 'replace')}")
        size = int(rest)
        if kind == b":":
            return size
        if kind not in (b"$", b"*") or size > _MOST_BYTES:
            raise ValueError("no RESP")
        if size < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(size)]
        data = self._file.read(size + 2)
        if len(data) != size + 2:
            raise ConnectionError("the end of the connection")
        return data[:-2].decode()


def _written(words: tuple[str | int, ...]) -> bytes:
    encoded = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
