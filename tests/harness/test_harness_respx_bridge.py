"""httpx clients of the process reach the network, and nothing else."""

import asyncio

import httpx
import pytest
import respx

from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import Network, Response
from pytest_l402.harness.respx_bridge import respx_router


class Echo:
    def __init__(self):
        self.seen = []

    def handle(self, request):
        self.seen.append(request)
        return Response(207, (("Set-Thing", "a"), ("Set-Thing", "b"), ("Content-Length", "4")), b"body")


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def network(echo):
    network = Network()
    network.mount("api.test", echo)
    return network


def ask_sync(method, url, **arguments):
    with httpx.Client() as client:
        return client.request(method, url, **arguments)


def ask_async(method, url, **arguments):
    async def ask():
        async with httpx.AsyncClient() as client:
            return await client.request(method, url, **arguments)

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request):
    return request.param


def test_a_request_arrives_whole_and_its_answer_too(network, echo, ask):
    with respx_router(network):
        headers = [("X-Two", "1"), ("X-Two", "2")]
        answer = ask("POST", "https://API.test:8443/a%2Fb?q=1&q=2", headers=headers, content=b"in")
    assert (answer.status_code, answer.content) == (207, b"body")
    assert answer.headers.get_list("set-thing") == ["a", "b"]
    (request,) = echo.seen
    assert (request.method, request.scheme, request.host) == ("POST", "https", "api.test")
    assert (request.path, request.query, request.body) == ("/a%2Fb", "q=1&q=2", b"in")
    assert request.headers_of("x-two") == ("1", "2")


def test_a_head_request_gets_no_body(network, ask):
    with respx_router(network):
        answer = ask("HEAD", "https://api.test/")
    assert (answer.content, answer.headers["content-length"]) == (b"", "4")


@pytest.mark.parametrize("url", ["https://down.test/", "https://unknown.test/"])
def test_a_host_that_is_down_or_unknown_refuses_the_connection(network, ask, url):
    network.mount("down.test", Echo())
    network.take_down("down.test")
    with respx_router(network), pytest.raises(httpx.ConnectError, match=r"\.test: "):
        ask("GET", url)


def test_sockets_on_loopback_stay_reachable(network, echo, ask):
    with LoopbackServer(echo) as server, respx_router(network):
        assert ask("GET", server.url).status_code == 207


def test_another_respx_router_gets_the_hosts_that_the_network_does_not_know(network, ask):
    with respx_router(network), respx.mock(assert_all_called=False) as other:
        other.get("https://elsewhere.test/").respond(204)
        assert ask("GET", "https://elsewhere.test/").status_code == 204
        assert ask("GET", "https://api.test/").status_code == 207


def test_no_call_is_kept_and_httpx_is_itself_again_afterwards(network):
    with respx_router(network) as router:
        ask_sync("GET", "https://api.test/", headers={"Authorization": "L402 secret"})
        assert list(router.calls) == []
    with pytest.raises(httpx.ConnectError) as refused:
        ask_sync("GET", "http://127.0.0.1:1/")
    assert "no such host" not in str(refused.value)
