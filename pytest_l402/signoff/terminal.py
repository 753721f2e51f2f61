"""Decides what the terminal section `l402 sign-off` says: words first, the verdict and the path last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_l402.signoff.document import SignOffDocument

Tone = Literal["good", "bad", "warn", "plain"]


@dataclass(frozen=True, slots=True)
class TerminalLine:
    """One line, at most as wide as asked for (paths excepted), and how to tint it."""

    text: str
    tone: Tone


def terminal_lines(document: SignOffDocument, *, width: int, path: str | None) -> tuple[TerminalLine, ...]:
    """Return the lines of the section; `path` is where the document is or will be, None if nothing is written."""
    raise NotImplementedError
