from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import freezegun
import pytest

from pytest_l402.harness.tcp_proxy import TcpProxy

PATIENCE_S = 10.0
Address = tuple[str, int] | str


class Echo(socketserver.BaseRequestHandler):
    """Answers each chunk in capitals and keeps what it got."""

    def handle(self) -> None:
        self.server.accepted += 1  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(1 << 16):
                self.server.got.extend(data)  # type: ignore[attr-defined]
                self.request.sendall(data.upper())
        self.server.ended.set()  # type: ignore[attr-defined]


class EchoServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = False

    def __init__(self, address: Address) -> None:
        self.address_family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.got = bytearray()
        self.accepted = 0
        self.ended = threading.Event()
        super().__init__(address, Echo)  # type: ignore[arg-type]

    @property
    def address(self) -> Address:
        return self.server_address  # type: ignore[return-value]

    @classmethod
    @contextlib.contextmanager
    def serve(cls, address: Address) -> Iterator[EchoServer]:
        with cls(address) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer.serve(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def proxy(echo: EchoServer) -> Iterator[TcpProxy]:
    with TcpProxy(echo.address) as proxy:
        yield proxy


@contextlib.contextmanager
def connected(proxy: TcpProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_S) as client:
        yield client


def ask(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return read(client, len(data))


def read(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (part := client.recv(size - len(data))):
        data += part
    return bytes(data)


def nothing_comes(client: socket.socket) -> bool:
    client.settimeout(0.1)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_S)
    return False


def test_bytes_and_ends_go_through_and_are_counted(proxy: TcpProxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        assert ask(client, b"one") == b"ONE"
        client.sendall(b"four")
        client.shutdown(socket.SHUT_WR)
        # A half-closed connection still gets its answer.
        assert read(client, 100) == b"FOUR"
    assert echo.got == b"onefour"
    row = {
        "connection": 1,
        "bytesToTarget": 7,
        "bytesToClient": 7,
        "bytesSwallowed": 0,
        "faults": [],
        "end": "closed",
    }
    assert proxy.rows() == (row,)


def test_more_than_fits_into_any_buffer_goes_through_unchanged(proxy: TcpProxy) -> None:
    data = bytes(range(97, 123)) * 400_000
    with connected(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert read(client, len(data)) == data.upper()
        sender.join()


@pytest.mark.parametrize("kind", [str, Path])
def test_the_target_may_be_a_unix_socket(tmp_path: Path, kind: type[str] | type[Path]) -> None:
    path = tmp_path / "s"
    with EchoServer.serve(str(path)), TcpProxy(kind(path)) as proxy, connected(proxy) as client:
        assert ask(client, b"a") == b"A"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_target_that_is_not_there_resets_the_client(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for target in (closed.getsockname(), tmp_path / "none"):
            with TcpProxy(target) as proxy:
                with pytest.raises(ConnectionResetError), connected(proxy) as client:
                    client.recv(1)
                assert [row["end"] for row in proxy.rows()] == ["no target"]


def test_refused_connections_meet_no_listener_and_the_port_stays_ours(
    proxy: TcpProxy, echo: EchoServer
) -> None:
    port = proxy.port
    with connected(proxy) as client:
        ask(client, b"a")
        for _ in range(2):
            proxy.refuse()
            # As from a server that was killed: the end, not a reset.
            assert client.recv(1) == b""
            assert echo.ended.wait(PATIENCE_S)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), PATIENCE_S)
            with socket.socket() as thief, pytest.raises(OSError, match="in use"):
                thief.bind(("127.0.0.1", port))
            proxy.pass_through()
            with connected(proxy) as again:
                assert ask(again, b"b") == b"B"
    assert proxy.port == port
    first = proxy.rows()[0]
    assert (first["faults"], first["end"]) == (["refuse"], "refused")


def test_a_port_without_any_connection_stays_ours_too(proxy: TcpProxy) -> None:
    proxy.refuse()
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", proxy.port))


def test_a_connection_is_ended_once_whatever_comes_after(proxy: TcpProxy, echo: EchoServer) -> None:
    proxy.black_hole()
    with connected(proxy) as client:
        proxy.refuse()
        assert client.recv(1) == b""
        proxy.pass_through()
        with connected(proxy) as other:
            ask(other, b"a")
        assert echo.accepted == 1
        assert proxy.rows()[0]["end"] == "refused"


def test_an_abort_does_not_come_out_of_a_black_hole(proxy: TcpProxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        ask(client, b"a")
        proxy.black_hole()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert not echo.ended.wait(0.05)
    assert proxy.rows()[0]["end"] == "swallowed"


def test_reset_strikes_open_and_new_connections(proxy: TcpProxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        ask(client, b"a")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert echo.ended.wait(PATIENCE_S)
    # Perhaps before connect() has returned.
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)
    proxy.pass_through()
    with connected(proxy) as client:
        assert ask(client, b"a") == b"A"
    assert [(row["faults"], row["end"]) for row in proxy.rows()][:2] == [(["reset"], "reset")] * 2
    assert echo.got == b"aa"


def test_a_black_hole_answers_nobody_and_never_gives_back_what_it_took(
    proxy: TcpProxy, echo: EchoServer
) -> None:
    with connected(proxy) as client:
        ask(client, b"a")
        proxy.black_hole()
        client.sendall(b"lost")
        with connected(proxy) as other:
            other.sendall(b"lost too")
            assert nothing_comes(other)
            assert nothing_comes(client)
            # The one that goes away is not missed by the other side.
            client.shutdown(socket.SHUT_WR)
            assert not echo.ended.wait(0.05)
            proxy.pass_through()
            for each in (client, other):
                with pytest.raises(ConnectionResetError):
                    each.recv(1)
    with connected(proxy) as client:
        assert ask(client, b"b") == b"B"
    assert echo.got == b"ab"
    assert [(row["bytesSwallowed"], row["faults"], row["end"]) for row in proxy.rows()][:2] == [
        (4, ["black_hole", "reset"], "reset"),
        (8, ["black_hole", "reset"], "reset"),
    ]


@pytest.mark.parametrize("mode", ["black_hole", "refuse", "cut_after"])
def test_what_a_slow_reader_had_not_taken_is_not_sent_after_a_mode_is_in_force(
    proxy: TcpProxy, mode: str
) -> None:
    with connected(proxy) as client:
        sender = threading.Thread(target=send_until_it_ends, args=(client,))
        sender.start()
        while not is_stuck(proxy):
            pass
        {
            "black_hole": proxy.black_hole,
            "refuse": proxy.refuse,
            "cut_after": lambda: proxy.cut_after(0, "to_client"),
        }[mode]()
        told = proxy.rows()[0]["bytesToClient"]
        if mode == "black_hole":
            came = len(read(client, told))
            assert nothing_comes(client)
        else:
            came = len(read(client, 1 << 24))
        # What was cut is read on, or its end would become a reset: it is the sender that has to end.
        client.shutdown(socket.SHUT_RDWR)
        sender.join()
    assert came == told == proxy.rows()[0]["bytesToClient"]
    assert proxy.rows()[0]["bytesSwallowed"] > 0


def send_until_it_ends(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client.sendall(b"x" * 65536)


def is_stuck(proxy: TcpProxy) -> bool:
    """Whether no more goes through, because nobody reads it."""
    before = proxy.rows()
    threading.Event().wait(0.1)
    return bool(before) and before[0]["bytesToClient"] > 100_000 and before == proxy.rows()


def test_latency_holds_bytes_back_in_order_until_their_time(proxy: TcpProxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        assert ask(client, b"a") == b"A"
        proxy.latency(3600)
        client.sendall(b"b")
        client.sendall(b"c")
        client.shutdown(socket.SHUT_WR)
        assert nothing_comes(client)
        assert echo.got == b"a"
        proxy.latency(1800)
        assert nothing_comes(client)
        assert not echo.ended.is_set()
        # What was held back comes at once, and its end behind it.
        proxy.pass_through()
        assert read(client, 100) == b"BC"
    assert proxy.rows()[0]["faults"] == ["latency"]


def test_latency_passes_also_when_time_is_frozen(proxy: TcpProxy) -> None:
    with freezegun.freeze_time("2030-01-01"):
        proxy.latency(0.01)
        with connected(proxy) as client:
            assert ask(client, b"abc") == b"ABC"
    assert proxy.rows()[0]["faults"] == ["latency"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_reply_is_cut_after_so_many_bytes(proxy: TcpProxy, echo: EchoServer, count: int) -> None:
    with connected(proxy) as client:
        assert ask(client, b"before") == b"BEFORE"
        proxy.cut_after(count, "to_client")
        client.sendall(b"hello")
        assert read(client, 100) == b"HELLO"[:count]
        assert echo.ended.wait(PATIENCE_S)
    assert echo.got == b"beforehello"
    (row,) = proxy.rows()
    assert (row["bytesToTarget"], row["bytesToClient"], row["bytesSwallowed"]) == (11, 6 + count, 5 - count)
    assert (row["faults"], row["end"]) == (["cut_after"], "cut")


@pytest.mark.parametrize("count", [0, 3])
def test_a_request_is_cut_after_so_many_bytes_of_each_connection(
    proxy: TcpProxy, echo: EchoServer, count: int
) -> None:
    proxy.cut_after(count, "to_target")
    for _ in range(2):
        echo.ended.clear()
        with connected(proxy) as client:
            client.sendall(b"hello")
            assert b"HELLO"[:count].startswith(read(client, 100))
            assert echo.ended.wait(PATIENCE_S)
    assert echo.got == b"hello"[:count] * 2
    proxy.pass_through()
    with connected(proxy) as client:
        assert ask(client, b"hello") == b"HELLO"


def test_a_connection_that_one_side_aborts_is_aborted_on_the_other(proxy: TcpProxy, echo: EchoServer) -> None:
    with connected(proxy) as client:
        ask(client, b"a")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert echo.ended.wait(PATIENCE_S)
    assert proxy.rows()[0]["end"] == "aborted"


def test_its_end_ends_its_thread_and_all_connections(echo: EchoServer) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with contextlib.ExitStack() as clients:
        with TcpProxy(echo.address) as proxy:
            client = clients.enter_context(connected(proxy))
            ask(client, b"a")
        assert client.recv(1) == b""
        assert echo.ended.wait(PATIENCE_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "l402-tcp-proxy"]
    with pytest.raises(RuntimeError, match="expected to run, saw it closed"):
        proxy.refuse()
    # The thread of the echo server may not have closed its end yet.
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 1


def test_what_makes_no_sense_is_refused(proxy: TcpProxy) -> None:
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected a latency above 0 s"):
            proxy.latency(seconds)
    with pytest.raises(ValueError, match="expected 0 or more"):
        proxy.cut_after(-1, "to_client")
    with pytest.raises(ValueError, match="'sideways'"):
        proxy.cut_after(1, "sideways")  # type: ignore[arg-type]
