"""Decides that the deployed control plane learns every row of the history, also of a run cut off."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_l402.boundary import InputError, read_json
from pytest_l402.boundary.whole_files import write_document
from pytest_l402.live.control_plane import LiveControlPlane
from pytest_l402.live.live_error import LiveError
from pytest_l402.ops.reconcile.deployments import Deployment, GatewayEvent, Intent
from pytest_l402.ops.reconcile.ledger import DeploymentHistory
from pytest_l402.ops.reconcile.summary import ReconcileSummary

DELIVERED_NAME: Final = "delivered.json"
_FUNCTIONS: Final = {
    "deployments": "lightning/ops:recordGatewayCompileIntent",
    "gateway_events": "lightning/ops:recordGatewayDeploymentEvent",
}
_DEPLOYMENT_KEYS: Final = "deploymentId configHash status requestId imageDigest rolledBackFrom appliedAtMs"
_EVENT_KEYS: Final = ("paywallId", "ownerId", "eventType", "level", "requestId")
# Of equal times the pending row comes first, then events, then how it ended.
_RANKS: Final = {"pending": 0, "applied": 2, "failed": 2, "rolled_back": 2}


class _Row(NamedTuple):
    at_ms: int
    rank: int
    number: int
    table: str
    row: dict[str, Any]


class DeliveredHistory(DeploymentHistory):
    """A history on this machine whose rows are also written to the control plane: at least once, in order.

    The control plane offers no way to read deployments back, so what it was told is counted here. The
    `pending` row must arrive before the gateway is touched; what fails to arrive later is delivered by
    `deliver`, at the end of the run or first thing in the next one. A row of the control plane is replaced by
    the next of its deployment; an event that was delivered twice shows by its `eventId` in the metadata.
    """

    def __init__(self, path: Path, plane: LiveControlPlane) -> None:
        super().__init__(path)
        self._plane = plane
        self._delivered_path = path.with_name(DELIVERED_NAME)
        self._delivered = self._read()

    def begin(self, intent: Intent, pending: Deployment | None) -> None:
        """Write down what is about to be done, and tell the control plane.

        Raises:
            LedgerError: the request is known, or another request has come to the same deployment id.
            LiveError: the control plane does not take it; the gateway was not touched.
        """
        super().begin(intent, pending)
        self.deliver()

    def event(self, event: GatewayEvent) -> None:
        """Append an event, and tell the control plane if it listens."""
        super().event(event)
        with contextlib.suppress(LiveError):
            self.deliver()

    def finish(
        self, outcome: ReconcileSummary, deployment: Deployment, events: Sequence[GatewayEvent]
    ) -> None:
        """Append how it ended, and tell the control plane if it listens."""
        super().finish(outcome, deployment, events)
        with contextlib.suppress(LiveError):
            self.deliver()

    def undelivered(self) -> int:
        """Return how many rows the control plane has not been told of."""
        return len(tuple(self._waiting()))

    def deliver(self) -> int:
        """Tell the control plane what it does not know yet, oldest first, and return how many rows that were.

        Raises:
            LiveError: it does not take one; those behind it wait.
        """
        told = 0
        for item in self._waiting():
            arguments = deployment_arguments if item.table == "deployments" else _event_arguments
            self._plane.mutation(_FUNCTIONS[item.table], arguments(item.row), item.row["requestId"])
            self._delivered[item.table] += 1
            write_document(self._delivered_path, self._delivered)
            told += 1
        return told

    def _waiting(self) -> Iterator[_Row]:
        # Merged, not sorted: within a table the order is that of the history, whatever the clock did.
        return heapq.merge(
            self._behind("deployments", "updatedAtMs"), self._behind("gateway_events", "createdAtMs")
        )

    def _behind(self, table: str, time_key: str) -> Iterator[_Row]:
        delivered = self._delivered[table]
        for number, row in enumerate(self.rows(table, skip=delivered), delivered):
            yield _Row(row[time_key], _RANKS.get(str(row.get("status")), 1), number, table, row)

    def _read(self) -> dict[str, int]:
        if not self._delivered_path.exists():
            return dict.fromkeys(_FUNCTIONS, 0)
        found = read_json(self._delivered_path)
        counts = {
            key: count
            for key, count in (found.items() if isinstance(found, dict) else ())
            if key in _FUNCTIONS and isinstance(count, int) and count >= 0
        }
        if counts.keys() != _FUNCTIONS.keys():
            raise InputError.at(
                self._delivered_path,
                expected="how many rows of each table the control plane was told of",
                seen="something else",
                remedy="delete the file: then all rows are delivered once more",
            )
        return counts


def deployment_arguments(row: dict[str, Any]) -> dict[str, Any]:
    """Return with which arguments the control plane is told of a row of `l402GatewayDeployments`."""
    arguments = {key: row[key] for key in _DEPLOYMENT_KEYS.split()} | row["diagnostics"]
    return {key: value for key, value in arguments.items() if value is not None}


def _event_arguments(row: dict[str, Any]) -> dict[str, Any]:
    metadata = row["metadata"]
    return {
        **{key: row[key] for key in _EVENT_KEYS},
        **{key: metadata[key] for key in ("deploymentId", "configHash", "executionPath")},
        "metadata": {**metadata, "eventId": row["eventId"]},
    }
