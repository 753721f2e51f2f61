"""Decides what a link between two processes does: pass, refuse, reset, swallow, delay or cut what comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pytest_l402.harness.deadline import now_s

__all__ = ["Direction", "TcpProxy"]

Row = dict[str, Any]
Direction = Literal["to_target", "to_client"]
Target = tuple[str, int] | str | Path

_CALL_S = 10.0
_CHUNK = 1 << 16
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """A proxy on a free port of 127.0.0.1 in front of `target`, a host and port or the path of a unix socket.

    A context manager, to be entered once; it lets bytes through until told otherwise, and in the end closes
    all and joins its thread. A method that changes the mode returns when the new one is in force, for new
    connections and for open ones.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._mode = _Mode()
        self._connections: list[_Connection] = []
        self._listener: socket.socket | None = None
        self._running = False

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same in every mode, kept until the end of the block."""
        return self._port

    def pass_through(self) -> None:
        """Let bytes through again, and reset open connections out of a black hole: they have lost some."""
        self._switch(_Mode())

    def refuse(self) -> None:
        """Refuse new connections; open ones see their end, as when the server was killed."""
        self._switch(_Mode("refuse"))

    def reset(self) -> None:
        """Reset (RST) open connections and each new one, perhaps before its connect() has returned."""
        self._switch(_Mode("reset"))

    def black_hole(self) -> None:
        """Accept new connections and never answer; no byte and no end of any connection goes on.

        What went on before, and is counted so, may still lie in a buffer of the system and be read later.
        """
        self._switch(_Mode("black_hole"))

    def latency(self, seconds: float) -> None:
        """Let each piece that comes, and each end, wait `seconds`, one after the other in each direction.

        Raises:
            ValueError: `seconds` is not above 0.
        """
        if not 0 < seconds < float("inf"):
            raise ValueError(f"tcp proxy: expected a latency above 0 s, saw {seconds}; or pass_through()")
        self._switch(_Mode("latency", latency_s=seconds))

    def cut_after(self, count: int, direction: Direction) -> None:
        """Let `count` more bytes of each connection go in the direction, then let both sides see its end.

        With 0 it is cut when the first byte comes: a reply that is lost after all was done.

        Raises:
            ValueError: `count` is negative, or the direction is neither `to_target` nor `to_client`.
        """
        if count < 0 or direction not in ("to_target", "to_client"):
            raise ValueError(
                f"tcp proxy: expected 0 or more, to_target or to_client, saw {count} {direction!r}; mend it"
            )
        self._switch(_Mode("cut_after", direction=direction, count=count))

    def rows(self) -> tuple[Row, ...]:
        """Return one row a connection, in the order of their coming; a refused one never reaches the proxy.

        `bytesToTarget` and `bytesToClient` were passed on, `bytesSwallowed` were not. `faults` are the modes
        that did something to it, in order. `end` is `open`, `closed` by its sides, `aborted` by one of them,
        `refused`, `reset`, `cut`, `swallowed`, or `no target`.
        """
        if self._running:
            # Or what was sent a moment ago might not be counted yet.
            self._call(asyncio.sleep(0))
        return tuple({"connection": at} | each.row() for at, each in enumerate(self._connections, 1))

    def __enter__(self) -> Self:
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

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._reserve.close()

    def _switch(self, mode: _Mode) -> None:
        if not self._running:
            raise RuntimeError("tcp proxy: expected to run, saw it closed; use it in a with block")
        self._call(self._apply(mode))

    def _call(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(_CALL_S)

    async def _apply(self, mode: _Mode) -> None:
        self._mode = mode
        self._listen(mode.name != "refuse")
        for connection in self._connections:
            connection.enter(mode)
        if struck := [connection.task for connection in self._connections if connection.end == "reset"]:
            await asyncio.wait(struck)

    def _run(self) -> None:
        # At its end it cancels the connections, which closes them.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stopped.wait())
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
            self._connections.append(_Connection(client, self._target, self._mode))


@dataclass(frozen=True)
class _Mode:
    """What a proxy does, with what that needs."""

    name: str = "pass"
    latency_s: float = 0.0
    direction: Direction | None = None
    count: int = 0


@dataclass(eq=False)
class _Way:
    """One direction: how many bytes came and went, and how many may still go, if not all."""

    source: socket.socket
    sink: socket.socket
    came: int = 0
    went: int = 0
    budget: int | None = None
    over: bool = False
    room: asyncio.Event = field(default_factory=asyncio.Event)


class _Connection:
    """A client that was accepted, a target, and what the modes do to the bytes between them."""

    def __init__(self, client: socket.socket, target: Target, mode: _Mode) -> None:
        self.end = "open"
        self._faults: dict[str, None] = {}
        self._mode = mode
        self._hurry = asyncio.Event()
        self._address = target if isinstance(target, tuple) else os.fspath(target)
        server = socket.socket(socket.AF_INET if isinstance(target, tuple) else socket.AF_UNIX)
        client.setblocking(False)
        server.setblocking(False)
        self._to_target = _Way(client, server)
        self._to_client = _Way(server, client)
        self._ways = (self._to_target, self._to_client)
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._close)
        self.enter(mode)

    def row(self) -> Row:
        lost = sum(way.came - way.went for way in self._ways)
        return {
            "bytesToTarget": self._to_target.went,
            "bytesToClient": self._to_client.went,
            "bytesSwallowed": 0 if self.end == "open" else lost,
            "faults": list(self._faults),
            "end": self.end,
        }

    def enter(self, mode: _Mode) -> None:
        """Put a mode in force, unless the connection has ended."""
        if self.end not in ("open", "swallowed"):
            return
        self._mode = mode
        if mode.name == "refuse":
            self._finish("refused")
        elif mode.name == "reset" or (self.end == "swallowed" and mode.name != "black_hole"):
            self._faults.setdefault("reset")
            self._abort("reset")
            self.task.cancel()
        elif mode.name == "black_hole":
            self._strike("swallowed")
        else:
            self._hurry.clear() if mode.latency_s else self._hurry.set()
            self._to_target.budget = mode.count if mode.direction == "to_target" else None
            self._to_client.budget = mode.count if mode.direction == "to_client" else None
            self._look_again()

    async def _run(self) -> None:
        how = "no target"
        try:
            if self.end == "open":
                await asyncio.get_running_loop().sock_connect(self._to_target.sink, self._address)
            how = "aborted"
            async with asyncio.TaskGroup() as tasks:
                for way in self._ways:
                    tasks.create_task(self._carry(way))
        except* OSError:
            if self.end == "open":
                self._abort(how)

    async def _carry(self, way: _Way) -> None:
        data = b"first"
        while data:
            data = await self._read(way)
            if self._mode.latency_s and self.end == "open":
                self._faults.setdefault("latency")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), self._mode.latency_s)
            if self.end == "open":
                await self._send(way, data)

    async def _read(self, way: _Way) -> bytes:
        try:
            data = await asyncio.get_running_loop().sock_recv(way.source, _CHUNK)
        except OSError:
            if self.end == "open":
                raise
            # It is over, or the other side must not be told.
            return b""
        way.came += len(data)
        return data

    async def _send(self, way: _Way, data: bytes) -> None:
        if not data:
            way.sink.shutdown(socket.SHUT_WR)
            way.over = True
            self.end = "closed" if all(way.over for way in self._ways) else "open"
            return
        # Not by sock_sendall, which goes on in whatever mode, and tells only in the end what it has sent.
        while data and self.end == "open":
            if way.budget != 0:
                try:
                    sent = way.sink.send(data[: way.budget])
                except BlockingIOError:
                    await self._room(way)
                    continue
                way.went += sent
                data = data[sent:]
                way.budget = None if way.budget is None else way.budget - sent
            if way.budget == 0:
                self._finish("cut")

    async def _room(self, way: _Way) -> None:
        """Wait until the sink takes more, or another mode is in force."""
        loop = asyncio.get_running_loop()
        way.room.clear()
        loop.add_writer(way.sink, way.room.set)
        try:
            await way.room.wait()
        finally:
            loop.remove_writer(way.sink)

    def _finish(self, how: str) -> None:
        """Tell both sides that it is over; what they still send is read, or the end would become a reset."""
        self._strike(how)
        for way in self._ways:
            with contextlib.suppress(OSError):
                way.sink.shutdown(socket.SHUT_WR)

    def _strike(self, how: str) -> None:
        """Let nothing more through, also not what is held back."""
        self._faults.setdefault(self._mode.name)
        self.end = how
        self._hurry.set()
        self._look_again()

    def _look_again(self) -> None:
        for way in self._ways:
            way.room.set()

    def _abort(self, how: str) -> None:
        """Let the closing of each socket send RST."""
        self.end = how
        for way in self._ways:
            # One that was closed meanwhile takes no option, and needs none.
            if way.sink.fileno() >= 0 and way.sink.family != socket.AF_UNIX:
                way.sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)

    def _close(self, _: object) -> None:
        for way in self._ways:
            way.sink.close()


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose delays pass also when the clock of a test is frozen."""

    def time(self) -> float:
        return now_s()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
