"""What the seller's own API gets to see of a request, and delivers once the gateway lets it through."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER, Header, NetworkUnreachable, Request, Response
from pytest_l402.harness.request_head import as_forwarded, joined_path
from pytest_l402.protocol import Credential, CredentialError, Dialect, format_credential, parse_credential
from pytest_l402.stack.faults import UpstreamFailure
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.gateway.wire import carried_by, content, query_digest, shown

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NO_AGENT: Header = ("User-Agent", "")
_SET_ANEW = frozenset({REQUEST_ID_HEADER, "x-forwarded-for", "host"})


def readable_credential(request: Request, dialect: Dialect) -> Credential | None:
    """Return the credential of a request that nobody judged, or None when there is none that can be read."""
    try:
        return parse_credential(request.headers, dialect)
    except CredentialError:
        return None


def forwarded(
    request: Request, service: Service, request_id: str | None, credential: Credential | None
) -> Request:
    """Return the request for the seller's API behind `service`, at the client's own host if it names none.

    A credential arrives as two Authorization lines, LSAT before L402, whichever header it came in. The
    request id is set, the client's address noted, and hop-by-hop headers stay behind.
    Source: Aperture proxy, l402/header.
    """
    named = {token.strip().lower() for text in request.headers_of("Connection") for token in text.split(",")}
    dropped = _HOP_BY_HOP | named | _SET_ANEW
    host = service.address or request.host
    headers = [("Host", host)]
    headers += [line for line in request.headers if line[0].lower() not in dropped and line != _NO_AGENT]
    if credential is not None:
        text = credential.macaroon.to_base64()
        headers = [line for line in headers if line[0].lower() != "authorization"]
        headers += [
            ("Authorization", format_credential(text, credential.preimage, scheme))
            for scheme in ("LSAT", "L402")
        ]
    headers += _as_go_adds(request, named)
    origin = [*request.headers_of("X-Forwarded-For"), request.client_address]
    headers.append(("X-Forwarded-For", ", ".join(origin)))
    if request_id is not None:
        headers.append((REQUEST_ID_HEADER, request_id))
    headers = service.with_headers(headers)
    prefix = service.rewrite_prefix
    return dataclasses.replace(
        request,
        scheme=service.protocol,
        host=host,
        path=joined_path(prefix, as_forwarded(request.path)) if prefix else as_forwarded(request.path),
        headers=tuple(headers),
    )


def _as_go_adds(request: Request, named: set[str]) -> Iterator[Header]:
    """Return what Go's proxy and its transport add to a request that they send on."""
    if any("trailers" in text.lower() for text in request.headers_of("TE")):
        yield "TE", "trailers"
    upgrade = request.header("Upgrade")
    if "upgrade" in named and upgrade is not None:
        yield from (("Connection", "Upgrade"), ("Upgrade", upgrade))
    asks_for_part = request.header("Range") is not None or request.method == "HEAD"
    if request.header("Accept-Encoding") is None and not asks_for_part:
        yield "Accept-Encoding", "gzip"


class SellerApi:
    """The seller's API: one JSON document per path, always the same, and a book of what it was asked.

    The book is its own: nobody's word but the request is needed to say what came, and what went out. `during`
    says for which request the gateway was being asked when the seller was; it may come from anywhere.
    """

    def __init__(self, harness: Harness, during: Callable[[], str | None] = lambda: None) -> None:
        self._harness = harness
        self._during = during
        self._lock = threading.Lock()
        self.book: list[dict[str, Any]] = []

    def handle(self, request: Request) -> Response:
        """Answer any path with 200 and its document, or with the status of an active `UpstreamFailure`.

        Raises:
            NetworkUnreachable: for a host below `.invalid`, which never resolves (RFC 6761).
        """
        if request.host.partition(":")[0].endswith(".invalid"):
            raise NetworkUnreachable(request.host, "no such host")
        with self._lock:
            response = self._answer(request)
            self._enter(request, response)
        return response

    def deliveries(self, request_id: str | None = None) -> int:
        """Return how often content was delivered: for one request id, or in all."""
        with self._lock:
            return sum(
                call["status"] == 200 and request_id in (None, call["requestId"]) for call in self.book
            )

    def _answer(self, request: Request) -> Response:
        failure = self._harness.faults.active(UpstreamFailure, request.header(REQUEST_ID_HEADER))
        if failure is not None:
            text = ("Content-Type", "text/plain; charset=utf-8")
            return Response(failure.status, (text,), b"upstream failure\n")
        document = {"path": request.path, "content": hashlib.sha256(request.path.encode()).hexdigest()[:16]}
        body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        return Response(200, (("Content-Type", "application/json"),), body)

    def _enter(self, request: Request, response: Response) -> None:
        carried, request_id = carried_by(request), request.header(REQUEST_ID_HEADER)
        self.book.append(
            {
                "call": len(self.book) + 1,
                "during": self._during(),
                "requestId": None if request_id is None else shown(request_id),
                "method": shown(request.method),
                "host": shown(request.host),
                "path": shown(request.path),
                "querySha256": query_digest(request),
                **content("body", request.body),
                "credentialDigest": None if carried is None else carried.digest,
                "paymentHash": None if carried is None else carried.payment_hash,
                "status": response.status,
                **content("answer", response.body),
                "atMs": self._harness.clock.tick(),
            }
        )
