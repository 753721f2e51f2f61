"""Decides how any other client or language reaches the stack: over HTTP/1.1 on a port of this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import socket
import socketserver
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import urlsplit

from pytest_l402.harness.network import App, Network, NetworkUnreachable, Request, Response

MAX_BODY_BYTES = 1 << 20
_MAX_CHUNK_LINE = 1024
_IDLE_SECONDS = 30


class LoopbackServer:
    """Serves one app, or a whole network, on 127.0.0.1 at a port the system picks; a context manager.

    Requests are answered one at a time, in the order in which they arrive, so that evidence has one order;
    with `one_at_a_time` false an app is asked by as many threads as there are connections, and must bear it.
    With `host` every request is taken as meant for that host, whatever its Host header says; without, the
    Host header decides, its port left aside. While `refused_when` holds, by default while `host` refuses all
    connections in the network, the port does so too: `look` sees to it, and is called whenever a fault comes
    or goes. A host that is unreachable for one request drops the connection without an answer. Bodies above
    1 MiB are refused with 413; header lines above 64 KiB, or more than 100, with 431.
    """

    def __init__(
        self,
        target: App | Network,
        *,
        host: str | None = None,
        one_at_a_time: bool = True,
        refused_when: Callable[[], bool] | None = None,
    ) -> None:
        self._target = target
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
        self._server = _Server(self._answer, self._look_for_the_end)
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
        if self._host is not None:
            request = dataclasses.replace(request, host=self._host)
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

    def __init__(self, answer: Callable[[Request], Response], look: Callable[[], None]) -> None:
        self.answer = answer
        self.over = threading.Event()
        self.failures: list[Exception] = []
        self.is_refusing = False
        self._look = look
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._reserve = _bound(0)
        super().__init__(self._reserve.getsockname(), _Handler)

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
        with _bound(self.server_address[1]) as listening:
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


class _Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: HTTPStatus) -> None:
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    # Buffered, so that status line, headers and body leave in one packet.
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        try:
            request = self._request(self._read_body())
        except _Refused as refused:
            self.close_connection = True
            self.send_error(refused.status)
            return
        except ConnectionError:
            self.close_connection = True
            return
        try:
            response = self.server.answer(request)
        except NetworkUnreachable:
            self.close_connection = True
            return
        except Exception as error:
            self.server.failures.append(error)
            response = Response(500, (("Content-Type", "text/plain"),), b"stand-in failed\n")
        # Here, where no lock is held: whoever else asks is answered meanwhile.
        if response.is_lost or (response.delay_ms and self.server.over.wait(response.delay_ms / 1000)):
            self.close_connection = True
            return
        self._write(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _request(self, body: bytes) -> Request:
        target = self.path
        if not target.startswith("/"):
            try:
                parts = urlsplit(target)
            except ValueError:
                raise _Refused(HTTPStatus.BAD_REQUEST) from None
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path, _, query = target.partition("?")
        return Request(
            method=self.command,
            scheme="http",
            host=_host_name(self.headers.get("Host", "")),
            path=path,
            query=query,
            headers=tuple(self.headers.items()),
            body=body,
            client_address=self.client_address[0],
        )

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise _Refused(HTTPStatus.BAD_REQUEST)
        return self._read_exactly(int(length), MAX_BODY_BYTES)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            size_text = self.rfile.readline(_MAX_CHUNK_LINE).partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise _Refused(HTTPStatus.BAD_REQUEST) from None
            if size == 0:
                break
            body += self._read_exactly(size, MAX_BODY_BYTES - len(body))
            self.rfile.readline(_MAX_CHUNK_LINE)
        while self.rfile.readline(_MAX_CHUNK_LINE).strip():
            continue
        return bytes(body)

    def _read_exactly(self, length: int, limit: int) -> bytes:
        if not 0 <= length <= limit:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the client hung up in the middle of its request")
        return body

    def _write(self, response: Response) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.header("Content-Length") is None:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to stderr: request lines may hold secrets, and the journal has what is needed."""


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _host_name(value: str) -> str:
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0].lower()
