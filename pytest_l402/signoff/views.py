"""Decides which files beside its document show what it says of a run, and refuses to write those that do not
count alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pytest_l402.signoff.badge import badge_bytes
from pytest_l402.signoff.comment import render_comment
from pytest_l402.signoff.ctrf import ctrf_bytes
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.manifest import MANIFEST
from pytest_l402.signoff.markdown import render_markdown
from pytest_l402.signoff.page import render_page
from pytest_l402.signoff.reconciled import check_alike
from pytest_l402.signoff.run_files import ATTESTATIONS

COMMENT: Final = "comment.md"
CTRF: Final = "ctrf.json"
BADGE: Final = "badge.json"

PAGES: Final = tuple(f"{kind}.{suffix}" for kind in DocumentKind for suffix in ("html", "md"))
"""Every name that a page of some verdict may have."""

VIEWS: Final = (*PAGES, COMMENT, CTRF, BADGE)
"""Every name that a view of some verdict may have."""

WRITTEN: Final = (*(f"{kind}.json" for kind in DocumentKind), *VIEWS, *ATTESTATIONS, MANIFEST)
"""Every file that the end of a run may write; nothing else writes one."""


def views_of(document: SignOffDocument, folder: Path) -> dict[str, bytes]:
    """Return the views of a document by name; its evidence lies below `folder`.

    The same bytes for the same document and evidence. Raises `UnlikeError` if one of them counts otherwise.
    """
    page = f"{document.kind}.html"
    views = {
        page: render_page(document, folder).encode(),
        f"{document.kind}.md": render_markdown(document, page=page).encode(),
        COMMENT: render_comment(document).encode(),
        CTRF: ctrf_bytes(document),
        BADGE: badge_bytes(document),
    }
    check_alike(document, views)
    return views
