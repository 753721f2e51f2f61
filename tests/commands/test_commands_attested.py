"""`status`, `approve` and `compare`: one word, one signature, one list of what is less than it was."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_runs import Run
from kept_run import make_run
from signoff_samples import GREEN, PROJECT, document, facts, judge

from pytest_l402.signoff.chain import note_last
from pytest_l402.signoff.document import Vouched, build_document, installed_versions
from pytest_l402.signoff.files import write_run
from pytest_l402.signoff.signing import read_signing_key

THEN = ("--at", "2026-11-22T00:00:00Z")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was signed off, with evidence that can be judged again."""
    return make_run(tmp_path_factory.mktemp("kept")).folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    place = tmp_path / "output" / "signoff" / made.name
    shutil.copytree(made, place)
    note_last(place.parent, place)
    return place


def test_a_sign_off_that_counts(run: Run, folder: Path) -> None:
    told = run("status", *THEN)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("status: SIGNED_OFF: 2 of 2 required rehearsals passed")
    assert run("status", *THEN, folder).code == 0
    found = run("status", *THEN, "--json").document
    assert (found["ok"], found["status"], found["runId"]) == (True, "SIGNED_OFF", folder.name)
    assert found["notAfterMs"] == facts().finished_at_ms + 30 * 86_400_000


@pytest.mark.parametrize(
    ("spoil", "arguments", "code", "word"),
    [
        (lambda folder: None, ("--at", "2027-01-01T00:00:00Z"), 1, "STALE"),
        (lambda folder: None, ("--at", "2026-11-01T00:00:00Z"), 2, "INCONCLUSIVE"),
        (lambda folder: None, (*THEN, "--tested", f"sha256:{'9' * 64}"), 1, "STALE"),
        (lambda folder: (folder / "signoff.md").write_text("yes"), THEN, 1, "CONTRADICTED"),
        (lambda folder: (folder / "more").write_text("x"), THEN, 1, "CONTRADICTED"),
        (lambda folder: (folder / "link").symlink_to("/etc/hostname"), THEN, 1, "CONTRADICTED"),
        (lambda folder: (folder / "signoff.json").write_text("{}"), THEN, 1, "CONTRADICTED"),
        (lambda folder: (folder / "signoff.json").unlink(), THEN, 1, "NONE"),
        (lambda folder: shutil.rmtree(folder), THEN, 1, "NONE"),
        (lambda folder: (folder.parent / "20261121T130000Z-0123abcd").mkdir(), THEN, 1, "NONE"),
    ],
    ids=["stale", "skewed", "other", "altered", "added", "linked", "broken", "gone", "empty", "unended"],
)
def test_why_not(
    run: Run, folder: Path, spoil: Callable[[Path], object], arguments: tuple[str, ...], code: int, word: str
) -> None:
    spoil(folder)
    told = run("status", *arguments)
    assert told.code == code, told
    assert told.out.startswith(f"status: {word}: "), told
    assert "Traceback" not in told.out + told.err


def test_a_refusal_says_why(run: Run, tmp_path: Path) -> None:
    kept = make_run(tmp_path / "kept")
    kept.alter("reuse", phases={"setup": "passed", "call": "failed", "teardown": "passed"}, failure="E  no")
    kept.exit_status = 1
    kept.seal()
    told = run("status", *THEN, kept.folder)
    assert told.code == 1
    assert told.out.startswith("status: NOT_SIGNED_OFF: 1 of 2 required rehearsals passed. reuse failed")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at", "yesterday"), "expected a time with its zone"),
        (("--key", "nowhere.pub"), "nowhere.pub: expected a key, saw No such file"),
        (("--roster", "nowhere"), "expected a file, saw none"),
        (("--tested", "latest"), "expected sha256:<64 hex> or git:<commit>"),
    ],
)
def test_arguments_that_cannot_be_used(run: Run, folder: Path, arguments: tuple[str, str], said: str) -> None:
    commands = ("status",) if arguments[0] == "--tested" else ("status", "verify")
    for command in commands:
        told = run(command, *arguments, folder)
        assert told.code == 2
        assert said in told.err
        assert "\n" not in told.err.strip()


def test_a_signature_is_asked_for_by_its_key(run: Run, tmp_path: Path) -> None:
    (path := tmp_path / "ci.key").touch(0o600)
    path.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    key = read_signing_key(path)
    built = build_document(
        judge(),
        project=PROJECT,
        versions=installed_versions(),
        vouched=Vouched(key_id=key.public.key_id),
    )
    place = tmp_path / "output" / "signoff" / built.run.id
    for rehearsal in GREEN:
        for file in rehearsal.evidence_files:
            (place / file.path).parent.mkdir(parents=True)
            (place / file.path).write_text("{}\n")
    write_run(place, built, key.sign_statements)
    # Its evidence is not that of its document; the signature is looked at all the same.
    found = run("verify", *THEN, "--key", f"{path}.pub", "--json", place).document
    assert found["aspects"]["signature"] == "holds"
    assert run("verify", *THEN, "--json", place).document["aspects"]["signature"] == "inconclusive"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_only_what_counts_is_approved_unless_it_is_a_draft(run: Run, folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "ada"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (folder / "more").write_text("x")
    told = run("approve", "--key", key, "--as", "ada@shop", folder)
    assert (told.code, told.out) == (1, "")
    assert "more: there but not listed" in told.err
    (folder / "more").unlink()
    told = run("approve", "--draft", "--key", key, "--as", "ada@shop", folder)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("approve: ada@shop has approved SIGNED_OFF of run ")
    (tmp_path / "roster").write_text(f"ada@shop {(tmp_path / 'ada.pub').read_text()}")
    assert run("status", *THEN, "--roster", tmp_path / "roster").code == 0
    assert run("status", *THEN).code == 2
    told = run("approve", "--draft", "--key", tmp_path / "nobody", "--as", "bob@shop", folder)
    assert told.code == 1
    assert "expected an SSH key, saw: No such file" in told.err


def test_what_is_less_than_it_was(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("compare", folder, folder).code == 0
    worse = tmp_path / "worse"
    write_run(worse, document((GREEN[0],)))
    told = run("compare", folder, worse)
    assert told.code == 1
    assert "regression: reuse: was PASSED, and is NOT_RUN" in told.out
    found = run("compare", folder, worse, "--json").document
    assert found["ok"] is False
    assert found["regressions"]
    told = run("compare", folder, tmp_path / "none")
    assert told.code == 2
    assert told.err.count("\n") == 1
