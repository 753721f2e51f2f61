"""`pytest-l402 explain`: whatever a report can show has a meaning, taken from where it is defined."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from command_runs import Run
from doc_pages import REPOSITORY, names_in, rows_of

from pytest_l402.commands.explanations import Explanation, check_factories, explanations, of_mutant
from pytest_l402.evidence.check import MutantVerdict
from pytest_l402.ops.aperture.finding import CODES
from pytest_l402.ops.compile.diagnostics import DiagnosticCode
from pytest_l402.ops.reconcile.steps import FailureCode
from pytest_l402.signoff.document_entries import CheckState, LineState
from pytest_l402.signoff.finding import Answer
from pytest_l402.signoff.judged import ReasonCode, RehearsalState, Verdict
from pytest_l402.signoff.provers import Rehearsed
from pytest_l402.stack.faults import FAULTS
from pytest_l402.triage.rules import RULES, Domain

CATALOGUE = REPOSITORY / "rehearsals" / "catalogue.yaml"


@pytest.fixture(scope="module")
def rehearsed() -> Rehearsed:
    return Rehearsed(CATALOGUE)


@pytest.fixture(scope="module")
def known(rehearsed: Rehearsed) -> list[Explanation]:
    return [*explanations(rehearsed)]


def test_every_id_that_a_report_can_show_is_explained(rehearsed: Rehearsed, known: list[Explanation]) -> None:
    catalogue = rehearsed.catalogue
    expected = {
        *(line.id for runbook in catalogue.runbooks for line in runbook.lines),
        *(entry.id for entry in catalogue.rehearsals),
        *check_factories(),
        *(
            str(each.value)
            for kind in (Verdict, RehearsalState, ReasonCode, CheckState, LineState)
            for each in kind
        ),
        *(
            str(each.value)
            for kind in (MutantVerdict, Answer, FailureCode, DiagnosticCode, Domain)
            for each in kind
        ),
        *CODES,
        *(rule.name for rule in RULES),
        *FAULTS,
    }
    assert expected - {each.id for each in known} == set()


def test_each_explanation_says_something(known: list[Explanation]) -> None:
    assert [
        each.id for each in known if not each.means or "None" in each.means or not (each.do or each.runbook)
    ] == []
    twice = Counter((each.kind, each.id, each.runbook) for each in known)
    assert [key for key, count in twice.items() if count > 1] == []


def test_each_line_names_a_check_that_is_to_prove_it(known: list[Explanation]) -> None:
    """But for those of a table of cases, which name their line in it."""
    of_cases = {"4.compile", "4.lookup", "4.apply", "4.health", "4.challenge", "4.proxy"}
    assert {each.id for each in known if each.kind == "line" and not each.more["checks"]} == of_cases


def test_the_checks_of_a_line_are_those_of_the_runbook_page(known: list[Explanation]) -> None:
    explained = {each.id: {*each.more["checks"]} for each in known if each.kind == "line"}
    text = (REPOSITORY / "docs" / "runbook-1-observability.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    listed = {
        names_in([row[1]])[0]: {*names_in([row[2]])} for row in rows if len(row) == 3 and names_in([row[1]])
    }
    listed = {line: checks for line, checks in listed.items() if line in explained}
    assert len(listed) > 40
    assert {line: explained[line] for line in listed} == listed


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("3.cache-hit", "runbook observability, L402 Observability + Rehearsal Runbook, section 3"),
        ("cached_request(first purchase, second purchase)", "cached_request (check)"),
        ("rollback_failed", "What ran before could not be put back."),
        ("check-violated", "(reason)"),
        ("SettlementLost", "pytest-l402 demo --fault SettlementLost"),
        ("records: plane=ui names another proof", "a row of records is one observation of one plane"),
        ("security_drill: ok is False", "evidence altered on purpose, in security_drill: ok is False."),
    ],
)
def test_it_is_told_to_people(name: str, told: str, run: Run) -> None:
    answer = run("explain", name)
    assert (answer.code, answer.err) == (0, "")
    assert told in " ".join(answer.out.split())


def test_a_mutant_names_the_checks_that_it_was_put_to_in_a_run(run: Run, tmp_path: Path) -> None:
    name = "anything: that somebody calls it"
    check = {
        "name": "mine()",
        "line": {"id": "1.mine", "section": "1", "text": "it is mine"},
        "mutants_killed": [],
        "mutants_survived": [{"name": name, "detail": ""}],
        "mutants_wrong_reason": [],
        "mutants_not_applicable": [],
    }
    folder = tmp_path / "output" / "signoff" / "run"
    folder.mkdir(parents=True)
    (folder / "refusal.json").write_text(json.dumps({"rehearsals": [{"nodes": [{"checks": [check]}]}]}))
    (folder / "drill.json").write_text("no JSON")
    (row,) = run("explain", name, "--json").document["explanations"]
    assert (row["kind"], row["checks"], row["runbook"]) == (
        "mutant",
        ["mine(): SURVIVED"],
        ["1 (1.mine): it is mine"],
    )


def test_lines_are_those_of_the_project_where_it_is_called(run: Run, tmp_path: Path) -> None:
    assert run("init", "own").code == 0
    (row,) = run("explain", "1.kept", "--json").document["explanations"]
    assert row["means"] == "the first guest keeps the seat (a line of the runbook)"
    assert (row["checks"], row["rehearsals"]) == (["some_row"], ["seat-twice"])
    assert run("explain", "3.cache-hit").code == 2
    assert run("explain", "3.cache-hit", "--catalogue", CATALOGUE).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cache-reus"], "saw 'cache-reus'; did you mean 'cache-reuse'?"),
        (["of_no_table: of the kind"], "expected an id of a line, rehearsal, check, mutant, code or fault"),
        (["3.cache-hit", "--catalogue", "none.yaml"], "none.yaml"),
        ([""], "saw ''"),
    ],
)
def test_what_there_is_not_is_answered_with_the_closest(arguments: list[str], message: str, run: Run) -> None:
    told = run("explain", *arguments)
    assert (told.code, told.out) == (2, "")
    assert message in told.err


def test_the_row_of_each_table_is_known(rehearsed: Rehearsed) -> None:
    for table in (
        name for row in rows_of("configuration.md", "## Evidence tables") for name in names_in(row[:1])
    ):
        assert of_mutant(f"{table}: rows are gone", (), rehearsed) is not None, table
