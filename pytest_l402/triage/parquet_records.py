"""Decides where the records of a large export are kept: as Parquet, read by DuckDB in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.boundary import InputError
from pytest_l402.contract.rows import Row
from pytest_l402.triage.correlation import (
    RECORD_COLUMNS,
    TABLES,
    correlation_sql,
    snake_case,
    statements,
    verdict_sql,
)
from pytest_l402.triage.findings import as_told
from pytest_l402.triage.incident_rows import SourcedRow
from pytest_l402.triage.record_row import TEXT_KEYS, RecordRow
from pytest_l402.triage.record_store import RecordStore

if TYPE_CHECKING:
    import duckdb

KEPT: Final = ("l402_violations", "l402_flows", "l402_places", "l402_duplicates")
ANSWERS: Final = ("request_story", "request_verdicts")
ANSWERED: Final = "request_verdicts.parquet"
"""The last file that is written."""
TEXT_COLUMNS: Final = tuple(map(snake_case, TEXT_KEYS))
_PLACES: Final = {"number": "bigint", "file": "varchar", "line": "bigint"}
# What is read more than once from there takes less time and no memory to be read again from the records.
_VIEWS: Final = ("l402_facts",)
_AT_ONCE: Final = 50_000
# The model means blanks and the letters of ASCII; DuckDB's own functions know more of both.
_MACROS: Final = (
    "create macro trim(x) as ltrim(rtrim(x, ' '), ' ')",
    "create macro lower(x) as translate(x, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')",
)


def settings(memory_bytes: int, threads: int, scratch: str | None = None) -> dict[str, Any]:
    """What DuckDB is told: how much of the machine it may take, and to load nothing from anywhere."""
    told: dict[str, Any] = {
        "memory_limit": f"{max(memory_bytes // 1_000_000, 64)}MB",
        "threads": max(threads, 1),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return told | ({"temp_directory": scratch} if scratch else {})


class ParquetRecords:
    """Every record of an export by its number: those of `folder`, and the few of `rest`, read one by one.

    What DuckDB cannot do, as a disk is full or memory is short, is an `InputError`.
    """

    def __init__(
        self, folder: Path, scratch: Path, rest: RecordStore, memory_bytes: int, threads: int
    ) -> None:
        import duckdb

        self.folder = folder
        self.places = rest.places
        self.n_told_again = rest.n_told_again
        self._rest = rest
        self._n_records = 0
        self._scratch = scratch / "rest.jsonl"
        self._is_settled = False
        with refusing():
            self._connection = duckdb.connect(
                config=settings(memory_bytes, threads, str(scratch / "spilled"))
            )

    def settle(self) -> None:
        """Put together what was read, and run the model over it."""
        if self._is_settled:
            return
        self._is_settled = True
        self._write(
            "records/rest.parquet", TABLES["l402_records"], self._rest.rows("select * from l402_records")
        )
        for table in ("l402_violations", "l402_flows"):
            self._write(f"{table}.parquet", TABLES[table], self._rest.rows(f"select * from {table}"))  # noqa: S608 - ours
        self._write("l402_places.parquet", _PLACES, self.places.runs())
        with refusing():
            self._find_duplicates()
            prepare(self._connection, self.folder)
            for table, query in statements():
                kind = "view" if table in _VIEWS else "table"
                self._connection.execute(f"create {kind} {table} as {query}")
            ((self._n_records,),) = self._connection.execute("select count(*) from l402_records").fetchall()
            for table in ANSWERS:
                target = f"{_quoted(self.folder / table)}.parquet"
                self._connection.execute(f"copy (select * from {table} order by request_id) to '{target}'")  # noqa: S608 - ours

    def rows(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[tuple[Any, ...]]:
        """Run a statement over the model's tables, and yield its rows."""
        with refusing():
            cursor = self._connection.cursor()
            cursor.execute(sql, list(parameters))
            while some := cursor.fetchmany(1000):
                yield from some

    def holding(self, texts: Iterable[str]) -> list[int]:
        """The numbers of the records that hold one of some texts, the first of each column."""
        wanted, found = list(texts), set()
        for column in TEXT_COLUMNS if wanted else ():
            marks = ", ".join("?" * len(wanted))
            found |= {
                *self.rows(f"select line from l402_records where {column} in ({marks}) limit 1000", wanted)  # noqa: S608 - ours
            }
        return sorted(number for (number,) in found)

    def __len__(self) -> int:
        return self._n_records + self._rest.n_broken

    def __getitem__(self, number: int) -> SourcedRow:
        place = self.places[number]
        sql = f"select {', '.join(RECORD_COLUMNS)} from l402_records where line = ?"  # noqa: S608 - ours
        found = [*self.rows(sql, (number,))]
        row: Row = RecordRow(as_told(found[0])) if found else self._rest.broken_row(number)
        return SourcedRow(row, place.file, place.line, place.path)

    def __iter__(self) -> Iterator[SourcedRow]:
        for (number,) in self.rows("select line from l402_records order by line"):
            yield self[number]

    def broken(self) -> Iterable[Mapping[str, Any]]:
        """Those that break the contract, the first thousands of them."""
        return self._rest.broken()

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def _find_duplicates(self) -> None:
        """Note which records are told again: a hash that is there twice is that of one record."""
        columns = ", ".join(RECORD_COLUMNS)
        target = f"{_quoted(self.folder)}/l402_duplicates.parquet"
        self._connection.execute(
            f"create view hashed as select line, hash({columns}) as h "  # noqa: S608 - ours
            f"from read_parquet('{_quoted(self.folder)}/records/*.parquet')"
        )
        self._connection.execute(
            "copy (select line from (select line, row_number() over (partition by h order by line) as place "  # noqa: S608 - ours
            "from hashed where h in (select h from hashed group by h having count(*) > 1)) ranked "
            f"where place > 1) to '{target}'"
        )
        ((n_again,),) = self._connection.execute(f"select count(*) from read_parquet('{target}')").fetchall()  # noqa: S608 - ours
        self.n_told_again += int(n_again)

    def _write(self, name: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows as Parquet, by way of JSON, which DuckDB reads faster than it takes objects."""
        types = ", ".join(f"'{column}': '{kind}'" for column, kind in columns.items())
        # DuckDB takes four times as much for each of its buffers.
        longest = 1 << 20
        with refusing():
            with self._scratch.open("w", encoding="utf-8") as file:
                remaining = iter(rows)
                while some := [*islice(remaining, _AT_ONCE)]:
                    told = [json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in some]
                    file.writelines(told)
                    longest = max(longest, *map(len, told))
            self._connection.execute(
                f"copy (select * from read_json(?, format = 'newline_delimited', columns = {{{types}}}, "  # noqa: S608 - ours
                f"maximum_object_size = {longest})) to '{_quoted(self.folder / name)}'",
                [str(self._scratch)],
            )
            self._scratch.unlink()


def prepare(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the tables that the model reads, of what was kept in a folder."""
    for macro in _MACROS:
        connection.execute(macro)
    kept = _quoted(folder)
    for table in KEPT:
        connection.execute(f"create view {table} as select * from read_parquet('{kept}/{table}.parquet')")  # noqa: S608 - ours
    ((n_again,),) = connection.execute("select count(*) from l402_duplicates").fetchall()
    once = " where line not in (select line from l402_duplicates)" if n_again else ""
    connection.execute(
        f"create view l402_records as select * from read_parquet('{kept}/records/*.parquet'){once}"  # noqa: S608 - ours
    )


def warehouse_sql() -> str:
    """The whole text for another engine: the model, then the verdicts, then the first screen."""
    return (
        f"{correlation_sql().rstrip()}\n\n"
        f"-- name: request_verdicts\ncreate table request_verdicts as\n{verdict_sql()};\n\n"
        "-- What failed, the most money first.\n"
        "select domain, rule, count(*) as requests, sum(paid_msats) as paid_msats,\n"
        "  min(first_at_ms) as since_ms\n"
        "from request_verdicts\nwhere domain <> 'healthy'\ngroup by domain, rule\n"
        "order by paid_msats desc, requests desc, rule;\n"
    )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


@contextmanager
def refusing() -> Iterator[None]:
    """Tell in one line what DuckDB, or the disk, refuses."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise InputError.at(
            "--memory",
            expected="enough for what was asked",
            seen=_first_line(error),
            remedy="give more, or fewer --workers",
        ) from None
    except (duckdb.Error, OSError) as error:
        raise InputError.at(
            "DuckDB",
            expected="files that can be written and read",
            seen=_first_line(error),
            remedy="free the disk, or name another folder with --parquet",
        ) from None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).partition("\n")[0]
