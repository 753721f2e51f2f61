"""Decides who answers which request of the control API; a failure says nothing of the inside.

The laws that the engine itself does not enforce are in `runs` and `operations` (runbook section 0).
"""

from __future__ import annotations

import json

from pytest_l402.harness.json_app import Call, Refused, Route, told_by_code
from pytest_l402.harness.network import Request, Response
from pytest_l402.workflow.worker.answers import Answered, Document
from pytest_l402.workflow.worker.operations import Operations
from pytest_l402.workflow.worker.runs import Runs


class ControlApi:
    """The split shim: it enqueues and steers, and runs nothing (runbook section 0, topology)."""

    def __init__(self, runs: Runs, operations: Operations) -> None:
        self._routes = (
            Route("POST", "/api/intents", runs.create_intent),
            Route("POST", "/api/runs", runs.start),
            Route("GET", "/api/runs/{wid}", runs.show_run),
            Route("POST", "/api/runs/{wid}/approve-plan", runs.approve),
            Route("GET", "/api/ops/queue-depth", runs.queue_depth),
            Route("POST", "/api/ops/sleep", runs.sleep),
            Route("GET", "/api/ops/wf", operations.list),
            Route("GET", "/api/ops/wf/{wid}", operations.show),
            Route("GET", "/api/ops/wf/{wid}/steps", operations.steps),
            Route("POST", "/api/ops/wf/{wid}/cancel", operations.cancel),
            Route("POST", "/api/ops/wf/{wid}/resume", operations.resume),
            Route("POST", "/api/ops/wf/{wid}/fork", operations.fork),
        )

    def handle(self, request: Request) -> Response:
        """Answer one request; whatever goes wrong inside is 500 and says nothing of the inside."""
        try:
            status, document = 200, self._called(Call(request, ""))
        except Answered as answered:
            status, document = answered.status, answered.document
        except Refused as refused:
            status, document = told_by_code(refused)
        except Exception:  # the lattice has a place for it (runbook section 0)
            status, document = 500, {"error": {"code": "internal_error"}}
        return Response(status, (("Content-Type", "application/json"),), json.dumps(document).encode())

    def _called(self, call: Call) -> Document:
        for route in self._routes:
            values = route.values_in(call.request.path)
            if values is not None and route.method == call.request.method:
                return route.answer(call, *values)
        raise Refused(404, "not_found")
