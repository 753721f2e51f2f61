"""Gateways of other people in the drills of runbook 1: what is wrong is named, and so is what did not run."""

from __future__ import annotations

import pytest
from rehearsed_project import REPOSITORY, RehearsedProject

DOUBLES = (REPOSITORY / "tests" / "stack" / "foreign_gateways.py").read_text()
PUT_IN = """

import pytest

@pytest.fixture
def l402_gateway(l402_stack):
    return {kind}(l402_stack)
"""


def put_in(rehearsals: RehearsedProject, kind: str) -> None:
    rehearsals.write("conftest.py", DOUBLES + PUT_IN.format(kind=kind))


def test_a_gateway_that_takes_what_is_self_made_is_named_by_the_drill_of_forgeries(
    rehearsals: RehearsedProject,
) -> None:
    put_in(rehearsals, "TakesWhatIsSelfMade")
    run = rehearsals.run("-k", "test_forged", "--l402-no-teeth")
    assert run.exit == 1
    said = " ".join(run.output.split())
    assert "(3.forged): expected request" in said or "3.forged" in said
    assert "(self-made, and never paid for) refused, and not forwarded" in said


def test_a_gateway_with_url_safe_macaroons_is_named_by_its_challenge(rehearsals: RehearsedProject) -> None:
    put_in(rehearsals, "UrlSafe")
    run = rehearsals.run("-k", "test_forged", "--l402-no-teeth")
    said = " ".join(run.output.split())
    assert "one_challenge_an_invoice() is violated" in said
    assert "challenge in standard base64, with its padding seen" in said
    assert "(self-made" not in said


@pytest.mark.slow
def test_an_honest_one_holds_and_what_it_cannot_do_is_not_run_by_name(rehearsals: RehearsedProject) -> None:
    put_in(rehearsals, "Honest")
    run = rehearsals.run()
    assert (run.verdict, run.exit) == ("INCOMPLETE", 1), run.output
    assert "FAILED" not in {entry["state"] for entry in run.document["rehearsals"]}
    said = " ".join(run.output.split())
    assert "not run: gateway Honest has no method revoke, which this rehearsal asks for" in said
    # Tests that were skipped had the stack as well, and were held to nothing.
    gateways = [
        part for system in run.document["systems"] for part in system["parts"] if part["role"] == "gateway"
    ]
    assert {(part["name"], part["ours"]) for part in gateways} == {("Honest", False)}
    assert sum(part["requests"] for part in gateways) > 50
