"""Decides what the gateway's own answers look like on the wire: Aperture's bodies, headers and gRPC forms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pytest_l402.harness.network import REQUEST_ID_HEADER, Header, Request, Response
from pytest_l402.protocol import format_challenge

_CORS_LISTS: tuple[Header, ...] = (
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "Content-Type, Authorization, Grpc-Metadata-macaroon, WWW-Authenticate, Payment-Receipt",
    ),
    ("Access-Control-Expose-Headers", "WWW-Authenticate, Payment-Receipt"),
)
_ALLOW_ORIGIN = ("Access-Control-Allow-Origin", "*")
CORS: tuple[Header, ...] = (_ALLOW_ORIGIN, *_CORS_LISTS)
_CORS_NAMES = frozenset(name.lower() for name, _ in CORS)

_GRPC = "application/grpc"
_GRPC_TYPE: Header = ("Content-Type", _GRPC)
_PLAIN_TEXT: tuple[Header, ...] = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("X-Content-Type-Options", "nosniff"),
)
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer"}
)
GRPC_INTERNAL = 13
GRPC_RESOURCE_EXHAUSTED = 8


def answer(
    request: Request,
    status: int,
    text: str,
    *,
    headers: Iterable[Header] = (),
    cors: bool = True,
    grpc_status: int = GRPC_INTERNAL,
    names_type: bool = True,
) -> Response:
    """Return an answer of the gateway itself: `text` and a newline, or the gRPC form for a gRPC client.

    A gRPC client is told by Grpc-Status and Grpc-Message under HTTP status 200, with its content type unless
    `names_type` is false: what is answered before the type is looked at has none.
    """
    lines = [*headers, *(CORS if cors else ())]
    if is_grpc(request):
        lines += [
            *((_GRPC_TYPE,) if names_type else ()),
            ("Grpc-Status", str(grpc_status)),
            ("Grpc-Message", text),
            ("Content-Length", "0"),
        ]
        return Response(200, tuple(lines))
    body = text.encode() + b"\n"
    lines += [*_PLAIN_TEXT, ("Content-Length", str(len(body)))]
    return Response(status, tuple(lines), body)


def is_grpc(request: Request) -> bool:
    """Return whether a client speaks gRPC, which gets its errors in headers."""
    return (request.header("Content-Type") or "").startswith(_GRPC)


def not_found() -> Response:
    """Return what is said where no service matches: Go's 404, without CORS, to a gRPC client as well."""
    body = b"404 page not found\n"
    lines = (*_PLAIN_TEXT, ("Content-Length", str(len(body))))
    return Response(404, lines, body)


def payment_required(request: Request, macaroon_base64: str, bolt11: str, *, superset: bool) -> Response:
    """Return the 402 with two challenges, LSAT then L402; `superset` adds version and token to the second."""
    extra = {"version": "0", "token": macaroon_base64} if superset else {}
    challenges = (
        ("WWW-Authenticate", format_challenge(macaroon_base64, bolt11, "LSAT")),
        ("WWW-Authenticate", format_challenge(macaroon_base64, bolt11, "L402", extra)),
    )
    return answer(request, 402, "payment required", headers=(*challenges, ("Cache-Control", "no-store")))


def unauthorized(request: Request, *, challenge: bool) -> Response:
    """Return the 401; `challenge` names the scheme without an offer, so that nobody pays because of it."""
    headers = (("WWW-Authenticate", "L402"),) if challenge else ()
    return answer(request, 401, "unauthorized", headers=headers)


def from_backend(request: Request, response: Response) -> Response:
    """Return the backend's answer with CORS headers, its own lists merged in front, one line each.

    A gRPC client gets two content types: the gateway's, then the backend's.
    """
    dropped = _CORS_NAMES | _HOP_BY_HOP
    lines = [_GRPC_TYPE] if is_grpc(request) else []
    lines += [line for line in response.headers if line[0].lower() not in dropped]
    lines.append(_ALLOW_ORIGIN)
    for name, ours in _CORS_LISTS:
        theirs = response.headers_of(name)
        lines.append((name, _merged((*theirs, ours)) if theirs else ours))
    if response.status in (204, 304):
        return Response(response.status, tuple(lines))
    if response.header("Content-Length") is None:
        lines.append(("Content-Length", str(len(response.body))))
    return Response(response.status, tuple(lines), response.body)


def bad_gateway() -> Response:
    """Return what a reverse proxy says when its backend is down: 502, empty, no CORS."""
    return Response(502, (("Content-Length", "0"),))


def with_request_id(response: Response, request_id: str) -> Response:
    """Return the answer with this request id, and with no other one that a backend may have set."""
    kept = tuple(line for line in response.headers if line[0].lower() != REQUEST_ID_HEADER)
    return replace(response, headers=(*kept, (REQUEST_ID_HEADER, request_id)))


def _merged(lists: Iterable[str]) -> str:
    entries: dict[str, str] = {}
    for text in lists:
        for entry in text.split(","):
            if entry.strip():
                entries.setdefault(entry.strip().lower(), entry.strip())
    return ", ".join(entries.values())
