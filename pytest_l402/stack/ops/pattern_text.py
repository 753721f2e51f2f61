"""Decides how the text of a pattern is taken: whether it is a regexp, and what its own anchors mean."""

from __future__ import annotations

import re

from .go_regexp import parse_go_regexp
from .regexp_nodes import Choice

REGEXP_SIGNS = re.compile(r"[\\^$+?()\[\]{}|]")
"""What makes a pattern a regexp; `*` alone does not, and neither does a dot."""


class UnmatchableError(ValueError):
    """A pattern that no request can match by the time Aperture looks at it."""


def without_anchors(pattern: str) -> tuple[str, str | None]:
    """Return a regexp without the anchors at its ends, and a warning when it had only one of the two."""
    if not pattern.startswith("^") and not pattern.endswith("$"):
        return pattern, None
    if isinstance(parse_go_regexp(pattern), Choice):
        # An anchor belongs to one option only, and matching the whole makes it say nothing.
        return pattern, None
    starts = pattern.startswith("^")
    body = pattern.removeprefix("^")
    ends = body.endswith("$") and (len(body) - 1 - len(body[:-1].rstrip("\\"))) % 2 == 0
    body = body[:-1] if ends else body
    if starts != ends:
        return body, "it is anchored on one side only, but always has to match the whole"
    return body, None
