"""Decides how the planes leave evidence: rows appended to named tables at the moment a thing happens."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_l402.harness.clock import Clock

if TYPE_CHECKING:
    from pytest_l402.contract import ObservabilityRecord

Row = dict[str, Any]


class Journal:
    """Append-only tables of rows, which hold references and digests, never a preimage, macaroon or key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tables: dict[str, list[Row]] = {}
        self._lock = threading.Lock()

    def emit(self, record: ObservabilityRecord) -> None:
        """Append an observability record to the table `records`, 19 keys in canonical order."""
        self.append("records", record.to_row())

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Append a copy of `row` to `table`; keys are camelCase and keep their order."""
        with self._lock:
            self._tables.setdefault(table, []).append(dict(row))

    def log(self, plane: str, request_id: str, text: str) -> None:
        """Append a log line that the request id finds by `oa_req=<id>`.

        Source: runbook observability, Correlation Workflow 1.
        """
        line = f"plane={plane} oa_req={request_id} {text}"
        self.append("logs", {"line": line, "plane": plane, "atMs": self._clock.now_ms()})

    def rows(self, table: str) -> tuple[Row, ...]:
        """Return copies of the rows of `table` in the order they were appended; an unknown table is empty."""
        with self._lock:
            return tuple(dict(row) for row in self._tables.get(table, ()))

    def table_names(self) -> tuple[str, ...]:
        """Return the names of the tables that hold rows, sorted."""
        with self._lock:
            return tuple(sorted(self._tables))
