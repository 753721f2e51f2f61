"""A relay between a client and a served platform, which lets a test act while a request is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import httpx

When = Literal["before", "after"]


class Relay:
    """Passes requests on to `target`, and calls `act` once: before or after the request of its choice.

    `wanted` is asked of each request, path and body, whether it is the one. A request before which `act` was
    called is dropped: it never arrives.
    """

    def __init__(
        self, target: str, wanted: Callable[[str, bytes], bool], when: When, act: Callable[[], object]
    ) -> None:
        self._target = target
        self._wanted = wanted
        self._when = when
        self._act = act
        self._acted = threading.Lock()
        self.passed: list[str] = []
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[Relay]:
        """Relay inside the block."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = False
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def _relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_it = relay._wanted(self.path, body) and relay._acted.acquire(blocking=False)
                if is_it and relay._when == "before":
                    relay._act()
                    self.close_connection = True
                    return
                headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                answer = httpx.request(
                    self.command, f"{relay._target}{self.path}", content=body, headers=headers, timeout=30
                )
                relay.passed.append(self.path)
                if is_it:
                    relay._act()
                try:
                    self.send_response(answer.status_code)
                    self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
                    self.send_header("Content-Length", str(len(answer.content)))
                    self.end_headers()
                    self.wfile.write(answer.content)
                except OSError:
                    # The client is gone, as the test wanted it.
                    self.close_connection = True

            do_GET = do_POST = _relay  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
