"""What a run says, and to whom: whole terminal sections, GitHub, JSON and JUnit reports, files on disk."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from plugin_project import ON_WORKERS_TOO, Project

MARKED = ("-m", "rehearsal")
FAILING = ('drill(l402_evidence, "1.free")', 'drill(l402_evidence, "1.free", paidAmountMsats=7)')


def section(output: str) -> list[str]:
    """Return the lines of the sign-off's section, unwrapped; it is the last thing that a run says."""
    tail = output.partition("= l402 sign-off =")[2]
    assert tail, output
    # How many mutants the standing checks have is theirs to say.
    return re.sub(
        r"\d+ mutants", "<n> mutants", re.sub(r"\n\s+", " ", tail.lstrip("=\n").rstrip())
    ).splitlines()


UNSIGNED = (
    "UNSIGNED: nobody has put a signature on this document. "
    "Tested system: none was attached. Rehearsals not pinned: no git commit holds them. "
    "Times come from the clock of the machine; no one else attests them."
)


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_signed_off(project: Project, workers: int) -> None:
    told = section(project.run(*MARKED, workers=workers).output)
    assert [re.sub("until .*Z", "until <then>", line) for line in told] == [
        "PASSED  alpha  1 of 1 line proven, 4 checks, <n> mutants killed",
        "PASSED  beta  1 of 1 line proven, 8 checks, <n> mutants killed",
        f"{UNSIGNED} It counts until <then>, the end of its 30 days.",
        "SIGNED OFF: 2 of 2 required rehearsals passed; 12 checks held and killed <n> mutants.",
        "output/signoff/<run>/signoff.json",
    ]


def test_quiet_says_the_verdict_and_the_path(project: Project) -> None:
    lines = project.run(*MARKED, "-q").output.splitlines()
    assert lines[-1] == "output/signoff/<run>/signoff.json"
    assert "l402 sign-off" not in "\n".join(lines)
    assert any(line.startswith("SIGNED OFF: 2 of 2 required rehearsals passed") for line in lines)
    assert not any(line.startswith("PASSED  alpha") for line in lines)


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_refused(project: Project, workers: int) -> None:
    project.replace("rehearsals/test_alpha.py", *FAILING)
    lines = section(project.run(*MARKED, workers=workers).output)
    assert lines[0].startswith("FAILED  alpha  0 of 1 line proven, 4 checks, <n> mutants killed")
    assert lines[-2:] == [
        "NOT SIGNED OFF: 1 of 2 required rehearsals passed. "
        "alpha failed: test_alpha: 1.free: expected nothing paid, saw 7 msats",
        "output/signoff/<run>/refusal.json",
    ]


def failures(output: str) -> str:
    return output.partition("= FAILURES =")[2].partition("\n=")[0].lstrip("=\n")


