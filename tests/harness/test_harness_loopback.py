"""Any client reaches the stack over HTTP/1.1 on loopback."""

import hashlib
import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from pytest_l402.harness.loopback import MAX_BODY_BYTES, LoopbackServer
from pytest_l402.harness.network import Network, Response


class Echo:
    def __init__(self):
        self.seen = []

    def handle(self, request):
        self.seen.append(request)
        return Response(200, (("X-Two", "1"), ("X-Two", "2")), request.method.encode() + b" " + request.body)


@pytest.fixture
def echo():
    return Echo()


def raw(url, payload):
    """Send bytes as they are and return everything that comes back."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=10) as connection:
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


def connect(server):
    return http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)


def test_one_connection_carries_several_requests(echo):
    with LoopbackServer(echo) as server:
        connection = connect(server)
        for body in (b"", b"first", b"second"):
            connection.request("POST", "/a%20b?q=1", body=body, headers={"X-In": "v"})
            answer = connection.getresponse()
            assert answer.read() == b"POST " + body
            assert answer.headers.get_all("X-Two") == ["1", "2"]
            assert not answer.will_close
        connection.close()
    request = echo.seen[0]
    assert (request.scheme, request.host, request.path, request.query) == (
        "http",
        "127.0.0.1",
        "/a%20b",
        "q=1",
    )
    assert request.header("x-in") == "v"
    assert request.client_address == "127.0.0.1"


def test_an_app_can_be_served_under_another_name(echo):
    with LoopbackServer(echo, host="gateway.l402.test") as server:
        raw(server.url, b"GET / HTTP/1.1\r\nHost: whatever:1\r\nConnection: close\r\n\r\n")
    assert echo.seen[0].host == "gateway.l402.test"


def test_a_network_is_served_by_host_header(echo):
    network = Network()
    network.mount("api.test", echo)
    with LoopbackServer(network) as server:
        answer = raw(server.url, b"GET /x HTTP/1.1\r\nHost: API.test:80\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert raw(server.url, b"GET /x HTTP/1.1\r\nHost: other.test\r\n\r\n") == b""
    assert [request.host for request in echo.seen] == ["api.test"]


def test_a_host_that_is_down_refuses_connections(echo):
    network = Network()
    network.mount("api.test", echo)
    network.take_down("api.test")
    with LoopbackServer(network, host="api.test") as server:
        with pytest.raises(ConnectionRefusedError):
            raw(server.url, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        network.bring_up("api.test")
        assert raw(server.url, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200"
        )


def test_a_head_request_gets_the_length_but_no_body(echo):
    with LoopbackServer(echo) as server:
        answer = raw(server.url, b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_an_absolute_target_is_read_like_a_path(echo):
    with LoopbackServer(echo) as server:
        raw(server.url, b"GET http://h/a?b=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        raw(server.url, b"GET http://h HTTP/1.1\r\nHost: ignored\r\nConnection: close\r\n\r\n")
        raw(server.url, b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n")
    assert [(request.path, request.query, request.host) for request in echo.seen] == [
        ("/a", "b=1", "h"),
        ("/", "", "h"),
        ("/", "", "::1"),
    ]


def test_a_chunked_body_is_put_together(echo):
    head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with LoopbackServer(echo) as server:
        answer = raw(server.url, head + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n")
    assert answer.endswith(b"POST abcde")


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n", 413),
        ("Content-Length: -1\r\n\r\n", 400),
        ("Content-Length: ten\r\n\r\n", 400),
        (f"Content-Length: {'9' * 5_000}\r\n\r\n", 400),
        (f"Transfer-Encoding: chunked\r\n\r\n{MAX_BODY_BYTES + 1:x}\r\n", 413),
        ("Transfer-Encoding: chunked\r\n\r\n-5\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\nnothex\r\n", 400),
        ("X: " + "a" * 1_100_000 + "\r\n\r\n", 431),
        ("".join(f"X-{n}: {'a' * 9_000}\r\n" for n in range(120)) + "\r\n", 431),
    ],
)
def test_what_is_too_large_or_malformed_is_refused_without_reaching_the_app(echo, rest, status):
    with LoopbackServer(echo) as server:
        answer = raw(server.url, b"POST / HTTP/1.1\r\nHost: h\r\n" + rest.encode())
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert raw(server.url, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200"
        )
    assert [request.method for request in echo.seen] == ["GET"]


def test_a_target_that_is_no_url_is_refused_and_fails_no_server(echo):
    with LoopbackServer(echo) as server:
        answer = raw(server.url, b"GET http://[ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert echo.seen == []


def test_a_client_that_hangs_up_in_the_middle_is_no_failure(echo):
    with LoopbackServer(echo) as server:
        assert raw(server.url, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc") == b""
    assert echo.seen == []


def test_a_failing_app_is_answered_with_500_and_reported_when_the_server_stops():
    class Broken:
        def handle(self, request):
            raise LookupError("a bug")

    server = LoopbackServer(Broken()).start()
    assert raw(server.url, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 500"
    )
    with pytest.raises(RuntimeError, match="1 loopback request") as failed:
        server.stop()
    assert isinstance(failed.value.__cause__, LookupError)


def test_requests_are_answered_one_at_a_time():
    class Counting:
        inside = most = 0
        data = bytes(20_000)

        def handle(self, request):
            self.inside += 1
            self.most = max(self.most, self.inside)
            # Hashing lets other threads run meanwhile: one that got in would be seen here.
            for _ in range(300):
                hashlib.sha256(self.data)
                if self.most > 1:
                    break
            self.inside -= 1
            return Response(200)

    app = Counting()
    with LoopbackServer(app) as server:
        payload = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        threads = [threading.Thread(target=raw, args=(server.url, payload)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert app.most == 1


def test_stopping_ends_every_thread_also_those_of_idle_connections(echo):
    before = threading.active_count()
    server = LoopbackServer(echo).start()
    idle = socket.create_connection(("127.0.0.1", urlsplit(server.url).port))
    used = connect(server)
    used.request("GET", "/")
    used.getresponse().read()
    server.stop()
    server.stop()
    assert threading.active_count() == before
    idle.close()
    used.close()


def test_the_address_is_known_only_while_the_server_runs(echo):
    server = LoopbackServer(echo)
    with pytest.raises(RuntimeError, match="before start"):
        _ = server.url
    with server:
        with pytest.raises(RuntimeError, match="already runs"):
            server.start()
        assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="before start"):
        _ = server.url


def test_an_app_that_bears_it_is_asked_by_several_at_once():
    together = threading.Barrier(2)

    class Meeting:
        def handle(self, request):
            together.wait(10)
            return Response(200)

    with LoopbackServer(Meeting(), one_at_a_time=False) as server, ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda _: httpx.get(server.url, trust_env=False).status_code, range(2))
        assert list(answers) == [200, 200]
