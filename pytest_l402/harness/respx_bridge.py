"""Decides how httpx clients of this process, sync and async, reach the stack's hosts without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import respx
from respx.models import AllMockedAssertionError, PassThrough

from pytest_l402.harness.network import Network
from pytest_l402.harness.network_transport import answer

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class StackRouter(respx.MockRouter):
    """A respx router whose one route is the network.

    It keeps no calls: they would hold credentials, and grow while the stack is online; the journal's
    `exchanges` tell what was asked and answered. Other respx routers may be active besides: they get every
    host that the network does not know.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(assert_all_called=False, assert_all_mocked=True)
        self._network = network

    def handler(self, request: httpx.Request) -> httpx.Response:
        """Answer from the network; `httpx.ConnectError` for a host that is unknown or down."""
        host = request.url.host
        if host not in self._network.hosts:
            if host in _LOOPBACK_HOSTS:
                raise PassThrough("a socket on loopback", request=request, origin=respx.Route())
            if self.Mocker is not None and len(self.Mocker.routers) > 1:
                raise AllMockedAssertionError(f"{host} is no host of the stack, nor mocked elsewhere")
        return answer(self._network, request)

    async def async_handler(self, request: httpx.Request) -> httpx.Response:
        """Answer an async client; the stand-ins compute and never wait, so the loop is held only briefly."""
        return self.handler(request)


@contextmanager
def respx_router(network: Network) -> Iterator[StackRouter]:
    """Answer every httpx request of this process from `network` inside the block.

    A host that is unknown or down gives `httpx.ConnectError`, so nothing leaves the machine; sockets on
    loopback stay reachable unless the network has mounted that name. Header lines that come twice stay two.
    """
    router = StackRouter(network)
    with router:
        yield router
