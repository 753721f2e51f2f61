"""Decides how a run's files reach the disk: whole or not at all, with the previous run moved aside first.

A file called `signoff.json` exists only where the verdict is SIGNED_OFF, so that even a gate that merely
looks for the file cannot be fooled. A full run that is refused leaves `refusal.json`, a partial run
`drill.json`: the same schema.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_l402.boundary.whole_files import flush_folder, write_whole
from pytest_l402.signoff.document import document_bytes
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.manifest import MANIFEST, file_digest, manifest_bytes
from pytest_l402.signoff.markdown import render_markdown
from pytest_l402.signoff.results import NodeResult

PREVIOUS: Final = "previous"
"""The folder beside the run folders that holds the runs before the current one."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where the reports of one run are."""

    document: Path
    markdown: Path
    manifest: Path


def move_aside(signoff_folder: Path, *, keep: str | None = None) -> tuple[Path, ...]:
    """Move every ended run of `output/signoff/` to `output/signoff/previous/`; return where they are now.

    A folder without a document stays: its run is still going on, or died before it came to a verdict. `keep`
    names the folder of the current run, which stays. A name that is taken there gets a number: nothing is
    overwritten. Raises `OSError`.
    """
    if not signoff_folder.is_dir():
        return ()
    previous = signoff_folder / PREVIOUS
    staying = {PREVIOUS, keep}
    runs = sorted(
        entry
        for entry in signoff_folder.iterdir()
        if entry.name not in staying and entry.is_dir() and not entry.is_symlink() and _has_ended(entry)
    )
    moved = []
    for run in runs:
        previous.mkdir(exist_ok=True)
        target, number = previous / run.name, 2
        while target.exists():
            target, number = previous / f"{run.name}.{number}", number + 1
        run.rename(target)
        moved.append(target)
    if moved:
        flush_folder(previous)
        flush_folder(signoff_folder)
    return tuple(moved)


def find_evidence_faults(run_folder: Path, nodes: Sequence[NodeResult]) -> tuple[str, ...]:
    """Return one sentence for each recorded evidence file that is missing or differs on disk (for
    `RunFacts`).

    A node that ran and recorded no evidence file at all is a fault too: then there is nothing that its
    checks rest on.
    """
    faults = []
    for node in nodes:
        if not node.evidence_files and node.phases.get("call") == "passed":
            faults.append(f"{node.nodeid}: expected evidence files, saw none")
        for recorded in node.evidence_files:
            try:
                seen = file_digest(run_folder / recorded.path)
            except OSError as error:
                faults.append(
                    f"{recorded.path}: expected the evidence of {node.nodeid}, saw: {error.strerror or error}"
                )
                continue
            if seen != (recorded.sha256, recorded.bytes):
                faults.append(f"{recorded.path}: expected what {node.nodeid} wrote, saw other bytes")
    return tuple(faults)


def write_run(run_folder: Path, document: SignOffDocument) -> RunFiles:
    """Write `<kind>.md`, `<kind>.json` and, over every file of the folder, `SHA256SUMS`; return where they
    are.

    A document of another kind that an earlier attempt left in the folder is removed first. The manifest is
    written before the document, and what it lists is on the disk by then, so that a sign-off that exists is
    always a sign-off that can be checked.
    Raises `OSError`, and `ManifestError` for a folder that holds anything but files and folders.
    """
    files = RunFiles(
        document=run_folder / f"{document.kind}.json",
        markdown=run_folder / f"{document.kind}.md",
        manifest=run_folder / MANIFEST,
    )
    for kind in DocumentKind:
        for suffix in ("json", "md"):
            (run_folder / f"{kind}.{suffix}").unlink(missing_ok=True)
    data = document_bytes(document)
    # Evidence first, and all of it with one call: hundreds of small files, flushed one by one, take a quarter
    # of the time of the rehearsals.
    os.sync()
    write_whole(files.markdown, render_markdown(document).encode("utf-8"))
    write_whole(files.manifest, manifest_bytes(run_folder, {files.document.name: data}))
    write_whole(files.document, data)
    return files


def _has_ended(run_folder: Path) -> bool:
    return any((run_folder / f"{kind}.json").is_file() for kind in DocumentKind)
