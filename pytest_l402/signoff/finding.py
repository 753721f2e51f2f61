"""Decides in which words a verification is told: what was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """Whether what was looked at holds."""

    HOLDS = "holds"
    """Nothing contradicts, and judging again gave the same."""
    CONTRADICTED = "contradicted"
    """Something in the folder contradicts another, judging again gave another answer, or it is over."""
    INCONCLUSIVE = "inconclusive"
    """Nothing speaks against it, and not all of it could be looked at."""
    ABSENT = "absent"
    """There is none, and nobody asked for one."""


class Aspect(StrEnum):
    """What is looked at in a run folder."""

    FILES = "files"
    VERDICT = "verdict"
    SIGNATURE = "signature"
    APPROVALS = "approvals"
    WINDOW = "window"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one aspect, with one sentence for each thing that was found."""

    aspect: Aspect
    answer: Answer
    sentences: tuple[str, ...] = ()


def overall(answers: Iterable[Answer]) -> Answer:
    """Return the answer of all together: what contradicts goes first, then what cannot be told."""
    found = {*answers}
    return next(
        (answer for answer in (Answer.CONTRADICTED, Answer.INCONCLUSIVE) if answer in found), Answer.HOLDS
    )
