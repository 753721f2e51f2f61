"""What is kept of each request to a served stack: enough to see what it changed, no secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pytest_l402.boundary import parse_json
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.network import REQUEST_ID_HEADER, NetworkUnreachable, Request

Kind = Literal["read", "change"]

_QUERIES = ("/control-plane/query", "/api/query")
# What these are told is no secret, and is nowhere to be read back.
_TOLD = frozenset({"lightning/ops:recordGatewayCompileIntent", "lightning/ops:recordGatewayDeploymentEvent"})


class RequestRecord:
    """A JSON Lines file with one row for each request, written when it is answered.

    `kind` is `read` for GET, HEAD and for queries of the control plane, `change` for anything else.
    """

    def __init__(self, descriptor: int | None, clock: Clock) -> None:
        self._descriptor = descriptor
        self._clock = clock

    @classmethod
    @contextmanager
    def kept_in(cls, path: Path | None, clock: Clock) -> Iterator[Self]:
        """Append to the file at `path` inside the block; None keeps nothing."""
        if path is None:
            yield cls(None, clock)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            yield cls(descriptor, clock)
        finally:
            os.close(descriptor)

    def keep(self, system: str, request: Request, status: int | NetworkUnreachable) -> None:
        """Append a row; the status of a request that got no answer is null."""
        if self._descriptor is None:
            return
        function, arguments = _called(request)
        row = {
            "atMs": self._clock.now_ms(),
            "system": system,
            "method": request.method,
            "path": request.path,
            "requestId": request.header(REQUEST_ID_HEADER),
            "function": function,
            "arguments": arguments if function in _TOLD else None,
            "kind": kind_of(request),
            "status": status if isinstance(status, int) else None,
        }
        os.write(self._descriptor, json.dumps(row, separators=(",", ":")).encode() + b"\n")


def kind_of(request: Request) -> Kind:
    """Return whether a request asks or changes."""
    is_query = request.method == "POST" and request.path.endswith(_QUERIES)
    return "read" if request.method in ("GET", "HEAD") or is_query else "change"


def _called(request: Request) -> tuple[str | None, dict[str, Any] | None]:
    if request.method != "POST" or not request.path.endswith(("/query", "/mutation")):
        return None, None
    try:
        body = parse_json(request.body.decode("utf-8"), "request body")
    except ValueError:
        return None, None
    if not isinstance(body, dict):
        return None, None
    name, arguments = body.get("functionName", body.get("path")), body.get("args")
    if isinstance(arguments, list):
        arguments = arguments[0] if arguments else None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None, None
    return name, {key: value for key, value in arguments.items() if key != "secret"}
