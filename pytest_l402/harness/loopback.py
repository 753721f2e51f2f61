"""Decides how any other client or language reaches the stack: over HTTP/1.1 on a port of this machine."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import re
import socket
import socketserver
import threading
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any, Self

from pytest_l402.harness.network import App, Network, NetworkUnreachable, Request, Response
from pytest_l402.harness.request_head import LONGEST_HEAD, BadHead, Head, read_head

MAX_BODY_BYTES = 1 << 20
_MAX_CHUNK_LINE = 1024
_CHUNK_SIZE = re.compile(b"[0-9A-Fa-f]{1,16}")
_IDLE_SECONDS = 30
_PARTING_SECONDS = 0.5


class LoopbackServer:
    """Serves one app, or a whole network, on 127.0.0.1 at a port the system picks; a context manager.

    A program that is told where to listen gives that as `address`, a host and a port.

    Requests are answered one at a time, in the order in which they arrive, so that evidence has one order;
    with `one_at_a_time` false an app is asked by as many threads as there are connections, and must bear it.
    With `host` every request is taken as meant for that host, whatever its Host header says; without, the
    Host header decides, its port left aside. While `refused_when` holds, by default while `host` refuses all
    connections in the network, the port does so too: `look` sees to it, and is called whenever a fault comes
    or goes. A host that is unreachable for one request drops the connection without an answer. Bodies above
    1 MiB are refused with 413, a head above 1 MiB with 431; what is no request is refused as Go's server
    refuses it. The body of a client that waits for `100 Continue` is asked for when somebody looks at it.
    """

    def __init__(
        self,
        target: App | Network,
        *,
        host: str | None = None,
        one_at_a_time: bool = True,
        refused_when: Callable[[], bool] | None = None,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._target = target
        self._address = address
        self._host = host
        self._one_at_a_time = one_at_a_time
        if refused_when is None and isinstance(target, Network) and host is not None:
            refused_when = functools.partial(target.refuses, host)
        self._refused_when = refused_when
        self._serial = threading.Lock()
        self._looking = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._watch = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The base URL, such as `http://127.0.0.1:41234`, without a trailing slash.

        Raises:
            RuntimeError: the server is not running.
        """
        if self._server is None:
            raise RuntimeError("the loopback server has no address before start(); use it in a with block")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Open the port and answer requests until `stop`.

        Raises:
            RuntimeError: the server is already running.
        """
        if self._server is not None:
            raise RuntimeError(f"the loopback server already runs at {self.url}")
        self._server = _Server(self._answer, self._look_for_the_end, self._host, self._address)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="l402-loopback"
        )
        self._thread.start()
        if isinstance(self._target, Network):
            self._watch.enter_context(self._target.watched(self.look))
        self.look()
        return self

    def look(self) -> None:
        """Refuse connections from now on, or accept them again, as `refused_when` now has it."""
        if self._refused_when is None:
            return
        # Asked without the lock: who answers may hold another one, in which somebody else looks.
        refused = self._refused_when()
        with self._looking:
            server = self._server
            if server is not None and refused is not server.is_refusing:
                server.refuse() if refused else server.accept_again()

    def _look_for_the_end(self) -> None:
        """Accept connections again if that is due; it is never this thread that begins to refuse them."""
        if self._refused_when is not None and not self._refused_when():
            with self._looking:
                if self._server is not None and self._server.is_refusing:
                    self._server.accept_again()

    def stop(self) -> None:
        """Close the port and every connection and wait until all threads have ended; may be called twice.

        Raises:
            RuntimeError: a stand-in raised an exception while it handled a request; its cause is attached.
        """
        if self._server is None or self._thread is None:
            return
        self._watch.close()
        with self._looking:
            server, self._server = self._server, None
        server.over.set()
        server.shutdown()
        self._thread.join()
        server.drop_connections()
        server.server_close()
        if server.failures:
            raise RuntimeError(
                f"a stand-in failed on {len(server.failures)} loopback request(s); the first is attached"
            ) from server.failures[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answer(self, request: Request) -> Response:
        if isinstance(self._target, Network):
            # A network has its own lock: several servers may share it.
            return self._target.dispatch(request)
        if not self._one_at_a_time:
            return self._target.handle(request)
        with self._serial:
            return self._target.handle(request)


class _Server(socketserver.ThreadingTCPServer):
    """A TCPServer: HTTPServer looks up the machine's name when it binds, which can take seconds."""

    _never: tuple[int, ...] = ()
    # Joined on close: no thread may outlive the block that started it.
    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        answer: Callable[[Request], Response],
        look: Callable[[], None],
        host: str | None,
        address: tuple[str, int],
    ) -> None:
        self.answer = answer
        self.host = host
        self.over = threading.Event()
        self.failures: list[Exception] = []
        self.is_refusing = False
        self._look = look
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._reserve = _bound(address)
        try:
            super().__init__(self._reserve.getsockname(), _Handler)
        except OSError:
            self._reserve.close()
            raise

    def refuse(self) -> None:
        """Refuse new connections; open ones see their end, as when the server was killed."""
        self.is_refusing = True
        nothing, end = os.pipe()
        # At once: whoever waits for connections holds the socket open a moment longer.
        self.socket.shutdown(socket.SHUT_RDWR)
        # In its place, as nothing ever comes from there.
        os.dup2(nothing, self.socket.fileno())
        self._never = (nothing, end)
        self.drop_connections()

    def accept_again(self) -> None:
        """Accept new connections on the same port."""
        with _bound(self._reserve.getsockname()) as listening:
            listening.listen(self.request_queue_size)
            os.dup2(listening.fileno(), self.socket.fileno())
        self._close_never()
        self.is_refusing = False

    def service_actions(self) -> None:
        """See whether connections are still to be refused: what decides it may change without a request."""
        if self.is_refusing:
            self._look()

    def server_close(self) -> None:
        """Let go of the port, once every thread has ended."""
        super().server_close()
        self._reserve.close()
        self._close_never()

    def _close_never(self) -> None:
        for descriptor in self._never:
            os.close(descriptor)
        self._never = ()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Wake every thread that waits on an idle connection."""
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no error, and failures of the stand-ins are kept apart."""


