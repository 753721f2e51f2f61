"""A system without a word of L402 signs off by its own laws, and the document says who it was."""

from __future__ import annotations

from typing import Any

import pytest
from plugin_project import Project
from tiers import sampled

MARKED = ("-m", "rehearsal")

LEDGER = """\
from pytest_l402.evidence import Check, Finding, Part, parts_of, some_row
from pytest_l402.evidence.mutants import set_value

class Ledger:
    name, version, digest = "ledger", "3.1", "sha256:" + "a" * 64

    def __init__(self):
        self.entries = [{"account": "a", "amount": 5}, {"account": "b", "amount": -5}]

    def parts(self):
        return parts_of("books", self)

    def tables(self):
        return {"entries": self.entries}

    def steady_state(self, when):
        return [{"when": when, "probe": "open", "ok": True, "detail": ""}]

    def standing_checks(self):
        return [sums_to_zero()]

def sums_to_zero():
    def judge(evidence):
        total = sum(row["amount"] for row in evidence.table("entries"))
        if total:
            yield Finding("a sum of 0", str(total), "table entries", "find the entry without a counterpart")

    return Check("sums_to_zero()", judge, (set_value("entries", "amount", 7),), ("entries",))
"""

ALPHA = """\
import pytest
from ledger import Ledger, some_row

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

def test_alpha(l402_evidence):
    ledger = Ledger()
    l402_evidence.attach(ledger)
    l402_evidence.verify(some_row("entries", account="a").proves("1.free"))
"""

FIRST = "--l402-required=first"


@pytest.fixture
def ledger(project: Project) -> Project:
    """The project, whose first family is about a ledger."""
    project.write("ledger.py", LEDGER)
    project.write("rehearsals/test_alpha.py", ALPHA)
    return project


def standing(document: dict[str, Any]) -> list[tuple[str, str]]:
    alpha = next(entry for entry in document["rehearsals"] if entry["id"] == "alpha")
    checks = [check for node in alpha["nodes"] for check in node["checks"]]
    told = [(check["name"], check["state"]) for check in checks if check["scope"] == "standing"]
    assert ("no_secrets()", "HELD") in told
    return [each for each in told if each[0] != "no_secrets()"]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_it_signs_off_by_its_own_laws_and_is_named(ledger: Project, workers: int) -> None:
    end = ledger.run(*MARKED, FIRST, workers=workers)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert standing(end.document) == [("sums_to_zero()", "HELD")]
    (system,) = end.document["systems"]
    (part,) = system.pop("parts")
    assert system == {
        "name": "ledger",
        "version": "3.1",
        "digest": f"sha256:{'a' * 64}",
        "pinned": "by-digest",
        "tests": 1,
        "standing_checks": ["sums_to_zero()"],
    }
    assert (part["role"], part["name"], part["distribution"], part["ours"]) == (
        "books",
        "Ledger",
        None,
        False,
    )
    said = " ".join(end.output.split())
    assert f"Tested system: ledger 3.1, pinned by sha256:{'a' * 64}; books: Ledger (ledger.py, in no" in said


def test_a_law_that_does_not_hold_refuses_the_run(ledger: Project) -> None:
    ledger.replace(
        "rehearsals/test_alpha.py",
        "    l402_evidence.verify",
        "    ledger.entries.pop()\n    l402_evidence.verify",
    )
    end = ledger.run(*MARKED, FIRST)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert standing(end.document) == [("sums_to_zero()", "VIOLATED")]


def test_a_system_without_laws_signs_off_and_that_is_told(ledger: Project) -> None:
    ledger.replace("ledger.py", "[sums_to_zero()]", "[]")
    end = ledger.run(*MARKED, FIRST)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert standing(end.document) == []
    assert end.document["systems"][0]["standing_checks"] == []
    assert "no standing checks" in " ".join(end.output.split())


