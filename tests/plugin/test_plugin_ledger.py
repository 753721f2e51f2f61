"""What becomes of reports that contradict each other, of results that lie, of evidence that is not kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from plugin_project import ON_WORKERS_TOO, Project

from pytest_l402.plugin.ledger import Ledger
from pytest_l402.plugin.node import RESULT_PROPERTY
from pytest_l402.plugin.options import check_output_folder
from pytest_l402.plugin.origin import pin_of, used_files
from pytest_l402.plugin.run import RUN
from pytest_l402.plugin.selection import REHEARSAL_PROPERTY
from pytest_l402.signoff.document import ProjectPin
from pytest_l402.signoff.results import NodeResult

NODE = "rehearsals/test_alpha.py::test_alpha"
MARKED = ("-m", "rehearsal")
ATTACH_BROKEN = "import drilling; l402_evidence.attach(drilling.Broken())"


def report(when: str, outcome: str = "passed", nodeid: str = NODE, **properties: str) -> pytest.TestReport:
    named = {REHEARSAL_PROPERTY: "alpha", **properties}
    return pytest.TestReport(
        nodeid=nodeid,
        location=("rehearsals/test_alpha.py", 5, "test_alpha"),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=None if outcome == "passed" else "boom",
        when=when,  # type: ignore[arg-type]
        user_properties=list(named.items()),
    )


def ledger_of(*reports: pytest.TestReport) -> Ledger:
    ledger = Ledger()
    for each in reports:
        ledger.add(each)
    return ledger


def result_of(ledger: Ledger, folder: Path) -> tuple[NodeResult, list[str]]:
    (result,), faults = ledger.results(folder, {})
    return result, faults


def test_phases_file_and_line(tmp_path: Path) -> None:
    result, faults = result_of(ledger_of(report("setup"), report("call"), report("teardown")), tmp_path)
    assert dict(result.phases) == {"setup": "passed", "call": "passed", "teardown": "passed"}
    assert (result.rehearsal, result.file, result.line, result.reran) == (
        "alpha",
        "rehearsals/test_alpha.py",
        6,
        0,
    )
    assert faults == []


def test_a_node_that_is_set_up_twice_ran_again_even_if_nobody_says_so(tmp_path: Path) -> None:
    once = (report("setup"), report("call"), report("teardown"))
    assert result_of(ledger_of(*once, *once), tmp_path)[0].reran == 1


def test_the_first_failure_is_the_one_that_is_told(tmp_path: Path) -> None:
    ledger = ledger_of(report("setup"), report("call", "failed"), report("teardown", "failed"))
    assert result_of(ledger, tmp_path)[0].failure == "boom"


def test_a_crashed_worker_leaves_a_report_without_a_phase(tmp_path: Path) -> None:
    crash = report("setup", "failed")
    crash.when = "???"  # type: ignore[assignment]
    crash.user_properties = []
    result, _ = result_of(ledger_of(report("setup"), crash), tmp_path)
    assert dict(result.phases) == {"setup": "passed"}
    assert result.failure == "boom"


def test_a_test_of_somebody_else_that_crashed_is_no_rehearsal(tmp_path: Path) -> None:
    crash = report("setup", "failed", nodeid="tests/test_unit.py::test_unit")
    crash.when = "???"  # type: ignore[assignment]
    crash.user_properties = []
    assert ledger_of(crash).results(tmp_path, {}) == ([], [])


def with_result_file(folder: Path, content: bytes, digest: str | None = None) -> Ledger:
    (folder / "node.json").write_bytes(content)
    value = f"node.json sha256:{digest or hashlib.sha256(content).hexdigest()}"
    return ledger_of(report("setup"), report("call"), report("teardown", **{RESULT_PROPERTY: value}))


def test_result_file_is_read(tmp_path: Path) -> None:
    content = NodeResult(nodeid=NODE, rehearsal="alpha", request_ids=("req-1",)).to_json().encode()
    result, faults = result_of(with_result_file(tmp_path, content), tmp_path)
    assert (result.request_ids, faults) == (("req-1",), [])


LIES: dict[str, tuple[bytes, str | None, str]] = {
    "changed": (b"{}", "0" * 64, f"node.json: expected what {NODE} wrote, saw other bytes"),
    "no JSON": (b"{", None, f"node.json: expected the result of {NODE}, saw: "),
    "no text": (b"\xff", None, f"node.json: expected the result of {NODE}, saw: "),
    "another node": (
        NodeResult(nodeid="other", rehearsal="alpha").to_json().encode(),
        None,
        f"node.json: expected the result of {NODE}, saw that of other",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_result_file_that_lies(tmp_path: Path, lie: str) -> None:
    content, digest, message = LIES[lie]
    result, (fault,) = result_of(with_result_file(tmp_path, content, digest), tmp_path)
    assert fault.startswith(message)
    assert result.checks == ()


def test_result_file_that_is_gone(tmp_path: Path) -> None:
    ledger = with_result_file(tmp_path, b"{}")
    (tmp_path / "node.json").unlink()
    _, (fault,) = result_of(ledger, tmp_path)
    assert fault.startswith(f"node.json: expected the result of {NODE}, saw: ")


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_evidence_that_cannot_be_kept_refuses_the_run_but_tears_down(project: Project, workers: int) -> None:
    project.replace(
        "rehearsals/test_alpha.py",
        'drill(l402_evidence, "1.free")',
        'drill(l402_evidence, "1.free")\n    l402_evidence.judge_standing = lambda: ()\n'
        f"    {ATTACH_BROKEN}\n",
    )
    project.replace(
        "rehearsals/test_alpha.py",
        "def test_alpha(",
        "@pytest.fixture\ndef torn():\n    yield\n    open('torn', 'w').close()\n\ndef test_alpha(torn, ",
    )
    end = project.run(*MARKED, workers=workers)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert "the evidence could not be kept: ZeroDivisionError" in end.output
    assert (project.root / "torn").exists()


def test_a_failing_test_whose_system_is_gone_still_shows_its_own_failure(project: Project) -> None:
    project.replace(
        "rehearsals/test_alpha.py",
        'drill(l402_evidence, "1.free")',
        f'drill(l402_evidence, "1.free")\n    {ATTACH_BROKEN}\n    assert 1 == 2\n',
    )
    output = project.run(*MARKED).output
    assert "assert 1 == 2" in output
    assert "l402: the standing checks could not be run: ZeroDivisionError" in output


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def committed(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean working tree with one module, in no other repository."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git(tmp_path, "init", "-q")
    (tmp_path / "test_it.py").write_text("one")
    (tmp_path / ".gitignore").write_text("conftest.py\n.venv/\n")
    committed(tmp_path)
    return tmp_path


def test_a_clean_tree_is_pinned_by_its_commit(repository: Path) -> None:
    (repository / "evidence.jsonl").write_text("untracked, as evidence is")
    ignored = repository / ".venv" / "conftest.py"
    ignored.parent.mkdir()
    ignored.write_text("ignored, and of another project")
    pin = pin_of(repository, [repository / "test_it.py"])
    assert pin == ProjectPin(f"git:{git(repository, 'rev-parse', 'HEAD')}")


CHANGES = {
    "changed": (("test_it.py", "two"), "changed since the commit: test_it.py"),
    "module": (("conf/helper.py", "x"), "in no commit: conf/helper.py"),
    "ini": (("pytest.ini", "[pytest]"), "in no commit: pytest.ini"),
    "ignored": (("conftest.py", "x"), "in no commit: conftest.py"),
}


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_not_to_see_is_one(repository: Path, flag: str) -> None:
    git(repository, "update-index", flag, "test_it.py")
    (repository / "test_it.py").write_text("two")
    pin = pin_of(repository, [repository / "test_it.py"])
    assert pin == ProjectPin(None, "changes are hidden from git: test_it.py")


def test_what_lies_beside_the_root_or_in_a_repository_of_its_own_is_in_no_commit(repository: Path) -> None:
    root = repository / "service"
    root.mkdir()
    beside = repository / "shared.py"
    beside.write_text("x = 1")
    assert pin_of(root, []) == ProjectPin(None, "in no commit: shared.py")
    beside.unlink()
    nested = root / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    assert pin_of(root, []) == ProjectPin(None, "in no commit: nested")


def test_git_is_asked_of_the_repository_that_the_project_lies_in(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "test_it.py").write_text("two")
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert pin_of(repository, []) == ProjectPin(None, "changed since the commit: test_it.py")


def test_a_name_that_is_no_text_does_not_hide_the_commit(repository: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.py")
    (repository / odd).write_text("x = 1")
    assert pin_of(repository, []) == ProjectPin(None, "in no commit: caf\ufffd.py")
    git(repository, "add", odd)
    git(repository, "commit", "-q", "-m", "odd")
    assert pin_of(repository, []) == ProjectPin(f"git:{git(repository, 'rev-parse', 'HEAD')}")


def test_a_git_that_gives_no_answer_is_told_as_that(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(*arguments: object, **_: object) -> None:
        raise subprocess.TimeoutExpired("git", 10)

    monkeypatch.setattr(subprocess, "run", waiting)
    assert pin_of(repository, []) == ProjectPin(None, "git gave no answer within 10 seconds")


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_pytest_reads_and_no_commit_has_is_named(repository: Path, name: str) -> None:
    (path, text), reason = CHANGES[name]
    file = repository / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert pin_of(repository, [file]) == ProjectPin(None, reason)


def test_what_is_in_no_commit_is_counted(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "catalogue.yaml"
    (repository / "conftest.py").write_text("x")
    pin = pin_of(repository, [repository / "conftest.py", elsewhere])
    assert pin.not_pinned_because == "in no commit: catalogue.yaml and 1 more"


def test_a_conftest_that_pytest_loaded_is_used_wherever_it_lies(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    loaded = ModuleType("conftest")
    loaded.__file__ = str(tmp_path / "conftest.py")
    Path(loaded.__file__).write_text("")
    manager = request.config.pluginmanager
    manager.register(loaded, "above_the_root")
    try:
        assert Path(loaded.__file__) in used_files(request.config, request.config.stash[RUN].settings, [])
    finally:
        manager.unregister(loaded)


def test_no_repository_no_commit_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert pin_of(tmp_path, []) == ProjectPin(None, "no git commit holds them")
    git(tmp_path, "init", "-q")
    assert pin_of(tmp_path, []) == ProjectPin(None, "no git commit holds them")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pin_of(tmp_path, []) == ProjectPin(None, "git is not installed")


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_a_run_names_what_pins_its_rehearsals_and_no_system(
    project: Project, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    project.write(".gitignore", "output/\n__pycache__/\nrehearsals/conftest.py\n")
    git(project.root, "init", "-q")
    committed(project.root)
    first = project.run(*MARKED, workers=workers)
    assert first.document["project"] == {
        "digest": f"git:{git(project.root, 'rev-parse', 'HEAD')}",
        "not_pinned_because": None,
    }
    assert first.document["systems"] == []
    project.write("rehearsals/conftest.py", "")
    second = project.end_of_second(first, *MARKED, workers=workers)
    assert second.document["project"]["not_pinned_because"] == "in no commit: rehearsals/conftest.py"


def test_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever runs the tests as root may write anywhere.
    def refuse(path: Any, mode: int) -> bool:
        return False

    monkeypatch.setattr(os, "access", refuse)
    with pytest.raises(
        pytest.UsageError, match=f"--flag: expected a folder to write to, saw {tmp_path}, which is"
    ):
        check_output_folder(tmp_path / "deep" / "er", "--flag")
