"""Decides where a command leaves its artifacts, and that those of an earlier run are never taken for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pytest_l402.contract import folder_name

BASE: Final = "lightning-ops"
SUMMARY: Final = "summary.json"


class ArtifactFolder:
    """The folder of one run, `<artifact dir>/lightning-ops/<kind>/<request id>/`, made with its first file.

    Whatever an earlier run of the same id has left there is removed first, so that a run which is killed
    leaves nothing that could be mistaken for its own. `paths` are those written so far.
    """

    def __init__(self, artifact_dir: Path, kind: str, request_id: str) -> None:
        self.path = artifact_dir / BASE / kind / folder_name(request_id)
        self.paths: dict[str, str] = {"artifactDir": self.path.as_posix()}
        for stale in self.path.glob("*") if self.path.is_dir() else ():
            if stale.is_file():
                stale.unlink()

    def document(self, key: str, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON document, whole or not at all. Raises `OSError`."""
        from pytest_l402.stack.artifact_files import write_document

        self._note(key, write_document(self.path / name, value))

    def lines(self, key: str, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write JSON Lines. Raises `OSError`."""
        from pytest_l402.stack.artifact_files import write_lines

        self._note(key, write_lines(self.path / name, rows))

    def text(self, key: str, name: str, value: str) -> None:
        """Write a text as it is. Raises `OSError`."""
        from pytest_l402.stack.artifact_files import write_text

        self._note(key, write_text(self.path / name, value))

    def summary(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Write `summary.json`, which is what the command prints, and return it. Raises `OSError`."""
        whole = {**value, "artifacts": {**self.paths, "summaryPath": (self.path / SUMMARY).as_posix()}}
        self.document("summaryPath", SUMMARY, whole)
        return whole

    def _note(self, key: str, path: Path) -> None:
        self.paths[key] = path.as_posix()
