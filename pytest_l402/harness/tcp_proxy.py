"""Decides what a link between two processes does: pass, refuse, reset, swallow, delay or cut what comes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Self

from pytest_l402.harness.deadline import now_s
from pytest_l402.harness.tcp_connection import Connection, Direction, Mode, Row, Target

__all__ = ["Direction", "TcpProxy"]

_CALL_S = 10.0


class TcpProxy:
    """A proxy on a free port of 127.0.0.1 in front of `target`, a host and port or the path of a unix socket.

    A context manager that starts in the mode `pass`. A method that changes the mode returns when the new one
    is in force. What each mode does:

    - `pass`: bytes go through. Open connections out of a black hole are reset: a stream with a hole is none.
    - `refuse`: new connections are refused; open ones see their end, as when the server was killed.
    - `reset`: new connections are accepted and reset (RST), perhaps before their connect() has returned; open
      ones are reset at once.
    - `black_hole`: new connections are accepted, never answered; of open ones no byte and no end arrives.
    - `latency`: each byte and each end arrives so many seconds later, in order, also on open connections.
    - `cut_after`: of each connection, new or open, n more bytes go through in one direction, then both sides
      see its end. With n = 0 it is cut when the first byte comes: a reply that is lost after all was done.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._mode = Mode()
        self._connections: list[Connection] = []
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._running = False

    @property
    def mode(self) -> str:
        """The mode in force: `pass`, `refuse`, `reset`, `black_hole`, `latency` or `cut_after`."""
        return self._mode.name

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same in every mode.

        Raises:
            RuntimeError: the proxy is not running.
        """
        self._must_run()
        return self._port

    def start(self) -> Self:
        """Open the port and move bytes until `close`.

        Raises:
            RuntimeError: it was started before.
        """
        if self._thread is not None:
            raise RuntimeError("tcp proxy: expected to be started once, saw a second start; make a new one")
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._reserve = _bound(0)
        self._port = int(self._reserve.getsockname()[1])
        self._loop = _Loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="l402-tcp-proxy")
        self._thread.start()
        self._running = True
        self.pass_through()
        return self

    def close(self) -> None:
        """Close the port and every connection and wait for the thread; may be called twice."""
        if self._thread is None or not self._running:
            return
        self._running = False
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._reserve.close()

    def pass_through(self) -> None:
        """Let bytes through again."""
        self._switch(Mode())

    def refuse(self) -> None:
        """Refuse new connections and end the open ones."""
        self._switch(Mode("refuse"))

    def reset(self) -> None:
        """Reset new and open connections."""
        self._switch(Mode("reset"))

    def black_hole(self) -> None:
        """Swallow all bytes of new and open connections."""
        self._switch(Mode("black_hole"))

    def latency(self, seconds: float) -> None:
        """Delay all bytes by `seconds` in each direction.

        Raises:
            ValueError: `seconds` is not above 0.
        """
        if not 0 < seconds < float("inf"):
            raise ValueError(
                f"tcp proxy: expected a latency above 0 s, saw {seconds}; for none pass_through()"
            )
        self._switch(Mode("latency", latency_s=seconds))

    def cut_after(self, count: int, direction: Direction) -> None:
        """End each connection after `count` more bytes in the direction.

        Raises:
            ValueError: `count` is negative, or the direction is neither `to_target` nor `to_client`.
        """
        if count < 0 or direction not in ("to_target", "to_client"):
            raise ValueError(
                f"tcp proxy: expected a count from 0 and the direction to_target or to_client, saw {count!r} "
                f"and {direction!r}; correct them"
            )
        self._switch(Mode("cut_after", direction=direction, count=count))

    def rows(self) -> tuple[Row, ...]:
        """Return one row a connection, in the order of their coming; a refused one never reaches the proxy.

        `bytesToTarget` and `bytesToClient` were passed on, `bytesSwallowed` were not. `faults` are the modes
        that did something to it, in order. `end` is `open`, `closed` by its sides, `aborted` by one of them,
        `refused`, `reset`, `cut`, `swallowed`, or `no target`.
        """
        if self._running:
            # Or what was sent a moment ago might not be counted yet.
            self._call(asyncio.sleep(0))
        return tuple(connection.row() for connection in self._connections)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _must_run(self) -> None:
        if not self._running:
            raise RuntimeError("tcp proxy: expected to run, saw it closed; use it in a with block")

    def _switch(self, mode: Mode) -> None:
        self._must_run()
        self._call(self._apply(mode))

    def _call(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(_CALL_S)

    async def _apply(self, mode: Mode) -> None:
        self._mode = mode
        self._listen(mode.name != "refuse")
        for connection in self._connections:
            connection.enter(mode)
        if struck := [connection.task for connection in self._connections if connection.end == "reset"]:
            await asyncio.wait(struck)

    def _run(self) -> None:
        # At its end it cancels the connections, which closes them.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stopped.wait()
        self._listen(False)

    def _listen(self, wanted: bool) -> None:
        if wanted and self._listener is None:
            self._listener = _bound(self._port)
            self._listener.listen(128)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)
        elif not wanted and self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client, _ = listener.accept()
            number = len(self._connections) + 1
            self._connections.append(Connection(number, client, self._target, self._mode))


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose delays pass also when the clock of a test is frozen."""

    def time(self) -> float:
        return now_s()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
