"""A run that is signed, compared, and follows another: as pytest runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from plugin_project import Project

from pytest_l402.signoff.signing import read_verifying_key
from pytest_l402.signoff.verification import Trust, look_at_folder

MARKED = ("-m", "rehearsal")


def key_of(project: Project) -> Path:
    path = project.root / "ci.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=True)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_is_signed_by_the_process_that_owns_it(project: Project, workers: int) -> None:
    key = key_of(project)
    end = project.run(*MARKED, f"--l402-sign-key={key}", "--l402-signer=outsider", workers=workers)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert end.folder is not None
    assert (end.document["signature"], end.document["signer"]) == ("SIGNED", "outsider")
    trust = Trust(end.document["run"]["finished_at_ms"], read_verifying_key(end.folder / "signer.pem"))
    found = look_at_folder(end.folder, trust)
    assert {each.aspect: each.answer for each in found.findings} == {
        "files": "holds",
        "signature": "holds",
        "approvals": "absent",
        "window": "holds",
        "chain": "absent",
    }
    written = b"".join(path.read_bytes() for path in end.folder.rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in written


def test_a_key_that_cannot_sign_ends_the_run_before_it_begins(project: Project) -> None:
    key = key_of(project)
    key.chmod(0o644)
    end = project.run(*MARKED, f"--l402-sign-key={key}")
    assert (end.exit, end.verdict) == (4, None)
    assert "--l402-sign-key: " in end.output
    assert "chmod 600" in end.output


def test_a_run_names_the_one_before_it_and_counts_for_its_days(project: Project) -> None:
    first = project.run(*MARKED)
    second = project.run(*MARKED, "--l402-valid-days=1")
    assert second.document["previous"]["run_id"] == first.document["run"]["id"]
    assert (first.document["previous"], second.document["previous"]["found"]) == (None, "kept")
    window = second.document["window"]
    assert window["not_after_ms"] - window["not_before_ms"] == 86_400_000
    assert window["ended_by"] == "its 1 day"


def test_a_run_that_is_less_than_the_one_before_is_refused(project: Project) -> None:
    first = project.run(*MARKED)
    assert first.folder is not None
    same = project.run(*MARKED, f"--l402-compare={first.folder}")
    assert (same.exit, same.verdict) == (0, "SIGNED_OFF"), same.output
    before = project.signoff / "previous" / first.folder.name
    told = json.loads((before / "signoff.json").read_text())
    told["rehearsals"][0]["nodes"][0]["checks"][0]["mutants_killed"].append("one that is no longer tried")
    told["counts"]["mutants_killed"] += 1
    (before / "signoff.json").write_text(json.dumps(told))
    worse = project.run(*MARKED, f"--l402-compare={before}")
    assert (worse.exit, worse.verdict) == (1, "NOT_SIGNED_OFF"), worse.output
    assert "regression" in worse.codes
    assert "no longer kills one that is no longer tried" in worse.output
    drill = project.run_quietly(*MARKED, "-k", "alpha", f"--l402-compare={before}")
    assert drill.exit == 1
    assert "DRILL, NOT A SIGN-OFF" in drill.output


@pytest.mark.parametrize("value", ["nowhere", "pyproject.toml"])
def test_what_is_no_run_cannot_be_compared_with(project: Project, value: str) -> None:
    end = project.run(*MARKED, f"--l402-compare={value}")
    assert (end.exit, end.verdict) == (4, None)
    assert "--l402-compare: " in end.output
