"""Decides how the control API answers with another status than 200, and what it says of an unknown run."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pytest_l402.harness.json_app import Refused
from pytest_l402.workflow.worker.books import Books

Document = dict[str, Any]


class Answered(Exception):  # noqa: N818 - an answer, not an error
    """A request is answered with a status that is not 200, or with a document of its own."""

    def __init__(self, status: int, document: Document) -> None:
        super().__init__(status)
        self.status = status
        self.document = document


def status_of(books: Books, connection: sa.Connection, wid: str) -> str:
    """Return the status of a run; raises `Refused` 404 for one that there is not."""
    found = books.rows(
        connection, "SELECT status FROM {engine}workflow_status WHERE workflow_uuid = :wid", wid=wid
    )
    if not found:
        raise Refused(404, "workflow_not_found")
    return str(found[0]["status"])
