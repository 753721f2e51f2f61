"""Servers that answer as no control plane or gateway should, on a port of this machine."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Answer = Callable[[socket.socket, threading.Event, bytes], None]
CERTIFICATE = Path(__file__).with_name("self_signed.pem")


class Hostile:
    """A server that reads a request and gives it to `answer`; `requests` holds what came."""

    def __init__(self, answer: Answer | None, tls: ssl.SSLContext | None) -> None:
        self._answer = answer
        self._tls = tls
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()

    def stop(self) -> None:
        self._over.set()
        # Wakes the thread that accepts: closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # Whatever the client does, the server's own end is not what is tested.
        with suppress(OSError), connection:
            stream = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with stream:
                request = _read_request(stream)
                self.requests.append(request)
                if self._answer is not None:
                    self._answer(stream, self._over, request)


@contextmanager
def hostile(answer: Answer | None, *, tls: bool = False) -> Iterator[Hostile]:
    """Run a hostile server inside the block; without an answer it takes the request and says nothing."""
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
    server = Hostile(answer or _silence, context)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def says(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> Answer:
    """Answer with these bytes."""
    # One answer a connection, and the client is told so: it must not take up one that is about to end.
    kept = ("Connection: close", f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    head = [f"HTTP/1.1 {status}", *kept, *headers]

    def answer(connection: socket.socket, over: threading.Event, request: bytes) -> None:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)

    return answer


def redirects(target: str) -> Answer:
    """Answer with a redirect."""
    return says(b"", f"Location: {target}", status="302 Found")


def echoes(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer with an error whose code is the secret that came in the body."""
    secret = request.partition(b'"secret":"')[2].partition(b'"')[0]
    says(b'{"error":{"code":"%s","message":"%s"}}' % (secret, request[-80:].hex().encode()), status="401 No")(
        connection, over, request
    )


def ten_megabytes(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer with 10 MB of JSON, chunked, so that no length warns of it."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b'{"paywalls":"' + b"a" * 65_523
    for _ in range(160):
        connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    connection.sendall(b"0\r\n\r\n")


def drips_its_body(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer at once, with a body that never ends: one byte, and then another."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    )
    while not over.wait(0.02):
        connection.sendall(b" ")


def drips_its_headers(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer with headers that never end, one byte after the other."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not over.wait(0.02):
        connection.sendall(b"a")


def says_continue_for_ever(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer with one informational response after the other."""
    while not over.wait(0.02):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def hangs_up(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Close the connection without an answer."""


def hangs_up_midway(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Promise more than comes."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"paywalls":')


def speaks_no_http(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer with something that is no HTTP."""
    connection.sendall(b"220 mail.example ESMTP\r\n")


def gzip_bomb(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    """Answer with 10 KB that unpack to 10 MB, although nobody asked for packed answers."""
    packed = gzip.compress(b" " * 10_000_000, mtime=0)
    says(packed, "Content-Encoding: gzip")(connection, over, request)


def _silence(connection: socket.socket, over: threading.Event, request: bytes) -> None:
    over.wait()


def _read_request(stream: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(65_536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        more = stream.recv(65_536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body
