"""How a command ends without an outcome: refused before it began, or failed on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class _CommandError(Exception):
    """One line without secrets; `code` is stable and becomes `failureCode`, `more` are further keys."""

    def __init__(self, message: str, code: str = "bad_input", more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.more = more or {}


class BadInput(_CommandError):  # noqa: N818 - the name of the condition
    """Arguments, environment, a file or a deployed system cannot be used; nothing was begun."""


class Failed(_CommandError):  # noqa: N818 - the name of the condition
    """What was asked for is not true."""


def plain(text: str) -> str:
    """Return the text on one line, with whatever could colour, hide or turn round what is shown escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown(value: object) -> str:
    """Return a value from outside as a message may hold it: short and quoted."""
    text = str(value)
    return plain(repr(text if len(text) <= 80 else text[:80] + "..."))
