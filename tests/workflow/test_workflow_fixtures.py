"""What a run says when its drills cannot run, and when it is told to keep them where nothing can be kept."""

from __future__ import annotations

import pytest
from drilled import REHEARSALS

CATALOGUE = """
version: 1
runbooks:
  durable-workflow:
    title: Ops
    lines: [{id: "6.none", section: "6", source: runbook, text: "an artifact of kind none"}]
rehearsals:
  - {id: zero-output, runbook: durable-workflow, family: durable-workflow, section: "6", title: None,
     kind: scenario, proves: ["6.none"]}
"""
DRILL = """
import pytest
from pytest_l402.evidence import some_row

@pytest.mark.rehearsal("zero-output", runbook="durable-workflow", section="6")
def test_drill(l402_workflow, l402_evidence):
    l402_workflow.worker()
    run = l402_workflow.start()
    l402_workflow.finished(run)
    l402_evidence.verify(some_row("artifacts", workflowID=run, kind="none").proves("6.none"))
"""
WITHOUT_ENGINE = """
import pytest_l402.workflow.processes as processes
processes.find_spec = lambda name: None
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    assert REHEARSALS.is_dir()
    folder = pytester.mkdir("rehearsals")
    (folder / "catalogue.yaml").write_text(CATALOGUE)
    (folder / "test_drill.py").write_text(DRILL)
    return pytester


def test_a_drill_of_somebody_else_signs_off(project: pytest.Pytester) -> None:
    end = project.runpytest_subprocess("-m", "rehearsal", "-p", "no:cacheprovider")
    assert end.ret == 0
    end.stdout.fnmatch_lines(["SIGNED OFF: 1 of 1 required rehearsal passed*"])


def test_without_the_engine_the_drills_are_not_run_and_nothing_is_signed_off(
    project: pytest.Pytester,
) -> None:
    project.makeconftest(WITHOUT_ENGINE)
    end = project.runpytest_subprocess("-m", "rehearsal", "-p", "no:cacheprovider")
    assert end.ret != 0
    text = " ".join(end.stdout.str().split())
    assert "INCOMPLETE, NOT SIGNED OFF" in text
    assert "pip install 'pytest-l402[durable]'" in text


@pytest.mark.parametrize("word", ["oracle", "sqlite:///somebody.sqlite"])
def test_a_word_that_is_no_database_is_refused_before_the_run(project: pytest.Pytester, word: str) -> None:
    end = project.runpytest_subprocess("-m", "rehearsal", f"--l402-workflow-database={word}")
    assert end.ret == pytest.ExitCode.USAGE_ERROR
    expected = "ERROR: --l402-workflow-database: expected sqlite, postgresql, or postgresql://…, saw *"
    end.stderr.fnmatch_lines([expected])


def test_a_server_that_does_not_answer_fails_in_one_line(project: pytest.Pytester) -> None:
    url = "postgresql://po:secret@127.0.0.1:1/shop"
    end = project.runpytest_subprocess("-m", "rehearsal", f"--l402-workflow-database={url}")
    assert end.ret != 0
    text = end.stdout.str()
    assert "workflow database (127.0.0.1:1/shop): expected" in text
    assert "secret" not in text
    assert "Error" not in text.replace("ERROR", "")
