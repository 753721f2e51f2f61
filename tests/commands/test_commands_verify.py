"""`pytest-l402 verify`: what it answers of a run folder, to people and to machines, by which exit code."""

from __future__ import annotations

import json
import re
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest
from command_runs import Run
from kept_run import KeptRun, make_run

import pytest_l402
from pytest_l402.commands.verify import FACTORIES
from pytest_l402.evidence.recipe import Recipe

THEN = ("--at", "2026-11-22T00:00:00Z")
"""The day after the run; a run that is older than its window does not hold."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> KeptRun:
    return make_run(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def kept(made: KeptRun, tmp_path: Path) -> KeptRun:
    return made.copied_to(tmp_path)


def test_a_run_that_holds(run: Run, kept: KeptRun) -> None:
    told = run("verify", *THEN, kept.folder)
    assert (told.code, told.err) == (0, "")
    first, second, *attested = told.out.splitlines()
    assert attested == [
        "  signature: none: UNSIGNED: nobody has put a signature on this run",
        "  approvals: none: nobody has approved this run",
        "  window: holds: counts until 2026-12-21T12:00:01.500Z",
        "  chain: none: names no run before it: its output folder held none",
    ]
    assert first == f"verify: holds: SIGNED_OFF of run {kept.folder.name}, UNSIGNED"
    assert second.endswith("were judged again on the kept evidence")
    assert run("verify", *THEN, kept.folder, "--signed-off").code == 0
    document = run("verify", *THEN, kept.folder, "--json").document
    assert list(document)[:4] == ["ok", "answer", "verdict", "signature"]
    assert (document["ok"], document["answer"], document["runId"]) == (True, "holds", kept.folder.name)
    assert document["checksJudged"] > 10
    assert document["mutantsJudged"] > 50


def test_a_run_whose_evidence_was_altered(run: Run, kept: KeptRun) -> None:
    kept.change_rows("reuse", "records.jsonl", cacheHit=False)
    kept.seal()
    told = run("verify", *THEN, kept.folder)
    assert told.code == 1
    assert told.out.startswith("verify: DOES NOT HOLD: SIGNED_OFF of run ")
    line = next(line for line in told.out.splitlines() if "some_record(cacheHit=true)" in line)
    assert line.startswith("  judged again: rehearsals/test_reuse.py::test_it: ")
    assert "the document says state HELD, judging again says VIOLATED" in line
    document = run("verify", *THEN, kept.folder, "--json").document
    assert (document["ok"], document["answer"]) == (False, "contradicted")
    assert document["differences"]


def test_a_run_that_contradicts_itself(run: Run, kept: KeptRun) -> None:
    path = kept.place("reuse") / "records.jsonl"
    path.write_text(path.read_text() + "\n")
    told = run("verify", *THEN, kept.folder)
    assert told.code == 1
    assert (
        "  contradicts itself: evidence/reuse/test_it/records.jsonl: changed since it was listed" in told.out
    )


def test_a_run_that_cannot_be_judged_again(run: Run, kept: KeptRun) -> None:
    kept.alter_check("reuse", "some_record", recipe=None)
    kept.seal()
    told = run("verify", *THEN, kept.folder)
    assert told.code == 2
    assert told.out.startswith("verify: INCONCLUSIVE: SIGNED_OFF of run ")
    assert (
        "  cannot be judged again: rehearsals/test_reuse.py::test_it: some_record(cacheHit=true): "
        in told.out
    )
    assert run("verify", *THEN, kept.folder, "--signed-off").code == 2


def test_a_refusal_that_holds_is_no_sign_off(run: Run, kept: KeptRun) -> None:
    kept.alter("reuse", phases={"setup": "passed", "call": "failed", "teardown": "passed"}, failure="E  no")
    kept.exit_status = 1
    kept.seal()
    told = run("verify", *THEN, kept.folder)
    assert told.code == 0
    assert told.out.startswith("verify: holds: NOT_SIGNED_OFF of run ")
    assert run("verify", *THEN, kept.folder, "--signed-off").code == 1


@pytest.mark.parametrize("name", ["missing", "empty", "file", "\x1b[31mred"])
def test_what_is_no_run_folder(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    told = run("verify", tmp_path / name)
    assert told.code == 2
    assert told.out.splitlines()[0] == "verify: INCONCLUSIVE"
    assert "expected a run folder, saw none" in told.out
    assert "\x1b" not in told.out
    assert json.loads(run("verify", tmp_path / name, "--json").out)["verdict"] is None


def test_a_document_that_is_none(run: Run, kept: KeptRun) -> None:
    (kept.folder / "signoff.json").write_text("{}")
    told = run("verify", *THEN, kept.folder)
    assert told.code == 1
    assert told.out.splitlines()[0] == "verify: DOES NOT HOLD"
    assert "Traceback" not in told.out + told.err


BESIDE = """\
from pytest_l402.evidence import described, some_record

@described
def some_hit():
    return some_record(cacheHit=True)
"""


def test_a_module_beside_the_tests_is_found_as_pytest_finds_it(
    run: Run, kept: KeptRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.alter_check("reuse", "some_record", recipe=Recipe("hits_of_a_test:some_hit"))
    kept.seal()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    told = run("verify", *THEN, "--import", "hits_of_a_test", kept.folder)
    assert told.code == 2
    assert "cannot be judged again" in told.out
    assert "hits_of_a_test cannot be imported: ModuleNotFoundError" in told.out
    assert "DOES NOT HOLD" not in told.out
    (tmp_path / "rehearsals").mkdir()
    (tmp_path / "rehearsals" / "hits_of_a_test.py").write_text(BESIDE)
    invalidate_caches()
    assert run("verify", *THEN, kept.folder).code == 2
    told = run("verify", *THEN, "--import", "hits_of_a_test", kept.folder)
    assert (told.code, told.err) == (0, ""), told.out


def test_every_factory_of_this_package_can_be_judged_again_by_a_stranger() -> None:
    package = Path(pytest_l402.__file__).parent
    described = {
        ".".join(("pytest_l402", *module.relative_to(package).with_suffix("").parts))
        for module in package.rglob("*.py")
        if re.search(r"(?m)^\s*@described\b", module.read_text())
    }
    # Those of evidence/ are known by their bare names.
    assert {name for name in described if not name.startswith("pytest_l402.evidence.")} == set(FACTORIES)
