"""Decides what of a client's request the seller's API gets to see."""

from __future__ import annotations

import dataclasses

from pytest_l402.harness.network import REQUEST_ID_HEADER, Request
from pytest_l402.protocol import Credential, CredentialError, Dialect, format_credential, parse_credential
from pytest_l402.stack.gateway.services import Service

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
        path=service.rewrite_prefix.rstrip("/") + request.path,
        headers=tuple(headers),
    )
