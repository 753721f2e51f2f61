"""Decides how a drill asks the control API, and that every answer is written down as it came."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Row = dict[str, Any]

_PATIENCE_S = 20.0
ACTOR = {"actor": "fde", "reason": "rehearsed"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the control API said to one request."""

    status: int
    document: Row

    @property
    def code(self) -> str | None:
        """The stable code of a refusal."""
        error = self.document.get("error")
        return error.get("code") if isinstance(error, dict) else None


class ControlClient:
    """Asks the control API at a base URL, from any thread; `answers` is what it said, in order."""

    def __init__(self, url: str, answers: list[Row]) -> None:
        self._address = urlsplit(url).netloc
        self._answers = answers
        self._lock = threading.Lock()

    def get(self, path: str) -> Answer:
        """Ask for a document."""
        return self.ask("GET", path, b"")

    def post(self, path: str, body: Row | bytes) -> Answer:
        """Ask for a change; bytes are sent as they are."""
        return self.ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())

    def ask(self, method: str, path: str, body: bytes) -> Answer:
        """Send one request and write its answer down.

        Raises:
            OSError: nobody answers.
        """
        connection = http.client.HTTPConnection(self._address, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = Answer(response.status, json.loads(response.read()))
        finally:
            connection.close()
        operation = path.partition("?")[0].rpartition("/")[2]
        row = {
            "method": method,
            "path": path,
            "operation": operation,
            "status": answer.status,
            "code": answer.code,
        }
        with self._lock:
            self._answers.append(
                {**row, "drift": [item["field"] for item in answer.document.get("drift", ())]}
            )
        return answer

    def create_intent(self, goal: str = "demo") -> str:
        """Create an intent and return its id."""
        answer = self.post("/api/intents", {"goal": goal, "inputs": {}, "constraints": {}})
        return str(answer.document["intentId"])

    def start(self, intent_id: str, partition: str = "ui-default", **more: Any) -> Answer:
        """Start the run of an intent."""
        return self.post("/api/runs", {"intentId": intent_id, "queuePartitionKey": partition, **more})

    def approve(self, workflow_id: str, key: str = "approve-1", approved_by: str = "po") -> Answer:
        """Approve the plan of a run."""
        return self.post(
            f"/api/runs/{workflow_id}/approve-plan", {"approvedBy": approved_by, "dedupeKey": key}
        )

    def cancel(self, workflow_id: str) -> Answer:
        """Cancel a run."""
        return self.post(f"/api/ops/wf/{workflow_id}/cancel", ACTOR)

    def resume(self, workflow_id: str) -> Answer:
        """Resume a run."""
        return self.post(f"/api/ops/wf/{workflow_id}/resume", ACTOR)

    def fork(self, workflow_id: str, kept: int, **more: Any) -> Answer:
        """Fork a run, keeping the results of its first `kept` functions."""
        return self.post(f"/api/ops/wf/{workflow_id}/fork", {"stepN": kept, **more, **ACTOR})

    def batch(self, operation: Callable[[str], Answer], workflow_ids: Sequence[str]) -> list[Answer]:
        """Do the same to many runs, sorted and each once (runbook section 6)."""
        return [operation(workflow_id) for workflow_id in sorted(set(workflow_ids))]


def at_once(asks: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Send several requests at the same moment, and return their answers in the order of `asks`."""
    together = threading.Barrier(len(asks))

    def ask(one: Callable[[], Answer]) -> Answer:
        together.wait(_PATIENCE_S)
        return one()

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(ask, asks))
