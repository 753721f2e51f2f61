"""`pytest-l402 init`: what it writes passes as it is, names what it tested, and is written over nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command_runs import Run
from doc_pages import REPOSITORY, read_page

from pytest_l402.commands.starters import ABOUT, known_runbooks
from pytest_l402.signoff.catalogue import Catalogue

WHAT_IT_SAYS = {
    "client": "buyer: StarterClient (rehearsals/starter_client.py, in no installed package)",
    "gateway": "gateway: StarterGateway (rehearsals/starter_gateway.py, in no installed package)",
    "own": "box office: Box (rehearsals/seats.py, in no installed package)",
}


def rehearsed(pytester: pytest.Pytester) -> tuple[dict[str, Any], str]:
    result = pytester.runpytest_inprocess("-m", "rehearsal", "-p", "no:cacheprovider")
    said = " ".join("\n".join(result.outlines).split())
    assert result.ret == 0, said
    (document,) = pytester.path.glob("output/signoff/*/signoff.json")
    found: dict[str, Any] = json.loads(document.read_text())
    return found, said


@pytest.mark.parametrize(
    "role",
    [pytest.param("own"), *(pytest.param(role, marks=pytest.mark.slow) for role in ("client", "gateway"))],
)
def test_a_starter_is_signed_off_at_once_and_says_what_was_tested(
    role: str, run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pytester.path)
    told = run("init", role)
    assert (told.code, told.err) == (0, "")
    assert "now:  pytest -m rehearsal" in told.out.splitlines()
    monkeypatch.chdir(pytester.path)
    document, said = rehearsed(pytester)
    assert document["verdict"] == "SIGNED_OFF"
    assert {entry["id"] for entry in document["rehearsals"]} >= {*ABOUT[role]}
    assert WHAT_IT_SAYS[role] in said


@pytest.mark.parametrize("role", ABOUT)
def test_its_catalogue_has_the_rehearsals_of_that_role_alone(role: str, run: Run, tmp_path: Path) -> None:
    assert run("init", role).code == 0
    catalogue = Catalogue.load(tmp_path / "rehearsals" / "catalogue.yaml")
    assert ABOUT[role] in ((), tuple(entry.id for entry in catalogue.rehearsals))


@pytest.mark.parametrize("runbook", known_runbooks())
def test_the_rehearsals_of_one_runbook(runbook: str, run: Run, tmp_path: Path) -> None:
    told = run("init", "--runbook", runbook, "--json")
    catalogue = Catalogue.load(tmp_path / "rehearsals" / "catalogue.yaml")
    assert {entry.runbook for entry in catalogue.rehearsals} == {runbook}
    whole = Catalogue.load(REPOSITORY / "rehearsals" / "catalogue.yaml")
    assert catalogue.runbook(runbook) == whole.runbook(runbook)
    folder = f"rehearsals/{runbook.replace('-', '_')}/"
    assert {file for file in told.document["files"] if file.startswith(folder)} == {
        file.relative_to(REPOSITORY).as_posix() for file in (REPOSITORY / folder).glob("*.py")
    }


def test_all_of_them_are_what_the_package_has(run: Run, tmp_path: Path) -> None:
    assert run("init").code == 0
    written = tmp_path / "rehearsals" / "catalogue.yaml"
    assert written.read_bytes() == (REPOSITORY / "rehearsals" / "catalogue.yaml").read_bytes()


def test_nothing_is_written_over(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "rehearsals"
    mine.mkdir()
    (mine / "conftest.py").write_text("mine")
    told = run("init", "client")
    assert told.code == 2
    assert "expected no rehearsals in this folder, saw one, and nothing is written over it" in told.err
    assert [(mine / "conftest.py").read_text(), *(path.name for path in tmp_path.iterdir())] == [
        "mine",
        "rehearsals",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clint"], "expected one of client, gateway, own, all, saw 'clint'; did you mean 'client'?"),
        (["--runbook", "biling"], "saw 'biling'; did you mean 'billing'?"),
        (["own", "--runbook", "billing"], "--runbook: expected all, saw own; leave one of them out"),
    ],
)
def test_a_wrong_word_is_answered_with_the_one_that_was_meant(
    arguments: list[str], message: str, run: Run, tmp_path: Path
) -> None:
    told = run("init", *arguments)
    assert told.code == 2
    assert message in told.err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    told = run("init", "own")
    tmp_path.chmod(0o700)
    assert told.code == 1
    assert "rehearsals: expected a folder that can be written" in told.err


def test_the_page_for_another_system_shows_the_starter() -> None:
    page = read_page(REPOSITORY / "docs" / "rehearse-another-system.md")
    shown = {Path(step.file).name: step.text for step in page.steps if step.file}
    for file in (REPOSITORY / "starters" / "own").iterdir():
        if file.is_file():
            assert shown[file.name] == file.read_text(encoding="utf-8"), file.name


@pytest.mark.slow
def test_the_wheel_has_rehearsals_and_starters(tmp_path: Path) -> None:
    """Built, unpacked and asked, as whoever has installed it would."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    home = tmp_path / "home"
    home.mkdir()
    for argument in ("", *ABOUT):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pytest_l402", "init", *filter(None, [argument]), "--json"],
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(site)},
            check=True,
            capture_output=True,
            text=True,
        )
        files = json.loads(done.stdout)["files"]
        assert "rehearsals/catalogue.yaml" in files
        assert len(files) > 3
        (home / "rehearsals").rename(home / f"written-{argument}")
    of_the_clone = {file.relative_to(REPOSITORY) for file in (REPOSITORY / "rehearsals").rglob("*.py")}
    of_the_wheel = {
        Path("rehearsals") / file.relative_to(home / "written-") for file in home.glob("written-/**/*.py")
    }
    assert of_the_wheel == of_the_clone
