"""Decides how httpx clients of this process, sync and async, reach the stack's hosts without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import respx

from .network import Network, NetworkUnreachable, Request, Response

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class _ForgetfulRouter(respx.MockRouter):
    """A router that keeps no calls: they would hold credentials, and grow while the stack is online."""

    def record(self, request: httpx.Request, **_: Any) -> None:
        """Keep nothing; the journal's `exchanges` tell what was asked and answered."""


@contextmanager
def respx_router(network: Network) -> Iterator[respx.MockRouter]:
    """Answer every httpx request of this process from `network` inside the block.

    A host that is unknown or down gives `httpx.ConnectError`, so nothing leaves the machine; sockets on
    loopback stay reachable unless the network has mounted that name. Header lines that come twice stay two.
    """
    router = _ForgetfulRouter(assert_all_called=False, assert_all_mocked=True)

    def answer(httpx_request: httpx.Request) -> httpx.Response | httpx.Request:
        host = httpx_request.url.host
        if host in _LOOPBACK_HOSTS and host not in network.hosts:
            return httpx_request
        try:
            response = network.dispatch(_request_of(httpx_request))
        except NetworkUnreachable as error:
            raise httpx.ConnectError(str(error), request=httpx_request) from error
        return _httpx_response(response, httpx_request)

    router.route().mock(side_effect=answer)
    with router:
        yield router


def _request_of(request: httpx.Request) -> Request:
    raw_path, _, raw_query = request.url.raw_path.partition(b"?")
    return Request(
        method=request.method,
        scheme=request.url.scheme,
        host=request.url.host,
        path=raw_path.decode("ascii"),
        query=raw_query.decode("ascii"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
        ),
        body=request.content,
    )


def _httpx_response(response: Response, request: httpx.Request) -> httpx.Response:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    # A request is given so that respx hands this very response on instead of a copy of it.
    return httpx.Response(response.status, headers=headers, content=response.body, request=request)
