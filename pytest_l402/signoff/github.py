"""Decides what a GitHub Actions run shows of a sign-off: at most ten annotations and a summary that is never dropped."""

from __future__ import annotations

from pathlib import Path

from pytest_l402.signoff.document import SignOffDocument


def annotations(document: SignOffDocument) -> tuple[str, ...]:
    """Return `::error …` command lines, ten at most, the last one counting those left out; none for a sign-off."""
    raise NotImplementedError


def append_step_summary(path: Path, document: SignOffDocument) -> None:
    """Append the Markdown report, capped, to the file that `$GITHUB_STEP_SUMMARY` names."""
    raise NotImplementedError
