"""How an httpx client of the stack's own reaches its hosts: straight, without a socket or a patch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pytest_l402.harness.network import ConnectionLost, Network, NetworkUnreachable, Request, Response


class NetworkTransport(httpx.BaseTransport):
    """The transport of a client that reaches the hosts of one network alone, while it is plugged in."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._is_plugged_in = False

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        """Let the client reach the network inside the block."""
        before, self._is_plugged_in = self._is_plugged_in, True
        try:
            yield
        finally:
            self._is_plugged_in = before

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer from the network; `httpx.ConnectError` when unplugged, or for a host that is not there."""
        if not self._is_plugged_in:
            message = "the stack is offline: use it inside online() or connected()"
            raise httpx.ConnectError(message, request=request)
        return answer(self._network, request)


def answer(network: Network, request: httpx.Request) -> httpx.Response:
    """Return the network's answer to a request of httpx; header lines that come twice stay two.

    Raises:
        httpx.ConnectError: the host is unknown or down.
        httpx.RemoteProtocolError: the connection broke before an answer came.
    """
    try:
        response = network.dispatch(_request_of(request))
    except ConnectionLost as error:
        # As httpx itself says it of a socket.
        told = "Server disconnected without sending a response."
        raise httpx.RemoteProtocolError(told, request=request) from error
    except NetworkUnreachable as error:
        raise httpx.ConnectError(str(error), request=request) from error
    return _httpx_response(response, request)


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
        body=request.read(),
    )


def _httpx_response(response: Response, request: httpx.Request) -> httpx.Response:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    body = b"" if request.method == "HEAD" else response.body
    return httpx.Response(response.status, headers=headers, content=body, request=request)
