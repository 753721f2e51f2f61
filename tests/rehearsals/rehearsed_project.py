"""The rehearsals of runbook 1 in a project of their own, and a run of them as one value to compare."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]

RUNBOOK = "observability"

INI = """\
[tool.pytest]
testpaths = ["rehearsals"]
filterwarnings = ["error"]
addopts = [
    "-p", "no:cacheprovider",
    # Other people's plugins, which cost more to start than a run takes.
    "-p", "no:respx", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:benchmark",
]
"""


@dataclass(frozen=True)
class Rehearsed:
    """How one run of the rehearsals ended; `document` is what it left for machines."""

    exit: int
    document: dict[str, Any] = field(repr=False)
    output: str = field(repr=False)
    folder: Path

    @property
    def verdict(self) -> str:
        return str(self.document["verdict"])

    def rehearsal(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.document["rehearsals"] if entry["id"] == name)

    def evidence(self) -> dict[str, bytes]:
        """Every file of evidence by its path below the run folder; what names a run is not evidence."""
        root = self.folder / "evidence"
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def catalogue_of(*runbooks: str) -> dict[str, Any]:
    """The repository's catalogue without the lines and rehearsals of every other runbook."""
    catalogue = yaml.safe_load((REPOSITORY / "rehearsals" / "catalogue.yaml").read_text())
    catalogue["runbooks"] = {runbook: catalogue["runbooks"][runbook] for runbook in runbooks}
    catalogue["rehearsals"] = [entry for entry in catalogue["rehearsals"] if entry["runbook"] in runbooks]
    return dict(catalogue)


class RehearsedProject:
    """A copy of the rehearsals, by default of runbook 1, below `pytester`'s folder: change it, run it."""

    def __init__(self, pytester: pytest.Pytester, *runbooks: str) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.output = self.root / "output"
        self.write("pyproject.toml", INI)
        self.runbooks = runbooks or (RUNBOOK,)
        for runbook in self.runbooks:
            folder = runbook.replace("-", "_")
            shutil.copytree(
                REPOSITORY / "rehearsals" / folder,
                self.root / "rehearsals" / folder,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        catalogue = catalogue_of(*self.runbooks)
        self.write("rehearsals/catalogue.yaml", yaml.safe_dump(catalogue, sort_keys=False))

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, *args: str, workers: int = 0) -> Rehearsed:
        """Run `pytest -m rehearsal` in this process, with `workers` as processes of their own."""
        wire = ("-n", str(workers)) if workers else ()
        return self.end(self.pytester.runpytest_inprocess("-m", "rehearsal", *wire, *args))

    def run_process(self, *args: str) -> Rehearsed:
        """Run `pytest -m rehearsal` in a process of its own."""
        return self.end(self.pytester.runpytest_subprocess("-m", "rehearsal", *args, timeout=300))

    def end(self, result: pytest.RunResult) -> Rehearsed:
        """Read what a run left, and put its folder aside: the next run must not find it."""
        output = "\n".join([*result.outlines, *result.errlines])
        signoff = self.output / "signoff"
        assert signoff.is_dir(), output
        folders = [place for place in signoff.iterdir() if place.is_dir() and place.name != "previous"]
        assert len(folders) == 1, output
        folder = folders[0].rename(self.root / f"run-{len(list(self.root.glob('run-*'))) + 1}")
        (document,) = (
            folder / f"{kind}.json"
            for kind in ("signoff", "refusal", "drill")
            if (folder / f"{kind}.json").is_file()
        )
        return Rehearsed(int(result.ret), json.loads(document.read_text()), output, folder)