def test_failure_text_has_four_parts_and_no_traceback(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", *FAILING)
    assert (
        failures(project.run(*MARKED).output)
        == """\
__________________________________ test_alpha __________________________________
1.free: expected nothing paid, saw 7 msats

rehearsal alpha (book section 1): 1 check does not hold
  verify    drilling.py:39
  evidence  output/signoff/<run>/evidence/alpha/test_alpha/

nothing_paid() is violated
  expected  nothing paid
            [runbook section 1 (1.free): nothing is paid for what is free]
  seen      7 msats
  where     records[0]
  do        ask the wallet why"""
    )


def test_the_short_summary_begins_with_the_violated_line(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", *FAILING)
    summary = project.run(*MARKED).output.partition("= short test summary info =")[2].splitlines()
    assert summary[1].startswith("FAILED rehearsals/test_alpha.py::test_alpha - 1.free: expected nothing")


def test_what_a_failure_says_of_the_run_is_not_in_the_bytes_of_its_evidence(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", *FAILING)
    run = project.run(*MARKED)
    kept = (run.folder / "evidence/alpha/test_alpha/node.json").read_text()
    assert "output/signoff/<run>/evidence/alpha/test_alpha/" in json.loads(kept)["failure"]
    assert run.folder.name not in kept


def test_rehearsal_that_verifies_nothing(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", 'drill(l402_evidence, "1.free")', "pass")
    assert (
        failures(project.run(*MARKED).output)
        == """\
__________________________________ test_alpha __________________________________
rehearsal alpha proves nothing
  expected  at least one check (book section 1)
  seen      the test passed without l402_evidence.verify(...)
  where     rehearsals/test_alpha.py::test_alpha
  do        ask for l402_evidence and verify one check for each "Verify" line"""
    )


def test_everything_that_is_wrong_is_told_at_once(project: Project) -> None:
    project.replace(
        "drilling.py",
        "evidence.verify(nothing_paid().proves(line))",
        "evidence.record('records', {'requestId': 'half'})\n"
        "    from pytest_l402.evidence import some_record\n"
        "    evidence.verify(nothing_paid().proves(line), some_record(denyReason='x'),"
        " some_record(taskId='t'))",
    )
    project.replace("rehearsals/test_alpha.py", *FAILING)
    output = project.run(*MARKED, "-k", "alpha").output
    for name in ("nothing_paid()", "denyReason", "taskId", "records_complete()"):
        assert re.search(rf"{re.escape(name)}.* is violated", output) or f"{name} is violated" in output, (
            output
        )
    assert "Traceback" not in output
    assert "During handling" not in output


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_drill(project: Project, workers: int) -> None:
    lines = section(project.run(*MARKED, "-k", "alpha", workers=workers).output)
    assert "narrowed by: -k alpha, 2 rehearsal tests deselected" in lines
    assert lines[-2].startswith("DRILL, NOT A SIGN-OFF: Partial run, cannot sign off: alpha passed")
    assert lines[-1] == "output/signoff/<run>/drill.json"


def test_nothing_is_said_of_a_run_without_rehearsals(project: Project) -> None:
    assert "l402 sign-off" not in project.run("tests").output


def test_the_verdict_comes_after_pytests_last_line(project: Project) -> None:
    output = project.run(*MARKED).output
    assert output.index(" passed, ") < output.index("= l402 sign-off =")


def test_github(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = project.root / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.replace("rehearsals/test_alpha.py", *FAILING)
    end = project.run(*MARKED)
    errors = [line for line in end.output.splitlines() if line.startswith("::error ")]
    assert errors
    assert len(errors) <= 10
    assert summary.read_text().startswith("before\n")
    assert "NOT SIGNED OFF" in summary.read_text()


def test_no_github_outside_of_github(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", *FAILING)
    assert "::error" not in project.run(*MARKED).output


@pytest.mark.slow
def test_github_says_nothing_twice_on_two_workers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = project.root / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    project.run(*MARKED, workers=2)
    assert len(re.findall(r"^# ", summary.read_text(), re.MULTILINE)) == 1


def test_summary_that_cannot_be_written_does_not_cost_the_verdict(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.root / "none" / "summary.md"))
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF")
    assert "GITHUB_STEP_SUMMARY could not be written" in end.output


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_json_report(project: Project, workers: int) -> None:
    project.replace("rehearsals/test_alpha.py", 'drill(l402_evidence, "1.free")', 'pytest.skip("later")')
    end = project.run(*MARKED, "--json-report", "--json-report-file=report.json", workers=workers)
    report = json.loads((project.root / "report.json").read_text())
    assert end.folder is not None
    assert report["l402"] == {
        "run_id": end.folder.name,
        "provisional_verdict": "INCOMPLETE",
        "final_document": str(end.folder),
        "rehearsals": {"alpha": "NOT_RUN", "beta": "PASSED"},
    }
    # The veto is in place before the other reports are written.
    assert report["exitcode"] == 1


def test_json_report_of_a_run_without_rehearsals(project: Project) -> None:
    project.run("tests", "--json-report", "--json-report-file=report.json")
    assert "l402" not in json.loads((project.root / "report.json").read_text())


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_junit_names_rehearsal_and_result(project: Project, workers: int) -> None:
    end = project.run(*MARKED, "--junitxml=junit.xml", workers=workers)
    assert end.folder is not None
    root = ElementTree.parse(project.root / "junit.xml").getroot()
    suite = {p.get("name"): p.get("value") for p in root.findall("testsuite/properties/property")}
    assert suite == {
        "l402_run": end.folder.name,
        "l402_provisional_verdict": "SIGNED_OFF",
        "l402_final_document": str(end.folder),
        "l402_rehearsals": "2 PASSED",
    }
    cases = root.iter("testcase")
    found = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")} for case in cases
    }
    assert set(found) == {"test_alpha", "test_beta[one]", "test_beta[two]"}
    for properties in found.values():
        assert set(properties) == {"l402_rehearsal", "l402_result"}
        path, _, digest = str(properties["l402_result"]).partition(" sha256:")
        assert hashlib.sha256((end.folder / path).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_what_lies_on_disk(project: Project, workers: int) -> None:
    end = project.run(*MARKED, workers=workers)
    assert end.folder is not None
    found = {path.relative_to(end.folder).as_posix() for path in end.folder.rglob("*") if path.is_file()}
    shapes = {re.sub(r"-[0-9a-f]{8}/", "-<digest>/", path) for path in found}
    assert shapes == {
        "SHA256SUMS",
        "badge.json",
        "comment.md",
        "ctrf.json",
        "signoff.html",
        "signoff.json",
        "signoff.md",
        "statement.json",
        "evidence/alpha/test_alpha/node.json",
        "evidence/alpha/test_alpha/records.jsonl",
        "evidence/alpha/test_alpha/secret_scan.jsonl",
        "evidence/beta/test_beta_one_-<digest>/node.json",
        "evidence/beta/test_beta_one_-<digest>/records.jsonl",
        "evidence/beta/test_beta_one_-<digest>/secret_scan.jsonl",
        "evidence/beta/test_beta_two_-<digest>/node.json",
        "evidence/beta/test_beta_two_-<digest>/records.jsonl",
        "evidence/beta/test_beta_two_-<digest>/secret_scan.jsonl",
    }
    sums = (end.folder / "SHA256SUMS").read_text().splitlines()
    for line in sums:
        digest, _, path = line.partition("  ")
        assert hashlib.sha256((end.folder / path).read_bytes()).hexdigest() == digest
    assert len(sums) == len(found) - 1


def test_cases_whose_names_differ_only_in_odd_characters_do_not_share_a_folder(project: Project) -> None:
    project.replace("rehearsals/test_beta.py", '["one", "two"]', '["a/b", "a?b", "a_b"]')
    end = project.run(*MARKED)
    assert end.verdict == "SIGNED_OFF", end.output
    assert end.folder is not None
    assert len(list((end.folder / "evidence" / "beta").iterdir())) == 3


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_a_failed_run_leaves_its_evidence_too(project: Project, workers: int) -> None:
    project.replace("rehearsals/test_alpha.py", *FAILING)
    end = project.run(*MARKED, workers=workers)
    assert end.folder is not None
    (row,) = (end.folder / "evidence/alpha/test_alpha/records.jsonl").read_text().splitlines()
    assert json.loads(row)["paidAmountMsats"] == 7
    (node,) = [
        node for entry in end.document["rehearsals"] for node in entry["nodes"] if "alpha" in node["nodeid"]
    ]
    assert [file["path"] for file in node["evidence"]] == [
        "evidence/alpha/test_alpha/records.jsonl",
        "evidence/alpha/test_alpha/secret_scan.jsonl",
    ]


def test_same_seed_same_evidence(project: Project) -> None:
    first = project.run(*MARKED, "--l402-seed=9")
    second = project.end_of_second(first, *MARKED, "--l402-seed=9")
    assert second.folder is not None

    def evidence(folder: Path) -> dict[str, bytes]:
        files = (path for path in (folder / "evidence").rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    assert evidence(project.root / "first-run") == evidence(second.folder)


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_artifacts_are_copied_to_where_the_runbook_looks(project: Project, workers: int) -> None:
    project.replace(
        "drilling.py",
        "    evidence.record",
        "    place = evidence.artifact_dir / 'flow' / 'one'\n"
        "    place.mkdir(parents=True)\n"
        "    (place / 'summary.json').write_text(line)\n"
        '    (place / f\'{changes.get("requestId", "req")}.json\').write_text(line)\n'
        "    evidence.record",
    )
    end = project.run(*MARKED, workers=workers)
    assert end.verdict == "SIGNED_OFF", end.output
    copied = project.root / "output" / "flow" / "one"
    # Three tests wrote into a folder of that name: it is the first one's in the catalogue's order, and whole.
    assert {path.name: path.read_text() for path in copied.iterdir()} == {
        "summary.json": "1.free",
        "req.json": "1.free",
    }


def test_an_artifact_is_no_sign_off(project: Project) -> None:
    project.replace(
        "drilling.py",
        "    evidence.record",
        "    place = evidence.artifact_dir / 'signoff' / '20990101T000000Z-00000000'\n"
        "    place.mkdir(parents=True)\n"
        "    (place / 'signoff.json').write_text('{}')\n"
        "    evidence.record",
    )
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert project.run_folders() == [end.folder]