BAD = {
    "no-version": (('"3.1"', '""'), "system 'ledger': expected a version, saw ''; "),
    "tables": (('{"entries": self.entries}', "[1]"), "expected tables() to return a mapping, saw list; "),
    "row": (('{"entries": self.entries}', '{"entries": [1]}'), "entries[0]: expected a row, saw int; "),
    "parts": (('parts_of("books", self)', "[1]"), "expected parts() to return Part objects, saw int; "),
    "checks-raise": (("[sums_to_zero()]", "1 / 0"), "expected standing_checks() to answer, saw ZeroDivision"),
    "check-raises": (('sum(row["amount"]', 'sum(row["sum"]'), "a check that can read its evidence"),
}


@pytest.mark.parametrize("name", sampled(list(BAD), 3, "bad systems"))
def test_a_bad_system_refuses_the_run_in_one_line_without_a_traceback(ledger: Project, name: str) -> None:
    change, expected = BAD[name]
    ledger.replace("ledger.py", *change)
    end = ledger.run(*MARKED, FIRST)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert expected in " ".join(end.output.split())
    assert "Traceback" not in end.output
    assert "pytest_l402/" not in end.output


def test_a_system_that_is_attached_twice_is_refused(ledger: Project) -> None:
    ledger.replace(
        "rehearsals/test_alpha.py", "attach(ledger)", "attach(ledger)\n    l402_evidence.attach(Ledger())"
    )
    end = ledger.run(*MARKED, FIRST)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert "expected a name for each system of a test, saw it twice" in " ".join(end.output.split())


def test_tables_alone_are_refused_with_the_way_out(ledger: Project) -> None:
    ledger.replace("rehearsals/test_alpha.py", "attach(ledger)", "attach(ledger.tables)")
    end = ledger.run(*MARKED, FIRST)
    said = " ".join(end.output.split())
    assert (
        "expected a system, saw tables alone, which do not say who was tested; attach an object with" in said
    )
    assert "docs/rehearse-another-system.md" in said


def test_the_laws_that_are_told_are_those_that_each_test_was_held_to(ledger: Project) -> None:
    ledger.replace(
        "rehearsals/test_alpha.py",
        "def test_alpha",
        """class Lawless(Ledger):
    def standing_checks(self):
        return []

def test_lawless(l402_evidence):
    l402_evidence.attach(Lawless())
    l402_evidence.verify(some_row("entries", account="a"))

def test_alpha""",
    )
    end = ledger.run(*MARKED, FIRST)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    told = [(system["tests"], system["standing_checks"]) for system in end.document["systems"]]
    assert sorted(told) == [(1, []), (1, ["sums_to_zero()"])]


def test_laws_that_come_after_the_judgement_are_not_told(ledger: Project) -> None:
    ledger.replace(
        "ledger.py",
        "return [sums_to_zero()]",
        "self.asked = getattr(self, 'asked', 0) + 1\n"
        "        return [sums_to_zero()] if self.asked > 1 else []",
    )
    end = ledger.run(*MARKED, FIRST)
    assert end.exit == 0, end.output
    assert [system["standing_checks"] for system in end.document["systems"]] == [[]]
    assert standing(end.document) == []


def test_each_state_that_a_verification_saw_is_told(ledger: Project) -> None:
    ledger.replace(
        "rehearsals/test_alpha.py",
        '.proves("1.free"))',
        '.proves("1.free"))\n    ledger.version = "3.2"',
    )
    end = ledger.run(*MARKED, FIRST)
    assert end.exit == 0, end.output
    assert [system["version"] for system in end.document["systems"]] == ["3.1", "3.2"]


REFUSED = {
    "attach": ('"3.1"', '""'),
    "parts": ('parts_of("books", self)', "1 / 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_told_once(ledger: Project, name: str) -> None:
    ledger.replace("ledger.py", *REFUSED[name])
    end = ledger.run(*MARKED, FIRST)
    assert end.verdict == "NOT_SIGNED_OFF"
    assert "During handling" not in end.output
    assert "UnusableSystemError" not in end.output
