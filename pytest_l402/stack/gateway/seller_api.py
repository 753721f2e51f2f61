"""What the seller's own API gets to see of a request, and delivers once the gateway lets it through."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER, NetworkUnreachable, Request, Response
from pytest_l402.protocol import Credential, CredentialError, Dialect, format_credential, parse_credential
from pytest_l402.stack.faults import UpstreamFailure
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.gateway.wire import carried_by, content, query_digest, shown

# What Go leaves as it is when it writes a path.
_UNQUOTED = "$&+,/:;=@~"
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


def readable_credential(request: Request, dialect: Dialect) -> Credential | None:
    """Return the credential of a request that nobody judged, or None when there is none that can be read."""
    try:
        return parse_credential(request.headers, dialect)
    except CredentialError:
        return None


def forwarded(request: Request, service: Service, request_id: str, credential: Credential | None) -> Request:
    """Return the request for the seller's API behind `service`, at the client's own host if it names none.

    A credential arrives as two Authorization lines, LSAT before L402, whichever header it came in. The
    request id is set, the client's address noted, and hop-by-hop headers stay behind.
    Source: Aperture proxy, l402/header.
    """
    named = {token.strip().lower() for text in request.headers_of("Connection") for token in text.split(",")}
    dropped = _HOP_BY_HOP | named | {REQUEST_ID_HEADER, "x-forwarded-for"}
    headers = [line for line in request.headers if line[0].lower() not in dropped]
    if credential is not None:
        text = credential.macaroon.to_base64()
        headers = [line for line in headers if line[0].lower() != "authorization"]
        headers += [
            ("Authorization", format_credential(text, credential.preimage, scheme))
            for scheme in ("LSAT", "L402")
        ]
    origin = [*request.headers_of("X-Forwarded-For"), request.client_address]
    headers += [("X-Forwarded-For", ", ".join(origin)), (REQUEST_ID_HEADER, request_id)]
    return dataclasses.replace(
        request,
        scheme=service.protocol,
        host=service.address or request.host,
        path=_joined(service.rewrite_prefix, request.path),
        headers=tuple(headers),
    )


def _joined(prefix: str, path: str) -> str:
    """Return the path behind a prefix as Go's `URL.JoinPath` has it: cleaned, codes as they were sent.

    `..` leads out of the prefix too; without one the path stays as it is. Source: Aperture, rewrite.
    """
    if not prefix:
        return path
    # posixpath alone would keep two slashes at the front.
    whole = "/" + f"{quote(unquote_to_bytes(prefix), safe=_UNQUOTED)}/{path}".lstrip("/")
    cleaned = posixpath.normpath(whole)
    return cleaned + "/" if path.endswith("/") and not cleaned.endswith("/") else cleaned


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
