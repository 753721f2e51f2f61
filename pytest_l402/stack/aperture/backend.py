"""How a service behind the gateway is asked: over HTTP, with every line as the gateway sends it on."""

from __future__ import annotations

import http.client
import ssl
from typing import Final

from pytest_l402.harness.network import NetworkUnreachable, Request, Response

_WAIT_S: Final = 30.0
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_FRAMING: Final = frozenset({"transfer-encoding", "content-length", "connection"})


class HttpBackend:
    """Asks each request's own host by its own scheme; certificates are not looked at, as by Aperture."""

    def handle(self, request: Request) -> Response:
        """Return what the service answers.

        Raises:
            NetworkUnreachable: it cannot be reached, or speaks no HTTP.
        """
        try:
            return self._asked(request)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NetworkUnreachable(request.host, type(error).__name__) from None

    def _asked(self, request: Request) -> Response:
        connection = _connection(request)
        try:
            target = request.path + ("?" if request.query or request.bare_question else "") + request.query
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            body = request.body
            for name, value in request.headers:
                if name.lower() != "content-length":
                    connection.putheader(name, value.encode("latin-1"))
            if body or request.method in _WITH_BODY:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
            lines = tuple(line for line in answer.getheaders() if line[0].lower() not in _FRAMING)
            return Response(answer.status, lines, data)
        finally:
            connection.close()


class _Plain(http.client.HTTPConnection):
    """A connection that sends a target's bytes as they came."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode("latin-1")


class _Encrypted(http.client.HTTPSConnection, _Plain):
    """The same over TLS."""


def _connection(request: Request) -> http.client.HTTPConnection:
    if request.scheme == "http":
        return _Plain(request.host, timeout=_WAIT_S)
    if request.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return _Encrypted(request.host, timeout=_WAIT_S, context=context)
    raise ValueError(f"no protocol {request.scheme!r}")
