"""Decides how long a line for people is, and where a longer one is broken."""

from __future__ import annotations

import textwrap
from typing import Final

WIDTH: Final = 100
"""How many columns a line for people has at the most."""


def in_columns(text: str, before: str = "", *, hanging: int = 12, whole_words: bool = False) -> list[str]:
    """Return the text in lines of at most `WIDTH` characters: the first begins with `before`, further ones
    with `hanging` blanks.

    With `whole_words` a word that is longer than a line, such as a path, is not broken, so that it can be
    copied.
    """
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=before,
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
        break_long_words=not whole_words,
    )
    return lines or [before.rstrip()]
