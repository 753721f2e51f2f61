"""Decides what a comment on a pull request says of a run; one comment is written anew for each run."""

from __future__ import annotations

from typing import Final

from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.markdown import render_markdown

MARKER: Final = "<!-- pytest-l402 sign-off -->"
"""The first line, by which the comment of an earlier run is found to be replaced."""

LIMIT: Final = 60_000
"""Bytes of UTF-8; GitHub refuses a comment of more than 65,536 characters."""


def render_comment(document: SignOffDocument) -> str:
    """Return the body of the comment; no link leads into a page that is not there."""
    return f"{MARKER}\n{render_markdown(document, limit=LIMIT - len(MARKER) - 1)}"
