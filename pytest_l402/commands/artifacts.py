"""Where a command leaves its artifacts, and that those of an earlier run are never taken for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary import folder_name
from pytest_l402.commands.bad_input import Failed, shown

BASE: Final = "lightning-ops"
SUMMARY: Final = "summary.json"


class ArtifactFolder:
    """The folder of one run, `<artifact dir>/lightning-ops/<kind>/<request id>/`.

    Whatever an earlier run of the same id has left there is removed first, so that a run which is killed
    leaves nothing that could be mistaken for its own. Files are written by `summary`, all of them.
    """

    def __init__(self, artifact_dir: Path, kind: str, request_id: str) -> None:
        self.path = artifact_dir / BASE / kind / folder_name(request_id)
        self._paths = {"artifactDir": self.path.as_posix()}
        self._writes: list[Callable[[], object]] = []
        with writing(self.path):
            for stale in self.path.glob("*") if self.path.is_dir() else ():
                if stale.is_file():
                    stale.unlink()

    def lines(self, key: str, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let a file of JSON Lines be written, whose path the document names by `key`."""
        from pytest_l402.boundary.artifact_files import write_lines

        self._writes.append(partial(write_lines, self._noted(key, name), tuple(rows)))

    def text(self, key: str, name: str, value: str) -> None:
        """Let a text be written as it is, whose path the document names by `key`."""
        from pytest_l402.boundary.artifact_files import write_text

        self._writes.append(partial(write_text, self._noted(key, name), value))

    def summary(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Write every file, and last `summary.json`, which is what the command prints; return that.

        Raises:
            Failed: a file could not be written; the document is told all the same.
        """
        from pytest_l402.boundary.artifact_files import write_document

        path = self._noted("summaryPath", SUMMARY)
        whole = {**value, "artifacts": self._paths}
        with writing(self.path, value):
            for write in self._writes:
                write()
            write_document(path, whole)
        return whole

    def _noted(self, key: str, name: str) -> Path:
        path = self.path / name
        self._paths[key] = path.as_posix()
        return path


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
