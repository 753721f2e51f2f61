"""Decides how a sign-off reads as Markdown: the verdict first, nothing from the evidence able to act as markup."""

from __future__ import annotations

from pytest_l402.signoff.document import SignOffDocument


def render_markdown(document: SignOffDocument, *, limit: int | None = None) -> str:
    """Return the report; with `limit` (bytes of UTF-8) it is cut between blocks and says what was left out."""
    raise NotImplementedError
