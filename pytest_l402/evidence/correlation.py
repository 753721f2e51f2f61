"""Decides which records belong together: the portable SQL of `correlation.sql`, run over rows by sqlite3."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pytest_l402.contract import REQUIRED_KEYS, RecordFault, record_faults
from pytest_l402.evidence.tables import Row


@dataclass(frozen=True, slots=True)
class InvalidRecord:
    """A record that breaks the contract: its index, the request it names (None if unreadable), its faults."""

    index: int
    request_id: str | None
    faults: tuple[RecordFault, ...]


@dataclass(frozen=True, slots=True)
class Correlation:
    """The model's answer: one story a request, one audit a proof, and what could not be used.

    Keys are the columns of `request_story` and `proof_audit` in `correlation.sql`; amounts are msats.
    `unattributable` counts the invalid records that name no request: each may be the one that seems absent.
    """

    requests: tuple[Mapping[str, Any], ...]
    proofs: tuple[Mapping[str, Any], ...]
    invalid: tuple[InvalidRecord, ...]
    unattributable: int


def correlation_sql() -> str:
    """The text of the model, for any other engine."""
    return _text()


def correlate(records: Sequence[Row], flows: Iterable[Mapping[str, Any]] = ()) -> Correlation:
    """Correlate observability records; `flows` are local-node flows as `flow_rows` makes them."""
    with correlated(records, flows) as (connection, invalid):
        return Correlation(
            requests=_rows(connection, "select * from request_story order by request_id"),
            proofs=_rows(connection, "select * from proof_audit order by proof_key"),
            invalid=invalid,
            unattributable=sum(1 for record in invalid if record.request_id is None),
        )


@contextmanager
def correlated(
    records: Sequence[Row], flows: Iterable[Mapping[str, Any]] = ()
) -> Iterator[tuple[sqlite3.Connection, tuple[InvalidRecord, ...]]]:
    """An in-memory database with the model's tables filled, and the records that were kept out of it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        invalid = _load(connection, records, flows)
        for statement in _statements():
            connection.execute(statement)
        yield connection, invalid
    finally:
        connection.close()


def flow_rows(artifact: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a local-node artifact says of its tasks: one row for each request id that a flow names."""
    rows = []
    flows = artifact.get("flows")
    for flow in flows if isinstance(flows, list) else []:
        if not isinstance(flow, dict):
            continue
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
    columns = [snake_case(key) for key in REQUIRED_KEYS]
    connection.execute(f"create table l402_records (line integer, {', '.join(columns)})")
    connection.execute("create table l402_violations (line integer, request_id text, payment_proof_ref text)")
    connection.execute(
        "create table l402_flows (request_id text, task_id text, task_status text, is_create integer)"
    )
    valid, invalid, doubts = [], [], []
    for index, record in enumerate(records):
        faults = record_faults(record)
        if faults:
            request_id, proof = _readable(record, "requestId"), _readable(record, "paymentProofRef")
            invalid.append(InvalidRecord(index, request_id, tuple(faults)))
            doubts.append((index, request_id, proof))
        else:
            valid.append((index, *(_cell(record[key]) for key in REQUIRED_KEYS)))
    marks = ", ".join("?" * (len(columns) + 1))
    connection.execute("begin")
    connection.executemany(f"insert into l402_records values ({marks})", valid)  # noqa: S608 - only marks go in
    connection.executemany("insert into l402_violations values (?, ?, ?)", doubts)
    connection.executemany(
        "insert into l402_flows values (:request_id, :task_id, :task_status, :is_create)",
        [
            {name: value if isinstance(value, int) else _plain(value) for name, value in row.items()}
            for row in flows
        ],
    )
    connection.execute("commit")
    return tuple(invalid)


def _readable(record: Any, key: str) -> str | None:
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) and value else None


def _cell(value: Any) -> Any:
    # The contract takes 1.0 for 1, as the emitters' JSON does; the model compares integers.
    return int(value) if isinstance(value, float) else value


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _rows(connection: sqlite3.Connection, query: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(dict(row) for row in connection.execute(query))


def snake_case(key: str) -> str:
    """The column of a contract key: `paymentProofRef` is `payment_proof_ref`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()


@cache
def _text() -> str:
    return files("pytest_l402.evidence").joinpath("correlation.sql").read_text(encoding="utf-8")


@cache
def _statements() -> tuple[str, ...]:
    bare = re.sub(r"--[^\n]*", "", _text())
    return tuple(statement.strip() for statement in bare.split(";") if statement.strip())
