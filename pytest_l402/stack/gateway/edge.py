"""What the operator's edge adds to a request, and notes which id each answer really carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER, TASK_ID_HEADER, App, Request, Response


@dataclass(slots=True)
class Attribution:
    """The request and task that unnamed requests belong to; `task_id` is None until one has come."""

    request_id: str
    register: Callable[[str, Request], str]
    task_id: str | None = None


class Edge:
    """Stands before the gateway and passes everything through.

    Each answer leaves a row in `answers`: the request id in its header (null without one) and its status, as
    whoever asked got them. That is where the correlation workflow starts.

    Inside `attributing()` a request without a request id gets the given one, and one without a task id that
    of a task registered for it, so that a client which knows neither can be followed through every plane.
    """

    def __init__(self, harness: Harness, gateway: App) -> None:
        self._harness = harness
        self._gateway = gateway
        self._attribution: Attribution | None = None

    def handle(self, request: Request) -> Response:
        """Answer with what the gateway answers."""
        if self._attribution is not None:
            request = self._named(request, self._attribution)
        response = self._gateway.handle(request)
        row = {"requestId": response.header(REQUEST_ID_HEADER), "status": response.status}
        self._harness.journal.append("answers", {**row, "atMs": self._harness.clock.now_ms()})
        return response

    @contextmanager
    def attributing(self, request_id: str, register: Callable[[str, Request], str]) -> Iterator[Attribution]:
        """Name unnamed requests inside the block; `register(request_id, request)` returns a new task's id."""
        before, self._attribution = self._attribution, Attribution(request_id, register)
        try:
            yield self._attribution
        finally:
            self._attribution = before

    def _named(self, request: Request, attribution: Attribution) -> Request:
        headers = request.headers
        request_id = request.header(REQUEST_ID_HEADER)
        if request_id is None:
            request_id = attribution.request_id
            headers = (*headers, (REQUEST_ID_HEADER, request_id))
        if request.header(TASK_ID_HEADER) is None:
            if attribution.task_id is None:
                attribution.task_id = attribution.register(request_id, request)
            headers = (*headers, (TASK_ID_HEADER, attribution.task_id))
        return replace(request, headers=headers)
