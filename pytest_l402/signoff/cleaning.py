"""Decides what any text must go through before it reaches a file or a report: secrets out first, then control characters."""

from __future__ import annotations

from pytest_l402.contract.redaction import redact_text
from pytest_l402.contract.text_safety import printable


def clean_text(text: str) -> str:
    """Return `text` without secrets and without characters that steer a terminal or a reader's eye.

    Redaction comes first, so that an escape sequence in the middle of a token cannot be what hides it from the redaction
    twice: the printable form is redacted once more.
    """
    return redact_text(printable(redact_text(text)))
