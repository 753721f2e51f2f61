"""Decides which stand-in answers a request, and that a host which is down answers nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard

from pytest_l402.harness.faults import Fault, Faults

REQUEST_ID_HEADER = "x-oa-request-id"
TASK_ID_HEADER = "x-oa-task-id"

Header = tuple[str, str]


class NetworkUnreachable(ConnectionError):  # noqa: N818 - the name of the condition, as in ENETUNREACH
    """No answer came from the host: it is unknown or down."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host}: {reason}")
        self.host = host
        self.reason = reason


class ConnectionLost(NetworkUnreachable):
    """The connection broke before an answer came: what was asked for may have been done, or not."""


class _Message:
    headers: tuple[Header, ...]

    def header(self, name: str) -> str | None:
        """Return the first value of the header, whatever its case, or None."""
        return next(iter(self.headers_of(name)), None)

    def headers_of(self, name: str) -> tuple[str, ...]:
        """Return the values of all lines of the header, in order."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)


@dataclass(frozen=True)
class Request(_Message):
    """One HTTP request; `path` is percent-encoded as sent, `query` is without the question mark.

    `bare_question` says that a question mark stood there with nothing behind it.

    `headers` keeps every line in order; the repr shows neither headers nor body, as both may carry secrets.
    """

    method: str
    host: str
    path: str = "/"
    query: str = ""
    scheme: str = "https"
    headers: tuple[Header, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    client_address: str = "127.0.0.1"
    bare_question: bool = False


@dataclass(frozen=True)
class Response(_Message):
    """One HTTP response; `headers` keeps every line in order, so a header may come twice.

    `told` is what a stand-in says beside it of how it came to this answer; it does not cross the wire.
    Whoever carries it to the client lets `delay_ms` real milliseconds pass first; one that `is_lost` never
    arrives: the connection breaks instead.
    """

    status: int
    headers: tuple[Header, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    told: object = field(default=None, repr=False, compare=False)
    delay_ms: int = 0
    is_lost: bool = False


class App(Protocol):
    """A stand-in that speaks HTTP."""

    def handle(self, request: Request) -> Response:
        """Answer the request; errors of the protocol are answers, not exceptions."""


@dataclass(frozen=True)
class _Mounted:
    app: App
    down_when: type[Fault] | None


class Network:
    """The hosts of the stack. In process and on loopback, every request passes through `dispatch`."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._faults = faults if faults is not None else Faults()
        self._mounted: dict[str, _Mounted] = {}
        self._down: set[str] = set()
        self._watchers: list[Callable[[], None]] = []
        # Re-entrant: a stand-in may call another host while it answers.
        self._serial = threading.RLock()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The mounted host names, in the order of mounting, down or not."""
        return tuple(self._mounted)

    def mount(self, host: str, app: App, *, down_when: type[Fault] | None = None) -> None:
        """Let `app` answer for `host`, which is unreachable while a fault of the kind `down_when` is active.

        Raises:
            ValueError: the host is already mounted.
        """
        name = host.lower()
        if name in self._mounted:
            raise ValueError(f"host {name} is already mounted; take another name or another network")
        self._mounted[name] = _Mounted(app, down_when)

    def app_of(self, host: str) -> App:
        """Return what answers for a mounted host; `ValueError` for another one."""
        return self._mounted[self._known(host)].app

    def dispatch(self, request: Request) -> Response:
        """Hand the request to the app of its host and return the answer; one request at a time.

        Raises:
            NetworkUnreachable: the host is not mounted, was taken down, or a fault keeps it down.
            ConnectionLost: no answer came, or it was lost.
        """
        host = request.host.lower()
        mounted = self._mounted.get(host)
        if mounted is None:
            raise NetworkUnreachable(host, f"no such host; mounted are {', '.join(self._mounted) or 'none'}")
        if host in self._down:
            raise NetworkUnreachable(host, "connection refused")
        down_when = mounted.down_when
        if down_when is not None and self._faults.active(down_when, request.header(REQUEST_ID_HEADER)):
            raise NetworkUnreachable(host, f"connection refused ({down_when.__name__})")
        with self._serial:
            response = mounted.app.handle(request)
        if response.is_lost:
            raise ConnectionLost(host, "the connection broke before an answer came")
        return response

    def refuses(self, host: str) -> bool:
        """Return whether the host refuses every connection now; a fault that does it has fired by that."""
        mounted = self._mounted.get(host.lower())
        if mounted is None or host.lower() in self._down:
            return mounted is not None
        return mounted.down_when is not None and self._faults.in_force(mounted.down_when)

    @contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        """Call `watcher` inside the block whenever a host may have begun or ceased to refuse connections."""
        self._watchers.append(watcher)
        try:
            with self._faults.watched(watcher):
                yield
        finally:
            self._watchers.remove(watcher)

    def take_down(self, host: str) -> None:
        """Make a mounted host unreachable until `bring_up`.

        Raises:
            ValueError: the host is not mounted.
        """
        self._down.add(self._known(host))
        self._tell_watchers()

    def bring_up(self, host: str) -> None:
        """Make a host reachable again; of no effect on one that is up.

        Raises:
            ValueError: the host is not mounted.
        """
        self._down.discard(self._known(host))
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    def hosts_down(self) -> tuple[str, ...]:
        """Return the hosts that were taken down, sorted; empty in the steady state."""
        return tuple(sorted(self._down))

    def _known(self, host: str) -> str:
        name = host.lower()
        if name not in self._mounted:
            raise ValueError(f"host {name} is not mounted; mounted are {', '.join(self._mounted) or 'none'}")
        return name


# No blanks: an id must end where a reader of `oa_req=<id>` expects it to end.
_USABLE_ID = re.compile(r"[!-~]{1,128}")


def is_usable_id(value: str | None) -> TypeGuard[str]:
    """Whether a client's id can stand in headers, logs and records: 1 to 128 printable ASCII characters."""
    return value is not None and _USABLE_ID.fullmatch(value) is not None
