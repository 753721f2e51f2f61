"""Decides what any text must go through before it reaches a file or a report: secrets out first, then
control characters.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, PlainSerializer

from pytest_l402.boundary.known_secrets import SHORT
from pytest_l402.boundary.redaction import is_harmless, redact_text
from pytest_l402.boundary.text_safety import printable

MAX_LINES: Final = 200
"""How many lines of one text are kept; the last of them says how many were left out."""

MAX_WIDTH: Final = 2000
"""How many characters of one line are kept."""


def clean_text(text: str) -> str:
    """Return `text` without secrets and without characters that steer a terminal or deceive a reader;
    newlines stay, but none at the end.

    A secret that is broken up by colour codes or invisible characters is looked for in the text without
    them. Applying it twice changes nothing more.
    """
    if len(text) <= SHORT and _is_clean(text):
        return text
    lines = redact_text(text).splitlines()
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], f"(and {len(lines) - MAX_LINES + 1} more lines)"]
    # A last line that is empty would be none to a second pass.
    return "\n".join(printable(line, MAX_WIDTH) for line in lines).rstrip("\n")


@lru_cache(maxsize=20_000)
def _is_clean(text: str) -> bool:
    return text.isprintable() and is_harmless(text)


CleanText = Annotated[str, AfterValidator(clean_text)]
"""The field of a document whose text is clean as soon as the document exists."""

CleanedWhenWritten = Annotated[str, PlainSerializer(clean_text, when_used="json")]
"""The field of what is still worked with: its text is raw until it is written as JSON."""


def flat(text: str) -> str:
    """Return cleaned text on one line, its line breaks shown as " / "."""
    return " / ".join(part.strip() for part in clean_text(text).splitlines() if part.strip())
