"""Decides what a deployed workflow database says, by the names that its operator gives; it is only read."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from pytest_l402.boundary.strict_yaml import YamlError, read_yaml
from pytest_l402.boundary.yaml_entries import OneLine, YamlEntry, spelled, validated
from pytest_l402.evidence import Check, Part
from pytest_l402.evidence.system import When
from pytest_l402.harness.child_process import ChildProcessFailed
from pytest_l402.workflow.database import Database, DatabaseUnreadable
from pytest_l402.workflow.processes import EngineProcessFailed
from pytest_l402.workflow.rows import FORMS
from pytest_l402.workflow.standing import (
    identity_law,
    no_orphan_notification,
    receipts_unique,
    steps_left_artifacts,
)

Row = dict[str, Any]

_WAIT_S: Final = 5.0
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?"

Name = Annotated[OneLine, spelled(_NAME, "a name of a table, a view or a column")]


class Relation(YamlEntry):
    """A table or view, and which of its columns is which field of a row of evidence."""

    relation: Name
    columns: dict[str, Name]


class TablesFile(YamlEntry):
    """What an operator says of a deployed database: its tables by the names of the evidence.

    `workflow` is the name of the workflow that buys, `steps` the kind of artifact that each step leaves,
    `control` the URL of the control API, whose answer is the steady state.
    """

    version: Literal[1]
    workflow: OneLine
    price_msats: int
    control: OneLine | None = None
    steps: dict[str, str]
    tables: dict[str, Relation]


class TablesFileError(ValueError):
    """The file cannot be used; one line with its place in it."""


TROUBLES: Final = (DatabaseUnreadable, EngineProcessFailed, ChildProcessFailed, TablesFileError)
"""What can keep durable workflows from being rehearsed; each is told on one line."""

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "workflows": ("workflowID", "name", "status", "forkedFrom"),
    "runs": ("workflowID", "intentID", "forkedFrom"),
    "workflow_steps": ("workflowID", "functionName", "error"),
    "artifacts": ("workflowID", "stepID", "kind"),
    "notifications": ("workflowID", "topic", "consumed"),
    "receipts": ("workflowID", "amountMsats"),
}
"""The fields that the laws read, of each table that they read."""


def read_tables_file(path: Path) -> TablesFile:
    """Read the names; raises `TablesFileError` for a file that cannot be used, or that lacks a field."""
    try:
        document, _ = read_yaml(path)
        told = validated(TypeAdapter(TablesFile), document)
    except YamlError as error:
        raise TablesFileError(f"{path.name}: {error}") from None
    for table, fields in _NEEDED.items():
        columns = told.tables[table].columns if table in told.tables else {}
        lacking = [field for field in fields if field not in columns]
        if lacking:
            raise TablesFileError(
                f"{path.name}: tables.{table}: expected the columns {', '.join(fields)}, saw no "
                f"{lacking[0]}; name the table or a view that has them"
            )
    return told


class DeployedWorkflows:
    """Somebody's durable workflows, read only: the laws are held to what is there; a context manager.

    An empty table proves nothing, and fails the laws that read it.
    """

    name: Final = "deployed durable workflows"
    digest: Final = None

    def __init__(self, url: str, told: TablesFile) -> None:
        self._database = Database(url, foreign=True)
        self._told = told
        self.version = urlsplit(url).path.rpartition("/")[2] or "not told"

    def __enter__(self) -> Self:
        self._database.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._database.__exit__()

    def parts(self) -> Sequence[Part]:
        """Return that the workers are somebody's."""
        return (Part("workers", self.version),)

    def tables(self) -> Mapping[str, Iterable[Row]]:
        """Return the rows of each table that was named; raises `DatabaseUnreadable` for a wrong name."""
        return {table: self._rows(relation) for table, relation in self._told.tables.items()}

    def fields(self) -> Mapping[str, type[Any]]:
        """Return what the rows of each table are."""
        return {table: FORMS[table] for table in _NEEDED}

    def steady_state(self, when: When) -> Iterable[Row]:
        """Return whether the control API answers."""
        if self._told.control is None:
            return ()
        connection = http.client.HTTPConnection(urlsplit(self._told.control).netloc, timeout=_WAIT_S)
        try:
            connection.request("GET", "/api/ops/queue-depth")
            detail = str(connection.getresponse().status)
        except OSError as error:
            detail = f"no answer: {error}"
        finally:
            connection.close()
        return [{"when": when, "probe": "control API", "ok": detail == "200", "detail": detail}]

    def standing_checks(self) -> Sequence[Check]:
        """Return the laws that hold of every durable workflow, whoever runs it."""
        told = self._told
        return (
            identity_law(told.workflow),
            receipts_unique(told.price_msats),
            steps_left_artifacts(told.steps),
            no_orphan_notification(),
        )

    def _rows(self, relation: Relation) -> list[Row]:
        columns = ", ".join(f'{column} AS "{field}"' for field, column in relation.columns.items())
        try:
            rows = self._database.rows(f"SELECT {columns} FROM {relation.relation}")  # noqa: S608
        except Exception as error:  # of either driver
            seen = " ".join(str(error).split())
            raise DatabaseUnreadable(
                f"workflow database: expected {relation.relation} with its columns, saw {seen}; mend the "
                "tables file"
            ) from None
        return [{field: _plain(field, value) for field, value in row.items()} for row in rows]


def _plain(field: str, value: Any) -> Any:
    if field == "consumed":
        return bool(value)
    if field == "error":
        return None if value is None else "error"
    return value
