"""The pages say what is so: each listing is written, each command run, each answer compared.

To put changed answers into the pages, run `L402_DOCS=rewrite pytest tests/test_docs.py -m ""`, then read
the diff.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from doc_pages import PAGES, REPOSITORY, Command, Page, corrected, mismatch, names_in, read_page

import pytest_l402

FAST_PAGES = ("configuration",)
"""The page that whoever runs the tests tries; the gate tries every page."""

REWRITE = os.environ.get("L402_DOCS") == "rewrite"

FAMILY = "observability"
RUNBOOK_PAGES = {
    FAMILY: "runbook-1-observability.md",
    "staging-reconcile": "runbook-2-staging-reconcile.md",
    "lightning-ops": "runbook-3-lightning-ops.md",
    "durable-workflow": "runbook-4-durable-workflow.md",
    "billing": "runbook-5-billing.md",
}
FULL_RUN = "pytest -m rehearsal"

# Other people's plugins, which cost more to start than a run takes, and a cache that nobody reads.
ADDOPTS = "-p no:cacheprovider -p no:respx -p no:anyio -p no:hypothesispytest -p no:benchmark -p no:valkey"

# Where these are set, pytest and this plugin answer for somebody's build machine, in other words.
OTHER_MACHINES = ("BUILD_NUMBER", "CI", "GITHUB_", "PYTEST_")

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
    answered: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    transcript: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)

    def run(self, command: str) -> tuple[str, ...]:
        if command in self.answered:
            self.last_exit, lines = self.answered.pop(command)
            self.transcript += [f"$ {command}", *lines]
            return lines
        before = self._files()
        environ = {name: value for name, value in os.environ.items() if not name.startswith(OTHER_MACHINES)}
        environ |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": ADDOPTS,
            "COLUMNS": "80",
            # How long a test takes is the machine's to say.
            "PYTEST_L402_PROGRESS": "0",
            "LC_ALL": "C.UTF-8",
        }
        with subprocess.Popen(
            ["bash", "-c", f"(exit {self.last_exit}); {command}"],
            cwd=self.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            self.groups.append(process.pid)
            try:
                answer, _ = process.communicate(timeout=300)
            finally:
                process.kill()
        self.last_exit = process.returncode
        if self._files() != before:
            self.answered.clear()
        self.transcript += [f"$ {command}", answer]
        return tuple(answer.replace(str(self.root), "/home/you/shop").splitlines())

    def _files(self) -> dict[Path, int]:
        """What there is, and when it was written: an answer holds for as long as that stays."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in files}

    def end(self) -> None:
        """End what the page has left running in the background."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)


def _plain(line: str) -> str:
    line = _RUN_ID.sub("<run>", line)
    return _RULE.sub("===", _SECONDS.sub("<time>", line)).rstrip()


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """Projects in each of which one family was rehearsed, when first asked for; nobody changes them."""

    @functools.cache
    def project_of(family: str) -> Project:
        root = tmp_path_factory.mktemp("rehearsed") / "shop"
        root.mkdir()
        project = _with_rehearsals(root, family)
        lines = project.run(FULL_RUN)
        project.answered |= {FULL_RUN: (project.last_exit, lines)}
        return project

    return project_of


def _with_rehearsals(root: Path, family: str) -> Project:
    """A project that rehearses one runbook, whatever else there is: each page is about that one."""
    project = Project(root)
    begin = f"pytest-l402 init --runbook {family}"
    lines = project.run(begin)
    # The page shows this as well, to whoever follows it.
    project.answered = {begin: (project.last_exit, lines)}
    return project


def _project_of(page: Page, root: Path, rehearsed: Callable[[str], Project]) -> Project:
    kind, _, family = page.project.partition("/")
    family = family or FAMILY
    match kind:
        case "empty":
            return Project(root)
        case "rehearsals":
            return _with_rehearsals(root, family)
        case "rehearsed":
            done = rehearsed(family)
            shutil.copytree(done.root, root, dirs_exist_ok=True)
            # A page that shows the run itself is not made to wait for another one like it.
            return Project(root, answered=dict(done.answered))
    raise ValueError(f"{page.name}: there is no project {page.project!r}")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if path.stem in FAST_PAGES else pytest.mark.slow, id=path.stem)
        for path in PAGES
    ],
)
def test_page_does_what_it_says(
    path: Path, tmp_path: Path, rehearsed: Callable[[str], Project], request: pytest.FixtureRequest
) -> None:
    page = read_page(path)
    if "l402_requests" in path.read_text(encoding="utf-8"):
        pytest.importorskip("l402_requests")
    root = tmp_path / "shop"
    root.mkdir()
    project = _project_of(page, root, rehearsed)
    request.addfinalizer(project.end)
    wrong: list[tuple[Command, tuple[str, ...], str]] = []
    for step in page.steps:
        if step.file is not None:
            project.answered.clear()
            file = root / step.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step.text, encoding="utf-8")
        for command in step.commands:
            seen = project.run(command.text)
            expected = tuple(_plain(line) for line in command.expected)
            missing = mismatch(expected, tuple(_plain(line) for line in seen))
            if missing is not None:
                wrong.append(
                    (command, seen, f"{page.name}:{command.start}: $ {command.text}\n  no: {missing}")
                )
    if REWRITE:
        _rewrite(path, [(command, seen) for command, seen, _ in wrong])
    said = "\n\n".join([what for _, _, what in wrong])
    transcript = "\n".join(project.transcript)
    assert not wrong, f"{said}\n\nif that is right now: L402_DOCS=rewrite\n\n{transcript}"


def _rewrite(path: Path, changes: list[tuple[Command, tuple[str, ...]]]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for command, seen in reversed(changes):
        lines[command.start - 1 : command.end - 1] = corrected(command.expected, seen)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("expected", "seen", "missing"),
    [
        pytest.param(("a", "b"), ("a", "b"), None, id="same"),
        pytest.param(("a",), ("a", "b"), "an end after line 1 of 2", id="more-is-wrong"),
        pytest.param(("a", "b"), ("a",), "b", id="less-is-wrong"),
        pytest.param(("...", "c"), ("a", "b", "c"), None, id="elided-before"),
        pytest.param(("a", "..."), ("a",), None, id="elided-nothing"),
        pytest.param(("...", "b"), ("b", "c"), "an end after line 1 of 2", id="the-end-is-held"),
        pytest.param(("a", "...", "b", "d"), ("a", "b", "c", "b", "d"), None, id="a-later-place-fits"),
        pytest.param(("x", "...", "b"), ("a", "b"), "x", id="the-beginning-is-held"),
        pytest.param(("id=...!",), ("id=7!",), None, id="elided-within"),
        pytest.param(("id=...!",), ("id=7",), "id=...!", id="elided-within-and-wrong"),
    ],
)
def test_answers_are_compared_to_the_end(expected, seen, missing):
    assert mismatch(expected, seen) == missing


def test_a_rewrite_keeps_what_was_elided():
    assert corrected(("a", "...", "t=...s"), ("a", "b", "c", "t=2s")) == ("a", "...", "t=...s")
    assert corrected(("a",), ("b", "c")) == ("b", "c")
    assert corrected(("...", "1 row", "...", "2 x"), ("b", "7 row", "c", "3 x")) == (
        "...",
        "7 row",
        "...",
        "3 x",
    )
    assert corrected(("...", "other words"), ("b", "c")) == ("b", "c")


@pytest.mark.parametrize(
    "block",
    [
        "```python\nprint()\n```\n",
        "```console\nanswer\n```\n",
        "**`a.py`**\nText.\n",
        "<!-- file: a.py -->\n```python\nprint()\n```\n",
        "<!-- remove: a.py -->\n",
        "```\nplain\n```\n",
    ],
)
def test_a_block_that_nobody_would_run_is_refused(tmp_path, block):
    (tmp_path / "page.md").write_text(block)
    with pytest.raises(ValueError, match="expected"):
        read_page(tmp_path / "page.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if file.startswith("https:"):
            continue
        page = (path.parent / file).resolve() if file else path
        assert page.is_file(), f"{path.name}: {target}"
        if anchor:
            anchors = {_anchor(heading) for heading in _HEADING.findall(page.read_text(encoding="utf-8"))}
            assert anchor in anchors, f"{path.name}: {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_the_readme_leads_to_every_page():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert all(f"](docs/{page.name})" in readme for page in PAGES[1:])


def test_the_changelog_begins_with_this_version():
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\S+)\]", text, re.MULTILINE)[0] == pytest_l402.__version__


@pytest.mark.parametrize(
    ("family", "page"),
    [
        pytest.param(family, page, marks=() if family == FAMILY else pytest.mark.slow, id=family)
        for family, page in RUNBOOK_PAGES.items()
    ],
)
def test_the_runbook_page_names_the_checks_that_proved_each_line(family, page, rehearsed):
    (document,) = rehearsed(family).root.glob("output/signoff/*/signoff.json")
    proven: dict[str, set[str]] = {}
    for rehearsal in json.loads(document.read_text())["rehearsals"]:
        for line in rehearsal["lines"]:
            proven.setdefault(line["id"], set()).update(name.partition("(")[0] for name in line["proven_by"])
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    listed = {
        row[1].strip(" `"): {*names_in([row[2]])} for row in rows if len(row) == 3 and names_in([row[1]])
    }
    assert {line: checks for line, checks in listed.items() if line in proven} == proven


def test_the_workflow_is_red_without_a_sign_off(rehearsed, tmp_path):
    page = read_page(REPOSITORY / "README.md")
    (workflow,) = (step for step in page.steps if step.file and step.file.endswith(".yml"))
    steps = yaml.safe_load(workflow.text)["jobs"]["rehearsal"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    gate = commands[commands.index(FULL_RUN) + 1]
    for root, code in ((rehearsed(FAMILY).root, 0), (tmp_path, 1)):
        project = Project(root)
        project.run(gate)
        assert project.last_exit == code
