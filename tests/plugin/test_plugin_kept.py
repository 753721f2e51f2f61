"""A run keeps the evidence of each `verify`, and tells of checks whether they can be built again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from plugin_project import ON_WORKERS_TOO, Project

from pytest_l402.signoff.finding import Answer
from pytest_l402.signoff.verification import verify_folder

TWICE = """\
import pytest
from pytest_l402.evidence import some_record
from drilling import RECORD, nothing_paid

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

def test_alpha(l402_evidence):
    l402_evidence.record("records", RECORD)
    l402_evidence.verify(nothing_paid().proves("1.free"))
    l402_evidence.record("records", {**RECORD, "requestId": "req-2"})
    l402_evidence.verify(some_record(requestId="req-2"))
"""

DESCRIBED = """\
from pytest_l402.evidence import described

@described
def nothing_paid():
"""


@pytest.fixture
def twice(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.write("rehearsals/test_alpha.py", TWICE)
    monkeypatch.setattr(sys, "path", [str(project.root), *sys.path])
    return project


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_the_evidence_of_each_verify_is_kept(twice: Project, workers: int) -> None:
    end = twice.run("-m", "rehearsal", workers=workers)
    assert end.verdict == "SIGNED_OFF", end.output
    assert end.folder is not None
    (node,) = end.document["rehearsals"][0]["nodes"]
    first, second, *standing = node["checks"]
    folder = "evidence/alpha/test_alpha"
    assert (first["moment"], first["read"]) == ("verify-1", {f"{folder}/verify-1/records.jsonl": 1})
    assert (second["moment"], second["read"]) == ("verify-2", {f"{folder}/records.jsonl": 2})
    assert {check["moment"] for check in standing} == {"standing"}
    for check in node["checks"]:
        for path, rows in check["read"].items():
            assert len((end.folder / path).read_text().splitlines()) == rows


def test_the_evidence_of_a_verify_that_failed_is_kept_too(twice: Project) -> None:
    twice.replace("rehearsals/test_alpha.py", "RECORD)", '{**RECORD, "paidAmountMsats": 7})')
    end = twice.run("-m", "rehearsal", "-k", "alpha")
    assert end.folder is not None
    (node,) = end.document["rehearsals"][0]["nodes"]
    (check, *_) = node["checks"]
    assert (check["state"], check["moment"]) == ("VIOLATED", "verify-1")
    assert check["read"] == {"evidence/alpha/test_alpha/records.jsonl": 1}


def test_a_factory_that_is_not_described_cannot_be_judged_again(twice: Project) -> None:
    end = twice.run("-m", "rehearsal")
    found = verify_folder(end.folder or Path(), {"drilling"})
    assert found.answer is Answer.INCONCLUSIVE
    assert len(found.unknown) == 3
    assert all("nothing_paid(): its factory is not described" in text for text in found.unknown)


def test_a_described_factory_of_somebody_else_is_imported_only_where_that_is_permitted(
    twice: Project,
) -> None:
    twice.replace("drilling.py", "def nothing_paid():\n", DESCRIBED)
    end = twice.run("-m", "rehearsal")
    assert end.folder is not None
    found = verify_folder(end.folder)
    assert (found.answer, len(found.unknown)) == (Answer.INCONCLUSIVE, 3)
    assert "'drilling:nothing_paid' is of another module" in found.unknown[0]
    found = verify_folder(end.folder, {"drilling"})
    assert (found.answer, found.differences, found.unknown) == (Answer.HOLDS, (), ())
