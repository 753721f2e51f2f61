"""Decides which artifacts of a run appear where the runbooks look for them, outside the run's own folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_l402.plugin.node import ARTIFACTS

if TYPE_CHECKING:
    from pytest_l402.plugin.settings import Settings
    from pytest_l402.signoff.document_model import SignOffDocument


def publish_artifacts(run_folder: Path, document: SignOffDocument, settings: Settings) -> tuple[Path, ...]:
    """Copy each node's `artifacts/**` to the artifact folder, file by file through a temporary name.

    The copy is made once, by one process, in the order of the catalogue. Of two nodes that leave the same
    path the first one's is taken, with everything else in its folder, so that no folder mixes two stories.
    Nothing is copied to where verdicts are: those no test writes.
    Returns the paths written. Raises `OSError`.
    """
    from pytest_l402.boundary import write_whole

    owners: dict[PurePosixPath, str] = {}
    written = []
    for rehearsal in document.rehearsals:
        for node in rehearsal.nodes:
            for entry in node.evidence:
                path = PurePosixPath(entry.path)
                if ARTIFACTS not in path.parts:
                    continue
                inside = PurePosixPath(*path.parts[path.parts.index(ARTIFACTS) + 1 :])
                # A file at the top stands for itself; one in a folder belongs to the story of that folder.
                story = inside if len(inside.parts) == 1 else inside.parent
                if owners.setdefault(story, node.nodeid) != node.nodeid:
                    continue
                target = settings.artifact_dir / inside
                if target.is_relative_to(settings.signoff_dir):
                    continue
                write_whole(target, (run_folder / path).read_bytes())
                written.append(target)
    return tuple(written)
