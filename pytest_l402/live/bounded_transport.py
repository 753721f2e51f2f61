"""Decides how much a deployed system may make us wait and read: every exchange ends where it began."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
TOTAL_TIMEOUT_S: Final = 30.0
MAX_REPLY_BYTES: Final = 1 << 20


class ReplyTooLarge(httpx.RequestError):
    """A reply went on beyond the limit in bytes."""


class ReplyTooSlow(httpx.TimeoutException):
    """A reply was still coming in when the exchange had to be over."""


class BoundedTransport(httpx.BaseTransport):
    """Passes requests on, and ends every reply at a size in bytes and a total time in seconds.

    A time-out between two bytes is not enough: a server that sends one byte every few seconds never trips it.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._max_reply_bytes = max_reply_bytes
        self._total_timeout_s = total_timeout_s
        self._monotonic_s = monotonic_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Exchange one request for a reply that is already read, within the bounds."""
        ends_at_s = self._monotonic_s() + self._total_timeout_s
        response = self._inner.handle_request(request)
        response.request = request
        try:
            body = b"".join(self._bounded(response, ends_at_s))
        finally:
            response.close()
        return httpx.Response(
            response.status_code, headers=_of_read_body(response), stream=httpx.ByteStream(body)
        )

    def close(self) -> None:
        """Close the transport underneath."""
        self._inner.close()

    def _bounded(self, response: httpx.Response, ends_at_s: float) -> Iterator[bytes]:
        size = 0
        # Decoded, so that a small reply cannot unpack into a large one.
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._max_reply_bytes:
                raise ReplyTooLarge(f"more than {self._max_reply_bytes} bytes", request=response.request)
            if self._monotonic_s() > ends_at_s:
                raise ReplyTooSlow(f"not over after {self._total_timeout_s:g} s", request=response.request)
            yield chunk


def bounded_client(
    *, base_url: str = "", transport: httpx.BaseTransport | None = None, verify: bool = True
) -> httpx.Client:
    """Return a client whose every exchange is bounded; it follows no redirect and knows no proxy."""
    inner = transport if transport is not None else httpx.HTTPTransport(verify=verify, trust_env=False)
    return httpx.Client(
        base_url=base_url,
        transport=BoundedTransport(inner),
        timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        follow_redirects=False,
        trust_env=False,
    )


_OF_THE_WIRE: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


def _of_read_body(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """The reply's headers without those that told how its body was sent."""
    return [(key, value) for key, value in response.headers.raw if key.lower() not in _OF_THE_WIRE]
