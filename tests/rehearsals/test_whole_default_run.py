"""`pytest -m rehearsal`, as an operator types it, ends in a sign-off that somebody else can check."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from rehearsed_project import REPOSITORY, Rehearsed, RehearsedProject, catalogue_of

from pytest_l402.commands.explanations import explanations, of_mutant
from pytest_l402.signoff.provers import Rehearsed as Sources

HISTORICAL = REPOSITORY / "tests" / "contract" / "vectors" / "local-node-artifact.json"


@pytest.fixture
def run(rehearsals: RehearsedProject) -> Rehearsed:
    return rehearsals.run_process()


def test_the_default_run_is_signed_off(rehearsals: RehearsedProject, run: Rehearsed) -> None:
    assert (run.exit, run.verdict) == (0, "SIGNED_OFF"), run.output
    assert "SIGNED OFF: 7 of 7 required rehearsals passed" in run.output
    document = run.document
    assert document["kind"] == "signoff"
    assert document["reasons"] == document["waivers"] == []
    catalogue = catalogue_of("observability")
    proves = {entry["id"]: entry["proves"] for entry in catalogue["rehearsals"]}
    texts = {line["id"]: line["text"] for line in catalogue["runbooks"]["observability"]["lines"]}
    assert [entry["id"] for entry in document["rehearsals"]] == list(proves)
    for entry in document["rehearsals"]:
        assert entry["state"] == "PASSED"
        assert {line["id"]: (line["state"], line["text"]) for line in entry["lines"]} == {
            line: ("PROVEN", texts[line]) for line in proves[entry["id"]]
        }
        for node in entry["nodes"]:
            assert node["phases"] == dict.fromkeys(("setup", "call", "teardown"), "passed")
            assert {check["scope"] for check in node["checks"]} == {"asked", "standing"}
            assert node["request_ids"]
            assert node["evidence"]
            for check in node["checks"]:
                assert check["state"] == "HELD"
                assert check["rows"] > 0
                assert check["mutants_killed"]
                assert check["mutants_survived"] == check["violations"] == []
    _assert_hashes_match(run)
    _assert_all_is_explained(run)


def _assert_all_is_explained(run: Rehearsed) -> None:
    """What `pytest-l402 explain` says needs no run, and says something of all that a run shows."""
    rehearsed = Sources(REPOSITORY / "rehearsals" / "catalogue.yaml")
    explained = {each.id for each in explanations(rehearsed)}
    shown, mutants = {run.verdict}, set()
    for entry in run.document["rehearsals"]:
        shown |= {entry["id"], entry["state"], *(line["id"] for line in entry["lines"])}
        for check in (check for node in entry["nodes"] for check in node["checks"]):
            shown |= {check["state"], check["name"].partition("(")[0]}
            mutants |= {*check["mutants_killed"]}
    assert shown - explained == set()
    assert {name for name in mutants if of_mutant(name, (), rehearsed) is None} == set()


def _assert_hashes_match(run: Rehearsed) -> None:
    listed = {}
    for entry in run.document["rehearsals"]:
        for node in entry["nodes"]:
            for file in node["evidence"]:
                content = (run.folder / file["path"]).read_bytes()
                assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
                listed[file["path"]] = file["sha256"]
    # Every file of evidence is listed, but for what names the others.
    there = {f"evidence/{name}" for name in run.evidence() if not name.endswith("/node.json")}
    assert there == listed.keys()
    assert len(listed) > 250


@pytest.mark.slow
def test_others_can_use_and_check_what_was_written(rehearsals: RehearsedProject, run: Rehearsed) -> None:
    written = {path.relative_to(rehearsals.output).as_posix() for path in _files(rehearsals.output)}
    assert {"l402-hosted-full-flow-summary.json", "l402-local-node-smoke-artifact.json"} <= written
    (flow,) = {Path(name).parent for name in written if name.startswith("lightning-ops/full-flow/")}
    assert {(flow / name).as_posix() for name in ("events.jsonl", "summary.json")} <= written
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("sha256sum is not installed")
    check = [tool, "--check", "--strict", "--quiet", "SHA256SUMS"]
    done = subprocess.run(check, cwd=run.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    path = next(iter(sorted((run.folder / "evidence").rglob("records.jsonl"))))
    path.write_bytes(path.read_bytes() + b"\n")
    assert subprocess.run(check, cwd=run.folder, capture_output=True, check=False).returncode == 1


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_the_historical_artifact_is_judged_and_its_shortfalls_are_named(
    rehearsals: RehearsedProject,
) -> None:
    shutil.copy(HISTORICAL, rehearsals.root / "historical.json")
    run = rehearsals.run("--l402-local-artifact=historical.json")
    assert (run.exit, run.verdict) == (0, "SIGNED_OFF"), run.output
    (node,) = (
        node
        for node in run.rehearsal("local-node-success")["nodes"]
        if node["case"] == "test_historical_artifact_is_reference_only"
    )
    (check,) = (check for check in node["checks"] if check["line"])
    assert (check["line"]["id"], check["state"], check["rows"]) == ("2.reference-only", "HELD", 1)
    fallen_short = {entry["line"]["id"]: entry["seen"] for entry in node["shortfalls"]}
    assert "nodeSyncStatus=degraded" in fallen_short["6.degraded-success"]
    assert "taskId" in fallen_short["correlate.local-artifact"]
    assert "a secret in the clear" in fallen_short["Programmatic Verification"]
    for line in fallen_short:
        assert f"falls short of {line}: " in run.output
    # It is reference only: none of its records counts among those of the run.
    assert node["request_ids"] == []


@pytest.mark.slow
def test_a_missing_artifact_is_refused_unless_it_is_waived(rehearsals: RehearsedProject) -> None:
    run = rehearsals.run("--l402-local-artifact=none.json", "--l402-allow-missing-local-artifact")
    assert (run.exit, run.verdict) == (0, "SIGNED_OFF"), run.output
    assert run.rehearsal("local-node-success")["state"] == "WAIVED"
    (waiver,) = run.document["waivers"]
    assert (waiver["source"], waiver["effect"]) == ("--allow-missing-local-artifact", "waived")
    assert "6 of 7 required rehearsals passed, 1 only by waiver" in run.output
