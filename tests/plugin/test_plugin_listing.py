"""`pytest --l402-list` shows each rehearsal with its lines and what is to prove them, and runs nothing."""

from __future__ import annotations

import pytest
from doc_pages import REPOSITORY

from pytest_l402.signoff.provers import Prover, provers, rehearsals

CATALOGUE = REPOSITORY / "rehearsals" / "catalogue.yaml"


def test_it_lists_what_the_package_rehearses(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(
        f"--l402-catalogue={CATALOGUE}", "--l402-list", "--l402-required=billing"
    )
    assert result.ret == 0
    said = result.outlines
    assert said[0] == "observability: L402 Observability + Rehearsal Runbook"
    place = said.index("  cache-reuse  section 3, scenario, not required: Cache reuse")
    assert said[place + 1].strip().endswith("rehearsals/observability/test_3_cache_reuse.py")
    assert said[place + 2 : place + 4] == [
        "    3.cache-hit [runbook]: at least one record has cacheHit=true",
        "        some_record, cached_request",
    ]
    assert "  gate-rollback  section 4, drill, required: Gate rollback" in said
    assert said[-1].startswith("35 rehearsals, ")
    assert not [*pytester.path.glob("output")]


def test_what_nobody_rehearses_and_what_is_named_later_is_said(pytester: pytest.Pytester) -> None:
    starter = REPOSITORY / "starters" / "own"
    folder = pytester.mkdir("rehearsals")
    (folder / "catalogue.yaml").write_text((starter / "catalogue.yaml").read_text())
    said = pytester.runpytest_inprocess("--l402-list").outlines
    assert "    no test beside the catalogue is marked as this rehearsal" in said
    (folder / "test_seat.py").write_text(
        "import pytest\npytestmark = [pytest.mark.rehearsal('seat-twice', runbook='sale', section='1')]\n"
    )
    (folder / "test_broken.py").write_text("def :")
    said = pytester.runpytest_inprocess("--l402-list").outlines
    assert said[1:5] == [
        "  seat-twice  section 1, drill, required: One seat, two guests",
        "    rehearsals/test_seat.py",
        "    1.refused [runbook]: the second guest for a seat is turned away",
        "        a check that names it when it runs",
    ]


def test_a_catalogue_that_cannot_be_used_is_one_line(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--l402-list")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --l402-list: *rehearsals/catalogue.yaml: expected a readable file, saw: *"]
    )


SOURCE = """
import pytest

@pytest.mark.rehearsal("one", runbook="r", section="1")
def test_one(l402_evidence, line):
    l402_evidence.verify(held().proves("1.a"), module.other("x").proves("1.b"), held().proves(line))
    helper(l402_evidence)

@pytest.mark.slow
@pytest.mark.rehearsal("two", runbook="r", section="2")
def test_two(l402_evidence):
    l402_evidence.verify(*(some(each).proves("2.a") for each in "ab"), CHECKS[0].proves("2.b"))

def helper(evidence):
    evidence.verify(held().proves("1.c"))
"""


def test_what_a_source_ties_to_lines() -> None:
    assert rehearsals(SOURCE) == ("one", "two")
    assert provers(SOURCE) == (
        Prover("one", "1.a", "held"),
        Prover("one", "1.b", "other"),
        Prover("two", "2.a", "some"),
        Prover("two", "2.b", "CHECKS[0]"),
        Prover(None, "1.c", "held"),
    )
