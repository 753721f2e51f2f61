"""Files of a run: whole or not at all, named by the verdict, the run before moved aside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from signoff_samples import GREEN, document, facts, node

from pytest_l402.signoff import ManifestError, check_manifest, read_signoff
from pytest_l402.signoff.files import find_evidence_faults, move_aside, write_run
from pytest_l402.signoff.manifest import file_digest
from pytest_l402.signoff.results import RecordedFile

ALWAYS = ["SHA256SUMS", "badge.json", "comment.md", "ctrf.json", "statement.json"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestMoveAside:
    def test_earlier_runs_go_to_previous(self, tmp_path: Path) -> None:
        (tmp_path / "run-1").mkdir()
        (tmp_path / "run-1" / "signoff.json").write_bytes(b"{}")
        (tmp_path / "note.txt").write_bytes(b"mine")
        moved = move_aside(tmp_path)

        assert moved == (tmp_path / "previous" / "run-1",)
        assert (moved[0] / "signoff.json").is_file()
        assert names(tmp_path) == ["note.txt", "previous"]

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        for content in ("one", "two", "three"):
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "refusal.json").write_text(content)
            move_aside(tmp_path)

        previous = tmp_path / "previous"
        assert names(previous) == ["run", "run.2", "run.3"]
        documents = [(previous / name / "refusal.json").read_text() for name in names(previous)]
        assert documents == ["one", "two", "three"]

    def test_the_current_run_stays(self, tmp_path: Path) -> None:
        for name in ("old", "now"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "drill.json").touch()
        move_aside(tmp_path, keep="now")

        assert names(tmp_path) == ["now", "previous"]
        assert names(tmp_path / "previous") == ["old"]

    def test_a_page_without_its_document_is_moved_as_well(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "signoff.md").write_text("# L402 sign-off: SIGNED OFF\n")

        assert move_aside(tmp_path) == (tmp_path / "previous" / "run",)

    def test_a_run_that_goes_on_elsewhere_keeps_its_folder(self, tmp_path: Path) -> None:
        (tmp_path / "going-on" / "evidence").mkdir(parents=True)

        assert move_aside(tmp_path) == ()
        assert names(tmp_path) == ["going-on"]

    def test_no_folder_and_no_run_is_no_work(self, tmp_path: Path) -> None:
        assert move_aside(tmp_path / "none") == ()
        assert move_aside(tmp_path) == ()
        assert names(tmp_path) == []


class TestEvidenceFaults:
    def test_what_is_as_recorded_is_no_fault(self, tmp_path: Path) -> None:
        (tmp_path / "evidence").mkdir()
        file = tmp_path / "evidence" / "records.jsonl"
        file.write_bytes(b"{}\n")
        good = node("reuse", evidence_files=(RecordedFile("evidence/records.jsonl", *file_digest(file)),))

        assert find_evidence_faults(tmp_path, (good,)) == ()

        file.write_bytes(b"[]\n")
        assert find_evidence_faults(tmp_path, (good,)) == (
            f"evidence/records.jsonl: expected what {good.nodeid} wrote, saw other bytes",
        )
        file.unlink()
        (fault,) = find_evidence_faults(tmp_path, (good,))
        assert "No such file" in fault

    def test_a_node_that_passed_without_evidence_is_a_fault(self, tmp_path: Path) -> None:
        silent = node("reuse", evidence_files=())
        skipped = node("reuse", evidence_files=(), phases={"setup": "skipped", "teardown": "passed"})

        assert find_evidence_faults(tmp_path, (silent,)) == (
            f"{silent.nodeid}: expected evidence files, saw none",
        )
        assert find_evidence_faults(tmp_path, (skipped,)) == ()


class TestWriteRun:
    @pytest.mark.parametrize(
        ("changes", "kind"),
        [({}, "signoff"), ({"exit_status": 3}, "refusal"), ({"narrowed_by": ("-k x",)}, "drill")],
    )
    def test_the_name_says_the_kind(self, tmp_path: Path, changes: dict[str, object], kind: str) -> None:
        built = document(GREEN, facts(**changes))
        files = write_run(tmp_path, built)

        assert names(tmp_path) == sorted([f"{kind}.{suffix}" for suffix in ("html", "json", "md")] + ALWAYS)
        assert files.document == tmp_path / f"{kind}.json"
        assert read_signoff(tmp_path) == built
        assert check_manifest(tmp_path) == ()

    def test_the_evidence_is_on_the_disk_before_anything_vouches_for_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there: list[list[str]] = []
        monkeypatch.setattr(os, "sync", lambda: there.append(names(tmp_path)))
        (tmp_path / "records.jsonl").write_bytes(b"{}\n")
        write_run(tmp_path, document())

        assert there == [["records.jsonl"]]

    def test_evidence_is_in_the_manifest(self, tmp_path: Path) -> None:
        (tmp_path / "evidence").mkdir()
        (tmp_path / "evidence" / "records.jsonl").write_bytes(b"{}\n")
        write_run(tmp_path, document())

        assert "  evidence/records.jsonl\n" in (tmp_path / "SHA256SUMS").read_text()

    def test_a_second_verdict_takes_the_first_away(self, tmp_path: Path) -> None:
        write_run(tmp_path, document())
        write_run(tmp_path, document(GREEN, facts(exit_status=6)))

        assert names(tmp_path) == sorted(["refusal.html", "refusal.json", "refusal.md", *ALWAYS])
        assert check_manifest(tmp_path) == ()

    def test_a_folder_that_cannot_be_listed_gets_no_sign_off(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("/etc/hostname")
        with pytest.raises(ManifestError):
            write_run(tmp_path, document())

        assert "signoff.json" not in names(tmp_path)

    def test_the_same_run_gives_the_same_files(self, tmp_path: Path) -> None:
        one, other = write_run(tmp_path / "a", document()), write_run(tmp_path / "b", document())

        assert one.manifest.read_bytes() == other.manifest.read_bytes()
        assert check_manifest(other.document.parent) == ()
