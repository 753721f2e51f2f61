"""The pages say what is so: each listing is written, each command run, each answer compared.

To take a changed answer over into the pages: `L402_DOCS=rewrite pytest tests/test_docs.py`, then read the diff.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from doc_pages import PAGES, REPOSITORY, Command, Page, corrected, mismatch, read_page

REWRITE = os.environ.get("L402_DOCS") == "rewrite"

INI = """\
[tool.pytest]
testpaths = ["rehearsals"]
filterwarnings = ["error"]
"""

# Other people's plugins, which cost more to start than a run takes, and a cache that nobody reads.
ADDOPTS = "-p no:cacheprovider -p no:respx -p no:anyio -p no:hypothesispytest -p no:benchmark"

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_SECONDS = re.compile(r"\b\d+\.\d+s( \(\d+:\d\d:\d\d\))?")
_RULE = re.compile(r"={3,}")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass
class Project:
    """A folder of its own in which the commands of one page are run."""

    root: Path
    last_exit: int = 0
    transcript: list[str] = field(default_factory=list)

    def run(self, command: str) -> tuple[str, ...]:
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTEST_"))
        }
        environ |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": ADDOPTS,
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.last_exit}); {command}"],
            cwd=self.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        self.last_exit = done.returncode
        self.transcript += [f"$ {command}", done.stdout]
        return tuple(done.stdout.replace(str(self.root), "/home/you/shop").splitlines())


def _plain(line: str) -> str:
    line = _RUN_ID.sub("<run>", line)
    return _RULE.sub("===", _SECONDS.sub("<time>", line)).rstrip()


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which every rehearsal has just been run; nobody changes it."""
    project = _with_rehearsals(tmp_path_factory.mktemp("rehearsed"))
    project.run("pytest -m rehearsal")
    return project


def _with_rehearsals(root: Path) -> Project:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "rehearsals", root / "rehearsals", ignore=ignored)
    (root / "pyproject.toml").write_text(INI)
    return Project(root)


def _project_of(page: Page, root: Path, request: pytest.FixtureRequest) -> Project:
    match page.project:
        case "empty":
            return Project(root)
        case "rehearsals":
            return _with_rehearsals(root)
        case "rehearsed":
            done: Project = request.getfixturevalue("rehearsed")
            shutil.copytree(done.root, root, dirs_exist_ok=True)
            return Project(root)
    raise ValueError(f"{page.name}: there is no project {page.project!r}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_does_what_it_says(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    page = read_page(path)
    root = tmp_path / "shop"
    root.mkdir()
    project = _project_of(page, root, request)
    wrong: list[tuple[Command, tuple[str, ...], str]] = []
    for step in page.steps:
        if step.removes is not None:
            (root / step.removes).unlink()
        elif step.file is not None:
            file = root / step.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step.text, encoding="utf-8")
        for command in step.commands:
            seen = project.run(command.text)
            expected = tuple(_plain(line) for line in command.expected)
            missing = mismatch(expected, tuple(_plain(line) for line in seen))
            if missing is not None:
                wrong.append((command, seen, f"{page.name}:{command.start}: $ {command.text}\n  no: {missing}"))
    if REWRITE:
        _rewrite(path, [(command, seen) for command, seen, _ in wrong])
    said = "\n\n".join([what for _, _, what in wrong])
    assert not wrong, f"{said}\n\n" + "\n".join(project.transcript)


def _rewrite(path: Path, changes: list[tuple[Command, tuple[str, ...]]]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for command, seen in reversed(changes):
        lines[command.start - 1 : command.end - 1] = corrected(command.expected, seen)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
