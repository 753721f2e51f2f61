"""What the seller's own API delivers once the gateway lets a request through."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER, NetworkUnreachable, Request, Response
from pytest_l402.stack.faults import UpstreamFailure


class SellerApi:
    """The seller's API: one JSON document per path, always the same, and a count of what was delivered."""

    def __init__(self, harness: Harness) -> None:
        self._faults = harness.faults
        self._deliveries: Counter[str | None] = Counter()
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Response:
        """Answer any path with 200 and its document, or with the status of an active `UpstreamFailure`.

        Raises:
            NetworkUnreachable: for a host below `.invalid`, which never resolves (RFC 6761).
        """
        if request.host.partition(":")[0].endswith(".invalid"):
            raise NetworkUnreachable(request.host, "no such host")
        request_id = request.header(REQUEST_ID_HEADER)
        failure = self._faults.active(UpstreamFailure, request_id)
        if failure is not None:
            return Response(
                failure.status, (("Content-Type", "text/plain; charset=utf-8"),), b"upstream failure\n"
            )
        with self._lock:
            self._deliveries[request_id] += 1
        document = {"path": request.path, "content": hashlib.sha256(request.path.encode()).hexdigest()[:16]}
        body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        return Response(200, (("Content-Type", "application/json"),), body)

    def deliveries(self, request_id: str | None = None) -> int:
        """Return how often content was delivered: for one request id, or in all."""
        with self._lock:
            return self._deliveries[request_id] if request_id is not None else self._deliveries.total()
