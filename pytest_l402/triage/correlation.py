"""Decides which records belong together: the portable SQL of `correlation.sql`, run over rows by sqlite3."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from operator import itemgetter
from typing import Any, Final

from pytest_l402.contract import REQUIRED_KEYS, Departure, record_departures
from pytest_l402.contract.rows import Row
from pytest_l402.triage.deny_reasons import meaning_sql
from pytest_l402.triage.record_row import RecordRow

CLOCK_SKEW_MS: Final = 600_000
"""How far the clocks of two machines may be apart, in milliseconds, before an order between them decides."""


@dataclass(frozen=True, slots=True)
class InvalidRecord:
    """A record that breaks the contract: its index, its request (None if unreadable), its departures."""

    index: int
    request_id: str | None
    departures: tuple[Departure, ...]


@cache
def correlation_sql() -> str:
    """The text of the model, for any other engine."""
    text = files("pytest_l402.triage").joinpath("correlation.sql").read_text(encoding="utf-8")
    meaning = meaning_sql("lower(trim(r.deny_reason))")
    return text.replace("{meaning}", meaning).replace("{skew_ms}", str(CLOCK_SKEW_MS))


@contextmanager
def correlated(
    records: Sequence[Row], flows: Iterable[Mapping[str, Any]] = ()
) -> Iterator[tuple[sqlite3.Connection, tuple[InvalidRecord, ...]]]:
    """An in-memory database with the model's tables filled, and the records that were kept out of it.

    The tables are empty again afterwards: read what is wanted of them inside the block.
    """
    connection = _database().connection
    if connection.in_transaction:
        raise RuntimeError("correlated() does not nest: read what is wanted, then leave the block")
    connection.execute("begin")
    try:
        invalid = _load(connection, records, flows)
        for table, query in _statements():
            connection.execute(f"insert into {table} {query}")
        yield connection, invalid
    finally:
        connection.execute("rollback")


class _Database:
    """The model's tables, empty; one a thread, as preparing the statements costs more than running them."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        columns = ", ".join(snake_case(key) for key in REQUIRED_KEYS)
        self.connection.execute(f"create table l402_records (line integer, {columns})")
        self.connection.execute(
            "create table l402_violations (line integer, request_id text, payment_proof_ref text)"
        )
        self.connection.execute(
            "create table l402_flows (request_id text, task_id text, task_status text, is_create integer)"
        )
        for table, query in _statements():
            self.connection.execute(f"create table {table} as select * from ({query}) limit 0")  # noqa: S608 - ours

    def __del__(self) -> None:
        self.connection.close()


_PER_THREAD = threading.local()


def _database() -> _Database:
    if not hasattr(_PER_THREAD, "database"):
        _PER_THREAD.database = _Database()
    database: _Database = _PER_THREAD.database
    return database


def flows_of(artifact: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The flows of a local-node artifact, whatever else may stand among them left out."""
    flows = artifact.get("flows")
    return [flow for flow in flows if isinstance(flow, dict)] if isinstance(flows, list) else []


def flow_rows(artifact: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a local-node artifact says of its tasks: one row for each request id that a flow names."""
    rows = []
    for flow in flows_of(artifact):
        created = flow.get("createRequestId")
        for request_id in flow_request_ids(flow):
            rows.append(
                {
                    "request_id": request_id,
                    "task_id": flow.get("taskId"),
                    "task_status": flow.get("taskStatus"),
                    "is_create": int(request_id == created),
                }
            )
    return rows


def flow_request_ids(flow: Mapping[str, Any]) -> tuple[str, ...]:
    """Every request id by which a local-node flow can be found, without repeats."""
    transitions = flow.get("transitionRequestIds")
    records = flow.get("observabilityRecords")
    ids = [flow.get("createRequestId"), *(transitions if isinstance(transitions, list) else [])]
    ids += (
        [record.get("requestId") for record in records if isinstance(record, dict)]
        if isinstance(records, list)
        else []
    )
    return tuple(
        dict.fromkeys(request_id for request_id in ids if isinstance(request_id, str) and request_id)
    )


def _load(
    connection: sqlite3.Connection, records: Sequence[Row], flows: Iterable[Mapping[str, Any]]
) -> tuple[InvalidRecord, ...]:
    valid, invalid, doubts = [], [], []
    for index, record in enumerate(records):
        if type(record) is RecordRow:
            valid.append((index, *record.cells))
            continue
        departures = record_departures(record)
        if departures:
            request_id, proof = _readable(record, "requestId"), _readable(record, "paymentProofRef")
            invalid.append(InvalidRecord(index, request_id, tuple(departures)))
            doubts.append((index, request_id, proof))
        else:
            cells = _CELLS(record)
            # The contract takes 1.0 for 1, as the emitters' JSON does; the model compares integers.
            whole = float in map(type, cells)
            valid.append((index, *(map(_whole, cells) if whole else cells)))
    marks = ", ".join("?" * (len(REQUIRED_KEYS) + 1))
    connection.executemany(f"insert into l402_records values ({marks})", valid)  # noqa: S608 - only marks go in
    connection.executemany("insert into l402_violations values (?, ?, ?)", doubts)
    connection.executemany(
        "insert into l402_flows values (:request_id, :task_id, :task_status, :is_create)",
        [
            {name: value if isinstance(value, int) else _plain(value) for name, value in row.items()}
            for row in flows
        ],
    )
    return tuple(invalid)


def _readable(record: Any, key: str) -> str | None:
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) and value else None


_CELLS: Final = itemgetter(*REQUIRED_KEYS)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def snake_case(key: str) -> str:
    """The column of a contract key: `paymentProofRef` is `payment_proof_ref`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()


@cache
def _statements() -> tuple[tuple[str, str], ...]:
    bare = re.sub(r"--[^\n]*", "", correlation_sql())
    found = re.findall(r"create table (\w+) as\s(.+?);", bare, re.DOTALL)
    return tuple((table, query.strip()) for table, query in found)
