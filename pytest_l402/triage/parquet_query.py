"""Decides what may be asked of kept Parquet: one SELECT, of that folder and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary import InputError, digest_reference, printable, redact_text, tagless
from pytest_l402.triage.parquet_records import ANSWERED, ANSWERS, KEPT, prepare, refusing, settings
from pytest_l402.triage.request_text import bare_preimages, short_proofs

_TABLES: Final = ("l402_records", *KEPT, *ANSWERS)
_WIDEST: Final = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and rows, with nothing secret in them; `is_whole` unless there are more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]
    is_whole: bool


def asked(sql: str, folder: Path, limit: int, memory_bytes: int) -> Answer:
    """Run a SELECT over what an audit has kept in a folder; at most `limit` rows are read.

    Raises:
        InputError: no such folder, no DuckDB, no SELECT, or one that cannot be run.
    """
    if find_spec("duckdb") is None:
        raise InputError.at(
            "query", expected="DuckDB", seen="no module of that name", remedy="install pytest-l402[audit]"
        )
    if not (folder / ANSWERED).is_file():
        raise InputError.at(
            folder,
            expected="a folder that an audit has kept",
            seen="none of its files",
            remedy="run pytest-l402 audit FILE --parquet DIR first",
        )
    import duckdb

    with refusing(), duckdb.connect(config=settings(memory_bytes, 2)) as connection:
        prepare(connection, folder)
        for table in ANSWERS:
            path = str(folder / table).replace("'", "''")
            connection.execute(f"create view {table} as select * from read_parquet('{path}.parquet')")  # noqa: S608 - ours
        connection.execute(
            f"set allowed_directories = ['{str(folder.resolve()).replace(chr(39), chr(39) * 2)}', '{folder}']"
        )
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            statements = connection.extract_statements(sql)
            kinds = [statement.type.name for statement in statements]
            if kinds not in (["SELECT"], ["EXPLAIN"]):
                saw = ", ".join(kinds) or "nothing"
                raise _refused("one SELECT, which changes nothing", saw, "ask for rows")
            cursor = connection.execute(statements[0])
            found = cursor.fetchmany(limit + 1)
            columns = tuple(name for name, *_ in cursor.description or ())
        except duckdb.OutOfMemoryException:
            raise
        except (duckdb.Error, RuntimeError, OverflowError) as error:
            tables = f"the tables are {', '.join(_TABLES)}"
            raise _refused("SQL that DuckDB can run", str(error).partition("\n")[0], tables) from None
    rows = tuple(tuple(_shown(cell) for cell in row) for row in found[:limit])
    return Answer(columns, rows, len(found) <= limit)


def table_of(answer: Answer) -> list[str]:
    """The rows as lines of a table."""
    told = [
        answer.columns,
        *(tuple("" if cell is None else str(cell) for cell in row) for row in answer.rows),
    ]
    cells = [[tagless(printable(cell, _WIDEST)) for cell in row] for row in told]
    widths = [max(len(row[place]) for row in cells) for place in range(len(answer.columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _refused(expected: str, seen: str, remedy: str) -> InputError:
    return InputError.at("SQL", expected=expected, seen=printable(redact_text(seen), 300), remedy=remedy)


def _shown(cell: Any) -> str | int | float | bool | None:
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    text = short_proofs(redact_text(str(cell)))
    for value in bare_preimages(text, (text,)):
        text = text.replace(value, digest_reference(value))
    return text
