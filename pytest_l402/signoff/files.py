"""Decides how a run's files reach the disk: whole or not at all, with the previous run moved aside first.

A file called `signoff.json` exists only where the verdict is SIGNED_OFF, so that even a gate that merely looks for the
file cannot be fooled. A full run that is refused leaves `refusal.json`, a partial run `drill.json`: the same schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_l402.signoff.document import SignOffDocument
from pytest_l402.signoff.results import NodeResult


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where the reports of one run are."""

    document: Path
    markdown: Path
    manifest: Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary name in the same folder, fsync, rename, fsync the folder; creates the folder."""
    raise NotImplementedError


def move_aside(signoff_folder: Path) -> tuple[Path, ...]:
    """Move every earlier run folder of `output/signoff/` to `output/signoff/previous/`; return where they are now."""
    raise NotImplementedError


def find_evidence_faults(run_folder: Path, nodes: Sequence[NodeResult]) -> tuple[str, ...]:
    """Return one sentence for each recorded evidence file that is missing or differs on disk (for `RunFacts`)."""
    raise NotImplementedError


def write_run(run_folder: Path, document: SignOffDocument) -> RunFiles:
    """Write `<kind>.json`, `<kind>.md` and, over every file of the folder, `SHA256SUMS`."""
    raise NotImplementedError
