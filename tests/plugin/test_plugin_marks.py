"""What a rehearsal mark must say: any other costs one line and exit code 4, and is told what is near."""

from __future__ import annotations

import pytest
from plugin_project import BETA, ON_WORKERS_TOO, Project

MARK = 'pytest.mark.rehearsal("alpha", runbook="book", section="1")'
NODE = "rehearsals/test_alpha.py::test_alpha"
FORM = 'rehearsal("<id>", runbook="<runbook>", section="<section>")'

BAD_MARKS = {
    "unknown id": (
        'pytest.mark.rehearsal("alhpa", runbook="book", section="1")',
        f"{NODE}: expected a rehearsal id of <root>/rehearsals/catalogue.yaml, saw 'alhpa'; "
        "did you mean 'alpha'?",
    ),
    "unknown id, nothing near": (
        'pytest.mark.rehearsal("zzz", runbook="book", section="1")',
        f"{NODE}: expected a rehearsal id of <root>/rehearsals/catalogue.yaml, saw 'zzz'; "
        "add it to <root>/rehearsals/catalogue.yaml",
    ),
    "no runbook": (
        'pytest.mark.rehearsal("alpha", section="1")',
        f"{NODE}: expected {FORM}, saw rehearsal('alpha', section='1'); give the three names",
    ),
    "no section": (
        'pytest.mark.rehearsal("alpha", runbook="book")',
        f"{NODE}: expected {FORM}, saw rehearsal('alpha', runbook='book'); give the three names",
    ),
    "bare": ("pytest.mark.rehearsal", f"{NODE}: expected {FORM}, saw rehearsal(); give the three names"),
    "two ids": (
        'pytest.mark.rehearsal("alpha", "beta", runbook="book", section="1")',
        f"{NODE}: expected {FORM}, saw rehearsal('alpha', 'beta', runbook='book', section='1'); "
        "give the three names",
    ),
    "number for a section": (
        'pytest.mark.rehearsal("alpha", runbook="book", section=1)',
        f"{NODE}: expected {FORM}, saw rehearsal('alpha', runbook='book', section=1); give the three names",
    ),
    "misspelt name": (
        'pytest.mark.rehearsal("alpha", runbok="book", section="1")',
        f"{NODE}: expected {FORM}, saw rehearsal('alpha', runbok='book', section='1'); give the three names",
    ),
    "another runbook": (
        'pytest.mark.rehearsal("alpha", runbook="billing", section="1")',
        f"{NODE}: expected runbook 'book' for rehearsal 'alpha', saw 'billing'; "
        "change the mark, or <root>/rehearsals/catalogue.yaml",
    ),
    "another section": (
        'pytest.mark.rehearsal("alpha", runbook="book", section="7")',
        f"{NODE}: expected section '1' for rehearsal 'alpha', saw '7'; "
        "change the mark, or <root>/rehearsals/catalogue.yaml",
    ),
    "two marks": (
        f'[{MARK}, pytest.mark.rehearsal("beta", runbook="book", section="2")]',
        f"{NODE}: expected one rehearsal for each test, saw marks for 'alpha' and 'beta'; keep one of them",
    ),
}


def assert_refused(project: Project, message: str, workers: int) -> None:
    end = project.run("-m", "rehearsal", workers=workers)
    assert (end.exit, end.verdict) == (4, None), end.output
    assert [line for line in end.output.splitlines() if line.startswith("ERROR")] == [f"ERROR: {message}"], (
        end.output
    )
    assert "Traceback" not in end.output


@pytest.mark.parametrize("case", BAD_MARKS)
def test_bad_mark(project: Project, case: str) -> None:
    mark, message = BAD_MARKS[case]
    project.replace("rehearsals/test_alpha.py", MARK, mark)
    assert_refused(project, message, workers=0)


@pytest.mark.slow
def test_bad_mark_on_two_workers(project: Project) -> None:
    mark, message = BAD_MARKS["unknown id"]
    project.replace("rehearsals/test_alpha.py", MARK, mark)
    assert_refused(project, message, workers=2)


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_one_rehearsal_in_two_modules(project: Project, workers: int) -> None:
    project.write("rehearsals/test_copy.py", BETA)
    message = (
        "rehearsals/test_copy.py::test_beta[one]: expected rehearsal 'beta' in one module, "
        "saw it is in rehearsals/test_beta.py too; merge them, or rename one"
    )
    assert_refused(project, message, workers)


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_rehearsals_without_a_catalogue(project: Project, workers: int) -> None:
    (project.root / "rehearsals/catalogue.yaml").unlink()
    message = "<root>/rehearsals/catalogue.yaml: expected a readable file, saw: No such file or directory"
    assert_refused(project, message, workers)


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_broken_catalogue(project: Project, workers: int) -> None:
    project.replace("rehearsals/catalogue.yaml", "id: beta", "id: alpha")
    end = project.run("-m", "rehearsal", workers=workers)
    assert (end.exit, end.verdict, end.moved) == (4, None, False), end.output
    (error,) = [line for line in end.output.splitlines() if line.startswith("ERROR")]
    assert error.startswith("ERROR: <root>/rehearsals/catalogue.yaml: rehearsals[1]")


def test_the_nearest_mark_may_repeat_the_outer_one(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", "def test_alpha", f"@{MARK}\ndef test_alpha")
    assert project.run("-m", "rehearsal").verdict == "SIGNED_OFF"


def test_bad_marks_that_are_not_selected_hurt_nobody(project: Project) -> None:
    project.replace("rehearsals/test_alpha.py", '"alpha"', '"alhpa"')
    assert project.run("-m", "not rehearsal").exit == 0


def test_marker_is_listed(project: Project) -> None:
    assert (
        "@pytest.mark.rehearsal(id, *, runbook, section): this test is a rehearsal"
        in project.run("--markers").output
    )


def test_misspelt_marker_expression_is_pytests_own_error(project: Project) -> None:
    project.replace("pyproject.toml", "testpaths", "strict = true\ntestpaths")
    end = project.run("-m", "rehersal")
    assert end.exit == 4, end.output
