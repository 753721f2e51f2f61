"""Which processes hold a port of this machine: that somebody answers there does not say who."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"
_SESSION: Final = 3
"""The place of the session in /proc/PID/stat, from behind the name, which may hold anything."""


def holds_port(session: int, port: int) -> bool:
    """Return whether a process of this session listens at this port, over IPv4 or IPv6.

    Needs /proc. A process of another user is not looked into.
    """
    sockets = set(_listening_at(port))
    return bool(sockets) and any(sockets & set(_sockets_of(each)) for each in _processes_of(session))


def _listening_at(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{fields[9]}]"


def _processes_of(session: int) -> Iterator[Path]:
    # Its leader first: mostly it is that, and to look at all takes a while.
    yield _PROC / str(session)
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[_SESSION]) == session:
                yield process


def _sockets_of(process: Path) -> Iterator[str]:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                yield str(descriptor.readlink())
