"""Decides which records belong together: the portable SQL of `correlation.sql`, and what it reads."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from operator import itemgetter
from typing import Any, Final, Protocol

from pytest_l402.contract import REQUIRED_KEYS, record_departures
from pytest_l402.contract.rows import Row
from pytest_l402.triage.deny_reasons import meaning_sql
from pytest_l402.triage.rules import RULES, Domain

CLOCK_SKEW_MS: Final = 600_000
"""How far the clocks of two machines may be apart, in milliseconds, before an order between them decides."""


def snake_case(key: str) -> str:
    """The column of a contract key: `paymentProofRef` is `payment_proof_ref`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()


def _type(key: str) -> str:
    if key.endswith(("Ms", "Msats")):
        return "bigint"
    return "boolean" if key == "cacheHit" else "varchar"


RECORD_COLUMNS: Final = {snake_case(key): _type(key) for key in REQUIRED_KEYS}
"""The columns of `l402_records` after `line`, with their types."""

TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "l402_records": {"line": "bigint", **RECORD_COLUMNS},
    "l402_violations": {"line": "bigint", "request_id": "varchar", "payment_proof_ref": "varchar"},
    "l402_flows": {
        "request_id": "varchar",
        "task_id": "varchar",
        "task_status": "varchar",
        "is_create": "bigint",
    },
}
"""What is loaded before the model runs: columns and types of each table."""


class Engine(Protocol):
    """Whatever runs the model's SQL."""

    def rows(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[tuple[Any, ...]]:
        """Run a statement, with `?` for each parameter, and yield its rows."""


@cache
def correlation_sql() -> str:
    """The text of the model, for any other engine."""
    text = files("pytest_l402.triage").joinpath("correlation.sql").read_text(encoding="utf-8")
    meaning = meaning_sql("lower(trim(r.deny_reason))")
    return text.replace("{meaning}", meaning).replace("{skew_ms}", str(CLOCK_SKEW_MS))


@cache
def verdict_sql() -> str:
    """The rules as one portable SELECT over `request_story`, a row a request."""
    rules = "\n".join(f"      when {rule.when} then '{rule.name}'" for rule in RULES)
    domains = "\n".join(
        f"    when rule in ({', '.join(repr(rule.name) for rule in RULES if rule.domain is domain)}) "
        f"then '{domain}'"
        for domain in Domain
        if any(rule.domain is domain for rule in RULES)
    )
    told = "request_id, first_at_ms, last_at_ms, n_untimed, coalesce(paid_msats, 0)"
    return (
        f"select\n  request_id,\n  rule,\n  case\n{domains}\n    else null\n  end as domain,\n"
        "  first_at_ms,\n  last_at_ms,\n  n_untimed,\n  paid_msats\nfrom (\n"
        f"  select\n    {told} as paid_msats,\n    case\n{rules}\n      else null\n    end as rule\n"
        "  from request_story\n) judged"
    )


@cache
def statements() -> tuple[tuple[str, str], ...]:
    """Each table of the model in turn, the verdicts last, and the SELECT that fills it."""
    bare = re.sub(r"--[^\n]*", "", correlation_sql())
    found = re.findall(r"create table (\w+) as\s(.+?);", bare, re.DOTALL)
    return (*((table, query.strip()) for table, query in found), ("request_verdicts", verdict_sql()))


def definition(table: str, integer: str = "bigint") -> str:
    """The CREATE TABLE of what is loaded; `integer` is what the engine calls 64 bits."""
    columns = (f"{name} {kind.replace('bigint', integer)}" for name, kind in TABLES[table].items())
    return f"create table {table} ({', '.join(columns)})"


@contextmanager
def correlated(records: Sequence[Row], flows: Iterable[Mapping[str, Any]] = ()) -> Iterator[Engine]:
    """An in-memory database with the model's tables filled from a few records, lines counted from 0.

    The tables are empty again afterwards: read what is wanted of them inside the block.
    """
    database = _database()
    if database.connection.in_transaction:
        raise RuntimeError("correlated() does not nest: read what is wanted, then leave the block")
    database.connection.execute("begin")
    try:
        _load(database.connection, records, flows)
        for table, query in statements():
            database.connection.execute(f"insert into {table} {query}")
        yield database
    finally:
        database.connection.execute("rollback")


class _Database:
    """The model's tables, empty; one a thread, as preparing the statements costs more than running them."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for table in TABLES:
            self.connection.execute(definition(table, "integer"))
        for table, query in statements():
            self.connection.execute(f"create table {table} as select * from ({query}) limit 0")  # noqa: S608 - ours

    def rows(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters)

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


def _load(connection: sqlite3.Connection, records: Sequence[Row], flows: Iterable[Mapping[str, Any]]) -> None:
    valid, doubts = [], []
    for index, record in enumerate(records):
        if record_departures(record):
            doubts.append((index, readable(record, "requestId"), readable(record, "paymentProofRef")))
        else:
            valid.append((index, *whole_cells(record)))
    connection.executemany(insertion("l402_records"), valid)
    connection.executemany(insertion("l402_violations"), doubts)
    connection.executemany(insertion("l402_flows"), map(flow_cells, flows))


def insertion(table: str) -> str:
    """The INSERT of one row into a table that is loaded."""
    return f"insert into {table} values ({', '.join('?' * len(TABLES[table]))})"  # noqa: S608 - ours


def readable(record: Any, key: str) -> str | None:
    """The text that even a broken record has at a key; None if it is no text."""
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, str) and value else None


_CELLS: Final = itemgetter(*REQUIRED_KEYS)


def whole_cells(record: Row) -> tuple[Any, ...]:
    """The values of a valid record in the contract's order; 1.0 is the integer 1, as JSON has it."""
    cells: tuple[Any, ...] = _CELLS(record)
    # The model compares integers.
    return tuple(map(_whole, cells)) if float in map(type, cells) else cells


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def flow_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a row of `flow_rows` as `l402_flows` takes them."""
    return tuple(
        value if isinstance(value, int | str) else None for value in map(row.get, TABLES["l402_flows"])
    )
