"""Decides how input that a command cannot use is refused: one line, exit code 2, nothing begun."""

from __future__ import annotations


class BadInput(ValueError):  # noqa: N818 - the name of the condition
    """Arguments, environment, a file or a deployed system cannot be used.

    The text is one line without secrets; `code` is stable and becomes `failureCode`.
    """

    def __init__(self, message: str, code: str = "bad_input") -> None:
        super().__init__(message)
        self.code = code
