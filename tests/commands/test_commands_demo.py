"""`pytest-l402 demo`: the same drill holds as it is, and fails for what the fault does that is put in."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from command_runs import Run
from doc_pages import REPOSITORY
from test_billing_faults import CASES as OF_BILLING
from test_workflow_mutant_engines import CASES as OF_THE_ENGINE

from pytest_l402.billing.faults import BillingFault
from pytest_l402.commands.demo import _missing
from pytest_l402.commands.demonstrations import DRILLS, ENDURED, what_it_does
from pytest_l402.stack.faults import FAULTS
from pytest_l402.workflow.faults import EngineFault

ALL = [*FAULTS, *EngineFault, *BillingFault]


@pytest.fixture(autouse=True)
def in_a_folder_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_every_fault_of_every_family_is_shown_and_says_what_it_does() -> None:
    assert [*DRILLS] == [*map(str, ALL)]
    assert what_it_does().keys() == DRILLS.keys()
    assert all(what_it_does().values())


@pytest.mark.parametrize(("folder", "cases"), [("durable_workflow", OF_THE_ENGINE), ("billing", OF_BILLING)])
def test_engine_and_service_are_shown_by_the_drill_that_was_made_for_each_fault(
    folder: str, cases: list
) -> None:
    assert {case.fault.value: f"{folder}/{case.module}.py::{case.drill}" for case in cases} == {
        case.fault.value: DRILLS[case.fault.value].partition("[")[0] for case in cases
    }


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["SettlementLost", "effect-repeated", "mint-unbalanced"])
def test_a_drill_is_green_and_then_red(fault: str, run: Run) -> None:
    document = run("demo", "--fault", fault, "--json").document
    green, red = document["asItIs"], document["withFault"]
    assert document["ok"] is True, document
    assert (green["state"], red["state"]) == ("PASSED", "FAILED")
    assert green["checks"] == green["checksHeld"] > 5
    assert green["mutantsKilled"] > green["checks"]
    for part in ("  expected  ", "  seen      ", "  where     ", "  do        "):
        assert part in red["finding"]
    assert json.loads(Path(document["folder"], "drill.json").read_text())["verdict"] == "DRILL"
    assert Path(red["evidence"]).is_dir()


FAULTS_OF_EACH_TEST = """
DRILLS = {drills!r}


def pytest_generate_tests(metafunc):
    if "l402_demo_fault" in metafunc.fixturenames:
        shown = [fault for fault, test in DRILLS.items() if test == metafunc.function.__name__]
        metafunc.parametrize("l402_demo_fault", shown, ids=[f"with {{fault}}" for fault in shown])
"""


@pytest.mark.slow
def test_each_fault_of_the_platform_is_found_for_what_it_does(pytester: pytest.Pytester) -> None:
    """Not for being there: it is gone when the evidence is judged, and it fired."""
    pytester.makeini("[pytest]")
    shutil.copy(REPOSITORY / "starters" / "demo" / "conftest.py", pytester.path / "conftest.py")
    tests = {DRILLS[fault] for fault in FAULTS}
    for module in {test.partition("::")[0] for test in tests}:
        target = pytester.path / "rehearsals" / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "rehearsals" / module, target)
    drills = {fault: DRILLS[fault].partition("::")[2].partition("[")[0] for fault in FAULTS}
    (pytester.path / "rehearsals" / "conftest.py").write_text(FAULTS_OF_EACH_TEST.format(drills=drills))
    result = pytester.runpytest_inprocess(
        *("-m", "rehearsal", "--l402-no-teeth", "-p", "no:cacheprovider", "--tb=no"),
        f"--l402-catalogue={REPOSITORY / 'rehearsals' / 'catalogue.yaml'}",
        *(
            "-k",
            f"{' or '.join({*drills.values()} - {'test_rolls_back'})} or apply-refused and test_rolls_back",
        ),
    )
    (path,) = pytester.path.glob("output/signoff/*/drill.json")
    wrong = {}
    for rehearsal in json.loads(path.read_text())["rehearsals"]:
        for node in rehearsal["nodes"]:
            fault = node["case"].partition("[with ")[2].partition("]")[0].partition("-")[0]
            wrong[fault] = {check["name"] for check in node["checks"] if check["violations"]}
    assert wrong.keys() == FAULTS.keys(), "\n".join(result.outlines)
    assert {fault for fault, names in wrong.items() if not names} == ENDURED
    assert not {fault for fault, names in wrong.items() if "every_fault_fired()" in names}


def test_what_is_not_installed_is_named_once() -> None:
    skipped = (
        "rehearsals/a.py::b[as it is] was skipped (expected the engine (section 0), saw none; pip install it)"
    )
    reasons = [{"code": "deselected", "text": "c was deselected"}, {"code": "skipped", "text": skipped}]
    assert _missing(reasons) == "expected the engine (section 0), saw none; pip install it"
    assert _missing(reasons[:1]) == "the drill was not run"


@pytest.mark.slow
def test_people_read_both_and_where_the_evidence_lies(run: Run) -> None:
    told = run("demo", "--fault", "NodeDegraded")
    assert (told.code, told.err) == (0, "")
    said = told.out.splitlines()
    assert said[2] == "PASSED  as it is"
    assert said[4].startswith("PASSED  with NodeDegraded: The buyer's node reports itself degraded")
    assert said[5].strip() == "the fault fired, and a purchase must succeed all the same"
    (place,) = (line.split()[-1] for line in said if line.startswith("all that it left"))
    assert Path(place, "drill.json").is_file()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("challengefailur", "saw 'challengefailur'; did you mean ChallengeFailure?"),
        ("mint-unbalancd", "did you mean mint-unbalanced?"),
        ("Zzz", "pytest-l402 demo --list names them all"),
        ("UpstreamFailure:200", "expected an error status 400..599, saw 200"),
        ("no-lock:1", "expected no-lock alone, saw 'no-lock:1'; it takes no value"),
        ("", "expected the name of a fault, saw ''"),
    ],
)
def test_a_fault_that_there_is_not_is_answered_with_the_closest(
    given: str, message: str, run: Run, tmp_path: Path
) -> None:
    told = run("demo", "--fault", given)
    assert (told.code, told.out) == (2, "")
    assert message in told.err
    assert not [*tmp_path.iterdir()]


def test_the_list_names_each(run: Run) -> None:
    listed = run("demo", "--list").out
    assert all(f"{fault} " in listed for fault in DRILLS)
    assert [row["fault"] for row in run("demo", "--list", "--json").document["faults"]] == [*DRILLS]
