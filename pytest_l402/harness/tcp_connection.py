"""Decides what becomes of the bytes and the ends of one connection that goes through the TCP proxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_l402.harness.deadline import now_s

__all__ = ["Connection", "Direction", "Mode", "Row", "Target"]

Row = dict[str, Any]
Direction = Literal["to_target", "to_client"]
Target = tuple[str, int] | str | Path

_CHUNK = 1 << 16
_MAX_HELD = 16
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Mode:
    """What a proxy does, after one of its methods, with what that needs."""

    name: str = "pass"
    latency_s: float = 0.0
    direction: Direction | None = None
    count: int = 0


@dataclass(eq=False)
class _Way:
    """One direction: what came and waits for its time, and how many bytes may still go, if not all."""

    source: socket.socket
    sink: socket.socket
    held: asyncio.Queue[tuple[float, bytes]] = field(default_factory=lambda: asyncio.Queue(_MAX_HELD))
    came: int = 0
    went: int = 0
    budget: int | None = None
    over: bool = False


class Connection:
    """A client that was accepted, a target, and what the modes do to the bytes between them.

    To be made and used inside a running loop. `end` is as in `TcpProxy.rows`; `task` is done when both sides
    are closed.
    """

    def __init__(self, number: int, client: socket.socket, target: Target, mode: Mode) -> None:
        self.end = "open"
        self._number = number
        self._faults: list[str] = []
        self._latency_s = 0.0
        self._hurry = asyncio.Event()
        self._address = target if isinstance(target, tuple) else os.fspath(target)
        family = socket.AF_UNIX
        if isinstance(target, tuple):
            family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM)
        for side in (client, server):
            side.setblocking(False)
        self._ways: dict[Direction, _Way] = {
            "to_target": _Way(client, server),
            "to_client": _Way(server, client),
        }
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._close)
        self.enter(mode)

    def row(self) -> Row:
        """Return what became of it; `TcpProxy.rows` says what is in it."""
        to_target, to_client = self._ways.values()
        lost = to_target.came + to_client.came - to_target.went - to_client.went
        return {
            "connection": self._number,
            "bytesToTarget": to_target.went,
            "bytesToClient": to_client.went,
            "bytesSwallowed": 0 if self.end == "open" else lost,
            "faults": list(self._faults),
            "end": self.end,
        }

    def enter(self, mode: Mode) -> None:
        """Put a mode in force; of no effect on a connection that has ended."""
        if self.end not in ("open", "swallowed"):
            return
        if mode.name == "refuse":
            self._finish("refused", mode.name)
        elif mode.name == "reset" or (self.end == "swallowed" and mode.name != "black_hole"):
            self._note("reset")
            self._abort("reset")
            self.task.cancel()
        elif self.end == "open":
            if mode.name == "black_hole":
                self._strike("swallowed", mode.name)
            self._latency_s = mode.latency_s
            if mode.name == "latency":
                self._hurry.clear()
            else:
                self._hurry.set()
            for direction, way in self._ways.items():
                way.budget = mode.count if direction == mode.direction else None

    async def _run(self) -> None:
        how = "no target"
        try:
            if self.end == "open":
                server = self._ways["to_target"].sink
                await asyncio.get_running_loop().sock_connect(server, self._address)
                if self.end == "refused":
                    return
            how = "aborted"
            async with asyncio.TaskGroup() as tasks:
                for way in self._ways.values():
                    tasks.create_task(self._read(way))
                    tasks.create_task(self._write(way))
        except* OSError:
            if self.end == "open":
                self._abort(how)

    async def _read(self, way: _Way) -> None:
        data = b"first"
        while data:
            try:
                data = await asyncio.get_running_loop().sock_recv(way.source, _CHUNK)
            except OSError:
                if self.end == "open":
                    raise
                # It is over, or the other side must not be told.
                data = b""
            way.came += len(data)
            if self._latency_s and self.end == "open":
                self._note("latency")
            await way.held.put((now_s() + self._latency_s, data))

    async def _write(self, way: _Way) -> None:
        while True:
            due_s, data = await way.held.get()
            if due_s > now_s():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), due_s - now_s())
            if not data:
                break
            if self.end == "open":
                await self._send(way, data[: way.budget])
        if self.end == "open":
            way.sink.shutdown(socket.SHUT_WR)
            way.over = True
            if all(way.over for way in self._ways.values()):
                self.end = "closed"

    async def _send(self, way: _Way, data: bytes) -> None:
        if way.budget is not None:
            way.budget -= len(data)
        is_last = way.budget == 0
        await asyncio.get_running_loop().sock_sendall(way.sink, data)
        way.went += len(data)
        if is_last and self.end == "open":
            self._finish("cut", "cut_after")

    def _finish(self, how: str, fault: str) -> None:
        """Tell both sides that it is over; what they still send is read, or the end would become a reset."""
        self._strike(how, fault)
        for way in self._ways.values():
            with contextlib.suppress(OSError):
                way.sink.shutdown(socket.SHUT_WR)

    def _strike(self, how: str, fault: str) -> None:
        """Let nothing more through, also not what is held back."""
        self._note(fault)
        self.end = how
        self._hurry.set()

    def _abort(self, how: str) -> None:
        """Let the closing of each socket send RST."""
        self.end = how
        for way in self._ways.values():
            if way.sink.family != socket.AF_UNIX:
                way.sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)

    def _note(self, fault: str) -> None:
        if self._faults[-1:] != [fault]:
            self._faults.append(fault)

    def _close(self, _: object) -> None:
        for way in self._ways.values():
            way.sink.close()
