"""Ways to alter a run folder that its holder must notice with `find`, `sha256sum` and `jq` alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from doc_pages import REPOSITORY, Command, read_page
from test_attacks_on_documents import (
    ALTERED_FOLDERS,
    RUN,
    SPECIAL,
    SUCCESS,
    altered,
    append,
    drop_rehearsal,
    listed_again,
    rename_in_document,
    setting,
    signed,
)
from tiers import sampled

from pytest_l402.signoff.files import write_run

PAGE = REPOSITORY / "docs" / "verify-a-sign-off.md"
WITH_OUR_TOOLS = "## With our tools"
NEEDED = ("bash", "find", "sha256sum", "jq", "sed", "diff")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason=f"one of these is not installed: {', '.join(NEEDED)}"
)


def recipe() -> tuple[Command, ...]:
    end = PAGE.read_text().splitlines().index(WITH_OUR_TOOLS)
    found = [command for step in read_page(PAGE).steps if step.line < end for command in step.commands]
    return tuple(command for command in found if not command.text.startswith(("ls ", "pytest")))


def noticed(folder: Path) -> str:
    """The first command of the recipe that answers otherwise than the page says; "" if none does."""
    for command in recipe():
        answer = subprocess.run(
            ["bash", "-c", command.text],
            cwd=folder.parents[2],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=20,
            check=False,
        )
        if tuple(answer.stdout.splitlines()) != command.expected:
            return command.text
    return ""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "output" / "signoff" / RUN
    write_run(folder, signed(folder))
    return folder


def test_an_unaltered_folder_passes_it(run: Path) -> None:
    assert len(recipe()) == 10
    assert noticed(run) == ""


@pytest.mark.parametrize("name", ["a\\b.txt", "-rf", "two words", "e\u0301", "n" * 255])
def test_a_file_of_any_name_passes_what_is_about_names(run: Path, name: str) -> None:
    (run / name).write_text("x")
    listed_again(run)
    # The statement names every file, whatever the manifest lists.
    assert "statement.json" in noticed(run)


@pytest.mark.parametrize(
    "way", sampled([way for way in SPECIAL if way != "a name that is no text"], 4, "special")
)
def test_what_is_no_file_is_noticed(run: Path, way: str) -> None:
    SPECIAL[way](run)
    assert "! -type f" in noticed(run)


UNLISTED = {
    "a file": "notes.txt",
    "a file with a new line in its name": "a\nb",
    "a nested manifest": f"{SUCCESS}/SHA256SUMS",
    "a hidden file": f"{SUCCESS}/.hidden",
}


@pytest.mark.parametrize("way", UNLISTED)
def test_a_file_that_is_added_is_noticed(run: Path, way: str) -> None:
    append(UNLISTED[way])(run)
    assert "diff <(sed" in noticed(run)


def test_a_file_that_is_added_is_noticed_where_another_is_listed_twice(run: Path) -> None:
    append("notes.txt")(run)
    manifest = run / "SHA256SUMS"
    line = next(line for line in manifest.read_text().splitlines() if line.endswith("signoff.json"))
    manifest.write_text(manifest.read_text() + line.replace("signoff.json", "./signoff.json") + "\n")
    assert noticed(run) != ""


FOLLOWED = [
    "evidence is altered",
    "evidence is emptied",
    "evidence is removed",
    "evidence is added",
    "evidence of a rehearsal that is in no document",
    "a result is emptied",
    "a result is an empty object",
    "a result is removed",
    "a result is that of another test",
    "a second page is added",
    "a second document is added",
    "a nested manifest is added",
]


@pytest.mark.parametrize("way", sampled(FOLLOWED, 4, "followed"))
def test_what_the_manifest_follows_is_noticed(run: Path, way: str) -> None:
    ALTERED_FOLDERS[way](run)
    listed_again(run)
    assert noticed(run) != ""


DOCUMENTS = {
    "a rehearsal is taken out": drop_rehearsal,
    "a test has another name": rename_in_document,
    "the run has another id": setting("run", "id", to="20261122T120000Z-0123abcd"),
    "the verdict is a refusal": setting("verdict", to="NOT_SIGNED_OFF"),
    "the digest of a file is another": setting(
        "rehearsals", 0, "nodes", 0, "evidence", 0, "sha256", to="1" * 64
    ),
}


@pytest.mark.parametrize("way", DOCUMENTS)
def test_a_document_that_says_otherwise_is_noticed(run: Path, way: str) -> None:
    altered(run, DOCUMENTS[way])
    assert noticed(run) != ""
