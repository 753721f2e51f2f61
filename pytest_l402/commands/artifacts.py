"""Where a command leaves its artifacts, and that those of an earlier run are never taken for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

from pytest_l402.boundary import folder_name
from pytest_l402.commands.arguments import DEFAULT_FOLDER
from pytest_l402.commands.bad_input import Failed, shown
from pytest_l402.ops.earlier_artifacts import FOLDER, FULL_FLOW, SUMMARY, move_earlier_aside, remove_previous

Rows: TypeAlias = Sequence[Mapping[str, Any]]

EVENTS: Final = "events.jsonl"


class ArtifactFolder:
    """The folder of one run, `<artifact dir>/lightning-ops/<kind>/<request id>/`.

    Whatever an earlier run of the same id has left there is removed first, so that a run which is killed
    leaves nothing that could be mistaken for its own.
    """

    def __init__(self, artifact_dir: Path, kind: str, request_id: str) -> None:
        self.path = artifact_dir / FOLDER / kind / folder_name(request_id)
        with writing(self.path):
            remove_previous(artifact_dir, kind, self.path.name)
            for stale in self.path.glob("*") if self.path.is_dir() else ():
                if stale.is_file():
                    stale.unlink()

    def leave(self, document: Mapping[str, Any], **files: tuple[str, str | Rows]) -> dict[str, Any]:
        """Write files, a text as it is, rows as JSON Lines, and last `summary.json`; return what that holds.

        It names each path by the file's keyword: `recordsPath` for `records`.

        Raises:
            Failed: a file could not be written; the document is told all the same.
        """
        from pytest_l402.boundary.whole_files import write_document, write_lines, write_text

        names = {key: name for key, (name, _) in files.items()} | {"summary": SUMMARY}
        paths = {f"{key}Path": (self.path / name).as_posix() for key, name in names.items()}
        whole = {**document, "artifacts": {"artifactDir": self.path.as_posix(), **paths}}
        with writing(self.path, document):
            for name, content in files.values():
                if isinstance(content, str):
                    write_text(self.path / name, content)
                else:
                    write_lines(self.path / name, content)
            write_document(self.path / SUMMARY, whole)
        return whole


_KINDS: Final = {
    "smoke:compile": "compile",
    "smoke:security": "security",
    "smoke:settlement": "settlement",
    "smoke:staging": "staging",
    "smoke:observability": "observability",
    "smoke:full-flow": FULL_FLOW,
    "reconcile": "reconcile",
    "reconcile:convex": "reconcile",
}


def make_way(command: str, artifact_dir: str | None) -> None:
    """Move the artifacts of earlier runs of a command aside, so that none is taken for those of this run.

    It is done before anything is checked: a run that is refused leaves none. A folder that cannot be one has
    none; why it cannot is told by who checks it.

    Raises:
        Failed: they could not be moved.
    """
    kind = _KINDS.get(command)
    if kind is None or (artifact_dir is not None and (not artifact_dir.strip() or "\0" in artifact_dir)):
        return
    folder = DEFAULT_FOLDER if artifact_dir is None else Path(artifact_dir)
    loose = (SUMMARY, EVENTS) if kind == FULL_FLOW and artifact_dir is not None else ()
    with contextlib.suppress(RuntimeError):
        folder = folder.expanduser()
    if folder.is_dir():
        with writing(folder):
            move_earlier_aside(folder, kind, loose=loose)


def make_way_for_refused(arguments: Sequence[str]) -> None:
    """Do the same where arguments could not be read, as far as they name the command and its folder."""
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    named = [argument.partition("=")[2] for argument in arguments if argument.startswith("--artifact-dir=")]
    named += [value for flag, value in pairwise(arguments) if flag == "--artifact-dir"]
    for folder in named or (None,):
        make_way(command, folder)


@contextmanager
def writing(folder: Path, document: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Tell of what cannot be written inside the block; `document` is what is lost with it.

    Raises:
        Failed: something could not be written.
    """
    try:
        yield
    except OSError as error:
        raise Failed(
            f"artifacts: expected to write to {shown(folder)}, saw {error.strerror or error}; make room, or "
            "name another folder with --artifact-dir",
            "artifacts_not_written",
            document,
        ) from None
