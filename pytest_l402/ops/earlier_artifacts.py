"""Decides what becomes of artifacts that an earlier run left: out of the way before the next begins."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

FOLDER: Final = "lightning-ops"
"""The folder of the artifact folder that has one for each kind of run, and in that one for each run."""

FULL_FLOW: Final = "full-flow"
SUMMARY: Final = "summary.json"
HOSTED_SUMMARY: Final = "l402-hosted-full-flow-summary.json"
"""The summary of the full flow, where runbook observability redirects it to."""

PREVIOUS: Final = "previous"
KEPT: Final = 10
"""How many runs of a kind are kept in `lightning-ops/previous/`."""


def move_earlier_aside(artifact_dir: Path, kind: str, *, loose: tuple[str, ...] = ()) -> None:
    """Move what ended runs of a kind left to `lightning-ops/previous/<kind>/`: the last ten are kept there.

    `loose` names files of the artifact folder itself that such a run leaves. What has no summary stays: it is
    not ours, or goes on. Raises `OSError`.
    """
    previous = artifact_dir / FOLDER / PREVIOUS / kind
    names = (*loose, HOSTED_SUMMARY) if kind == FULL_FLOW else loose
    for file in (artifact_dir / name for name in names):
        if file.is_file() or file.is_symlink():
            previous.mkdir(parents=True, exist_ok=True)
            file.replace(previous / file.name)
    for run in _runs(artifact_dir / FOLDER / kind):
        previous.mkdir(parents=True, exist_ok=True)
        remove_previous(artifact_dir, kind, run.name)
        target = run.rename(previous / run.name)
        os.utime(target)
    by_age = sorted(_runs(previous), key=lambda run: run.stat().st_mtime_ns, reverse=True)
    for run in by_age[KEPT:]:
        if all(entry.is_file() for entry in run.iterdir()):
            shutil.rmtree(run)


def remove_previous(artifact_dir: Path, kind: str, name: str) -> None:
    """Remove what a run left that was moved aside, as one of its id takes its place. Raises `OSError`."""
    run = artifact_dir / FOLDER / PREVIOUS / kind / name
    if _is_run(run):
        shutil.rmtree(run)


def _runs(folder: Path) -> list[Path]:
    return [run for run in folder.iterdir() if _is_run(run)] if folder.is_dir() else []


def _is_run(folder: Path) -> bool:
    return (folder / SUMMARY).is_file() and not folder.is_symlink()
