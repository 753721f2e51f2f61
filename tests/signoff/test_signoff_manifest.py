"""SHA256SUMS: every file, in the form that sha256sum itself checks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_l402.signoff import ManifestError, check_manifest
from pytest_l402.signoff.manifest import MANIFEST, digests_of, manifest_bytes, manifest_of, read_manifest

NAMES = [
    "signoff.json",
    "evidence/a/records.jsonl",
    "evidence/b/two words.jsonl",
    "-dash",
    "back\\slash",
    "new\nline",
    "e\u0301 that is not normalised",
    "\udcff is no text",
    "n" * 255,
]


def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    (tmp_path / MANIFEST).write_bytes(manifest_bytes(tmp_path))
    return tmp_path


def sha256sum(run: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "-c", "--strict", MANIFEST],
        cwd=run,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )


def test_it_lists_every_file_but_itself_in_order(tmp_path: Path) -> None:
    run = folder(tmp_path)

    assert list(read_manifest(run)) == sorted(NAMES)
    assert manifest_bytes(run) == (run / MANIFEST).read_bytes()


def test_what_is_about_to_be_written_is_listed_as_it_will_be(tmp_path: Path) -> None:
    run = folder(tmp_path)
    planned = manifest_of(digests_of(run, {"later.json": b"later"}))
    (run / "later.json").write_bytes(b"later")

    assert planned == manifest_bytes(run)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_agrees(tmp_path: Path) -> None:
    run = folder(tmp_path)
    assert sha256sum(run).returncode == 0, sha256sum(run).stderr

    (run / "new\nline").write_bytes(b"other")
    assert sha256sum(run).returncode == 1


def test_a_folder_as_it_was_has_no_fault(tmp_path: Path) -> None:
    assert check_manifest(folder(tmp_path)) == ()


def test_changes_are_named(tmp_path: Path) -> None:
    run = folder(tmp_path)
    (run / "signoff.json").write_bytes(b"changed")
    (run / "evidence/a/records.jsonl").unlink()
    (run / "evidence/new.jsonl").write_bytes(b"")

    assert check_manifest(run) == (
        "evidence/a/records.jsonl: listed but not there",
        "signoff.json: changed since it was listed",
        "evidence/new.jsonl: there but not listed",
    )


def test_what_is_no_file_is_not_listed_and_is_a_fault(tmp_path: Path) -> None:
    run = folder(tmp_path)
    (run / "link").symlink_to("/etc/hostname")

    assert manifest_bytes(run) == (run / MANIFEST).read_bytes()
    assert check_manifest(run) == ("link: expected a file or a folder, saw a link",)


def test_no_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="expected a readable manifest"):
        check_manifest(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "no digest\n",
        f"{'a' * 64} one-space\n",
        f"{'a' * 63}  short\n",
        f"{'A' * 64}  upper\n",
        f"{'a' * 64}  \n",
        f"{'a' * 64}  twice\n{'b' * 64}  twice\n",
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"SHA256SUMS:[12]: expected"):
        read_manifest(tmp_path)
