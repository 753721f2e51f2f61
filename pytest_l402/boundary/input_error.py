"""Decides how a file or text that cannot be used is refused: in one line that names the thing."""

from __future__ import annotations

import os
from typing import Self

from pytest_l402.boundary.redaction import redact_text
from pytest_l402.boundary.text_safety import printable, quoted, tagless

_MESSAGE_LIMIT = 1200


class InputError(ValueError):
    """A file or text from outside cannot be used; its text is one line, safe to print, with secrets redacted.

    Made by `at`, it reads `file:line: field: expected …, saw …; what to do` and holds these as attributes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(redact_text(message), _MESSAGE_LIMIT))
        self.source: str | None = None
        self.line: int | None = None
        self.field: str | None = None
        self.expected: str | None = None
        self.seen: str | None = None

    @classmethod
    def at(
        cls,
        source: str | os.PathLike[str],
        *,
        expected: str,
        seen: str,
        line: int | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> Self:
        """Return the error of one place in one file; `line` counts from 1, `field` is a dotted path."""
        name = tagless(printable(os.fspath(source), 400))
        where = name if line is None else f"{name}:{line}"
        named = f"{where}: {quoted_field(field)}" if field else where
        advice = f"; {remedy}" if remedy else ""
        error = cls(f"{named}: expected {expected}, saw {seen}{advice}")
        error.source, error.line = name, line
        error.field = quoted_field(field) if field else None
        error.expected, error.seen = expected, printable(redact_text(seen))
        return error


def quoted_field(field: str) -> str:
    """Return a dotted path from a foreign document as it may be shown: keys of it may hold anything."""
    return quoted(redact_text(field), 120)[1:-1]
