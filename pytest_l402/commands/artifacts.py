"""Where a command leaves its artifacts, and that those of an earlier run are never taken for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from pytest_l402.boundary import folder_name
from pytest_l402.commands.bad_input import Failed, shown

Rows: TypeAlias = Sequence[Mapping[str, Any]]

SUMMARY: Final = "summary.json"


class ArtifactFolder:
    """The folder of one run, `<artifact dir>/lightning-ops/<kind>/<request id>/`.

    Whatever an earlier run of the same id has left there is removed first, so that a run which is killed
    leaves nothing that could be mistaken for its own.
    """

    def __init__(self, artifact_dir: Path, kind: str, request_id: str) -> None:
        self.path = artifact_dir / "lightning-ops" / kind / folder_name(request_id)
        with writing(self.path):
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