class _Arriving(Request):
    """A request whose body is asked for, and read, when somebody looks at it: after `100 Continue`."""

    def __init__(
        self, read_body: Callable[[], bytes] | None = None, *, body: bytes = b"", **fields: Any
    ) -> None:
        super().__init__(**fields)
        # Whoever replaces another field of it looks at the body, which is read then.
        self.__dict__["read_body"] = read_body or (lambda: body)

    @property
    def body(self) -> bytes:
        read: Callable[[], bytes] = self.__dict__["read_body"]
        return read()

    @body.setter
    def body(self, _: bytes) -> None:
        """Keep nothing: there is no body yet when the fields are set."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    # Buffered, so that status line, headers and body leave in one packet.
    wbufsize = -1
    server: _Server

    def handle(self) -> None:
        """Answer the requests of one connection, one after the other."""
        with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
            while self._serve():
                self.wfile.flush()

    def _serve(self) -> bool:
        """Answer one request and return whether another one may follow."""
        try:
            data = self._read_head()
            if not data:
                return False
            head = read_head(data)
            body = _Body(head, self.rfile, self.wfile)
            if not head.waits_for_continue:
                body.read()
        except BadHead as refused:
            self._refuse(refused)
            return False
        try:
            response = self.server.answer(self._request(head, body))
        except BadHead as refused:
            self._refuse(refused)
            return False
        except NetworkUnreachable:
            return False
        except Exception as error:
            self.server.failures.append(error)
            response = Response(500, (("Content-Type", "text/plain"),), b"stand-in failed\n")
        # Here, where no lock is held: whoever else asks is answered meanwhile.
        if response.is_lost or (response.delay_ms and self.server.over.wait(response.delay_ms / 1000)):
            return False
        # What was never read is still on its way, and is no next request.
        keeps = head.keeps_alive and body.is_read
        self._write(response, head.method, keeps)
        return keeps

    def _read_head(self) -> bytes:
        """Return the lines of a head, empty when the client has hung up."""
        lines: list[bytes] = []
        left = LONGEST_HEAD
        while left > 0:
            line = self.rfile.readline(left)
            left -= len(line)
            if not line.endswith(b"\n"):
                if left > 0:
                    return b""
                break
            if line.strip(b"\r\n"):
                lines.append(line[:-1])
            elif lines:
                return b"\n".join(lines)
        raise BadHead("431 Request Header Fields Too Large")

    def _request(self, head: Head, body: _Body) -> Request:
        host, headers = self.server.host, head.headers
        if host is not None:
            headers = tuple(("Host", host) if line[0].lower() == "host" else line for line in headers)
        fields: dict[str, Any] = {
            "method": head.method,
            "scheme": "http",
            "host": _host_name(head.host) if host is None else host,
            "path": head.path,
            "query": head.query,
            "bare_question": head.target.endswith("?") and head.target.count("?") == 1,
            "headers": headers,
            "client_address": self.client_address[0],
        }
        if head.waits_for_continue:
            return _Arriving(body.read, **fields)
        return Request(**fields, body=body.read())

    def _refuse(self, refused: BadHead) -> None:
        lines = (
            f"HTTP/1.1 {refused.line}",
            "Content-Type: text/plain; charset=utf-8",
            "Connection: close",
            "",
        )
        self.wfile.write("\r\n".join((*lines, refused.body)).encode())
        self.wfile.flush()
        # What the client still sends is read: a connection closed before would lose the answer.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_PARTING_SECONDS)
        with contextlib.suppress(OSError):
            while self.connection.recv(65536):
                continue

    def _write(self, response: Response, method: str, keeps: bool) -> None:
        has_body = response.status >= 200 and response.status not in (204, 304)
        words = http.client.responses.get(response.status, "")
        lines = [f"HTTP/1.1 {response.status} {words}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if has_body and response.header("Content-Length") is None:
            lines.append(f"Content-Length: {len(response.body)}")
        if not keeps:
            lines.append("Connection: close")
        self.wfile.write("\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace"))
        if has_body and method != "HEAD":
            self.wfile.write(response.body)


class _Body:
    """The body of a request on its way; read once, by whoever looks first."""

    def __init__(self, head: Head, arriving: BufferedIOBase, answering: BufferedIOBase) -> None:
        self._head = head
        self._arriving = arriving
        self._answering = answering
        self._data: bytes | None = b"" if head.length == 0 else None

    @property
    def is_read(self) -> bool:
        """Whether nothing of it is left on the connection."""
        return self._data is not None

    def read(self) -> bytes:
        """Return the body, and ask the client for it first if it waits for that.

        Raises:
            BadHead: it is no body, or too long.
            ConnectionError: the client hung up in the middle of it.
        """
        if self._data is None:
            if self._head.waits_for_continue:
                self._answering.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._answering.flush()
            length = self._head.length
            self._data = self._chunks() if length is None else self._exactly(length, MAX_BODY_BYTES)
        return self._data

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size_text = self._arriving.readline(_MAX_CHUNK_LINE).partition(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size_text):
                raise BadHead("400 Bad Request")
            size = int(size_text, 16)
            if size == 0:
                break
            body += self._exactly(size, MAX_BODY_BYTES - len(body))
            self._arriving.readline(_MAX_CHUNK_LINE)
        while self._arriving.readline(_MAX_CHUNK_LINE).strip():
            continue
        return bytes(body)

    def _exactly(self, length: int, limit: int) -> bytes:
        if not 0 <= length <= limit:
            raise BadHead("413 Request Entity Too Large")
        body = self._arriving.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the client hung up in the middle of its request")
        return body


def _bound(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _host_name(value: str) -> str:
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0].lower()
