"""Decides how much a deployed system may make us wait and read: every exchange ends where it began."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias, cast

import httpcore
import httpx

from pytest_l402.harness.deadline import Deadline
from pytest_l402.live.environment import EnvironmentVariableError

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
TOTAL_TIMEOUT_S: Final = 30.0
MAX_REPLY_BYTES: Final = 1 << 20

Permit: TypeAlias = Callable[[httpx.Request], None]
"""Raises for a request that must not be sent."""

_Left: TypeAlias = Callable[[float | None], float]
_WRITTEN_AT_ONCE: Final = 1 << 16
_OF_THE_WIRE: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class ReplyTooLarge(httpx.RequestError):
    """A reply went on beyond the limit in bytes."""


class ReplyTooSlow(httpx.TimeoutException):
    """A reply was still coming in when the exchange had to be over."""


class Bounds(NamedTuple):
    """How long a connect, a silence and an exchange may last, in seconds, and how large a reply may be.

    `pauses_s` come before the second and each further attempt at a read, so there is one attempt more. With
    `cut_excess` what goes beyond is left unread instead of refused: for who needs status and headers.
    """

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S
    total_s: float = TOTAL_TIMEOUT_S
    reply_bytes: int = MAX_REPLY_BYTES
    cut_excess: bool = False
    pauses_s: tuple[float, ...] = (0.2, 0.8)


class BoundedTransport(httpx.BaseTransport):
    """Sends what `permit` lets pass, and ends every exchange at a size in bytes and a total time.

    A time-out between two bytes is not enough: a server that sends one byte every few seconds never trips
    it, in its headers, its body or its handshake. Replies are never unpacked, so a small one stays small.
    """

    def __init__(self, permit: Permit, bounds: Bounds) -> None:
        self._permit = permit
        self._bounds = bounds
        self._deadline = Deadline(bounds.total_s)
        # Two of them: reading the certificates takes longer than many a run, and plain HTTP needs none.
        self._pools: dict[bool, httpcore.ConnectionPool] = {}
        # One exchange at a time: the deadline is that of the one under way.
        self._serial = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Exchange one request for a reply that is already read, within the bounds.

        Raises:
            httpx.RequestError: the system did not answer, or not within the bounds.
            EnvironmentVariableError: the certificates that `SSL_CERT_FILE` names cannot be used.
            Exception: whatever `permit` raises; nothing was sent then.
        """
        self._permit(request)
        with self._serial:
            self._deadline = Deadline(self._bounds.total_s)
            try:
                return self._exchange(request)
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
                kind = getattr(httpx, type(error).__name__, httpx.TransportError)
                raise kind(type(error).__name__, request=request) from error
            except httpcore.TimeoutException as error:
                if self._deadline.over:
                    raise ReplyTooSlow(
                        f"not over after {self._bounds.total_s:g} s", request=request
                    ) from error
                kind = getattr(httpx, type(error).__name__, httpx.TimeoutException)
                raise kind(type(error).__name__, request=request) from error
            except UnicodeError as error:
                raise httpx.ConnectError("a host name that cannot be", request=request) from error

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = self._connections(url.scheme == "https").handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=cast("Iterable[bytes]", request.stream),
                extensions=request.extensions,
            )
        )
        try:
            body = self._read(cast("Iterable[bytes]", response.stream), request)
        finally:
            response.close()
        return httpx.Response(
            response.status, headers=_of_read_body(response.headers), stream=httpx.ByteStream(body)
        )

    def _read(self, chunks: Iterable[bytes], request: httpx.Request) -> bytes:
        body, limit = bytearray(), self._bounds.reply_bytes
        for chunk in chunks:
            body += chunk
            if len(body) > limit:
                if not self._bounds.cut_excess:
                    raise ReplyTooLarge(f"more than {limit} bytes", request=request)
                break
            self._left(None)
        return bytes(body[:limit])

    def _left(self, timeout: float | None) -> float:
        """Return how long the next step may take; raises `httpcore.ReadTimeout` when no time is left."""
        left = self._deadline.remaining_s
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if timeout is None else min(left, timeout)

    def _connections(self, is_tls: bool) -> httpcore.ConnectionPool:
        if is_tls not in self._pools:
            self._pools[is_tls] = httpcore.ConnectionPool(
                ssl_context=_trusting_the_usual() if is_tls else _trusting_nobody(),
                network_backend=_Backend(self._left),
                max_connections=1,
            )
        return self._pools[is_tls]


def bounded_client(permit: Permit, *, bounds: Bounds | None = None) -> httpx.Client:
    """Return a client whose every exchange is permitted and bounded.

    It follows no redirect, knows no proxy and takes no password from a file.
    """
    bounds = bounds if bounds is not None else Bounds()
    return httpx.Client(
        transport=BoundedTransport(permit, bounds),
        timeout=httpx.Timeout(bounds.read_s, connect=bounds.connect_s),
        # Nothing is unpacked; a server that packs all the same gives bytes that are no JSON.
        headers={"Accept-Encoding": "identity", "User-Agent": "pytest-l402"},
        follow_redirects=False,
        trust_env=False,
    )


class _Backend(httpcore.NetworkBackend):
    """Opens connections of which no step outlasts what is `left` of its exchange."""

    def __init__(self, left: _Left) -> None:
        self._inner = httpcore.SyncBackend()
        self._left = left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(host, port, self._left(timeout), local_address, socket_options)
        return _Stream(stream, self._left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, left: _Left) -> None:
        self._inner = inner
        self._left = left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            self._inner.write(buffer[start : start + _WRITTEN_AT_ONCE], self._left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._inner.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Stream(stream, self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _trusting_the_usual() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        seen = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise EnvironmentVariableError(
            f"SSL_CERT_FILE: expected certificates in PEM in that file, saw {seen or 'none'}; correct it, or "
            "unset it"
        ) from None


def _trusting_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _of_read_body(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The reply's headers without those that told how its body was sent."""
    return [(key, value) for key, value in headers if key.lower() not in _OF_THE_WIRE]
