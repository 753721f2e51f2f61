"""Decides what a pattern is once it is read: nodes that match characters, in a row or in a choice."""

from __future__ import annotations

from dataclasses import dataclass

from .character_sets import CharSet


class PatternError(ValueError):
    """A pattern that Go's engine refuses, or that is not read here; `position` counts characters."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} at character {position + 1}")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    set: CharSet


@dataclass(frozen=True, slots=True)
class Text:
    """These characters, one after the other."""

    text: str


@dataclass(frozen=True, slots=True)
class Chain:
    """One part after the other; none at all matches the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of the options."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times; None has no bound."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition that takes no character: `^`, `$`, the same of lines with `m` before, `\\b`, `\\B`."""

    sign: str


Node = Text | Chars | Chain | Choice | Repeat | Assertion
