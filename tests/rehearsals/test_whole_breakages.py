"""Whatever behaviour of the stack is broken, the run is red, and the message names the runbook line."""

from __future__ import annotations

import pytest
from breakages import BREAKAGES, Breakage
from rehearsed_project import RUNBOOK, RehearsedProject, catalogue_of


@pytest.mark.parametrize("broken", BREAKAGES, ids=lambda broken: broken.name.replace(" ", "-"))
def test_a_broken_stack_is_not_signed_off(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch, broken: Breakage
) -> None:
    broken.apply(monkeypatch)
    run = rehearsals.run()
    violated = {
        reason["line"]
        for rehearsal in run.document["rehearsals"]
        for reason in rehearsal["reasons"]
        if reason["code"] == "check-violated"
    }
    assert set(broken.lines) <= violated, f"{sorted(map(str, violated))}\n{run.output}"
    assert (run.verdict, run.exit) == ("NOT_SIGNED_OFF", 1)
    for line in broken.lines:
        assert f"({line})" in run.output
    assert "INTERNALERROR" not in run.output


def test_the_stack_as_it_is_is_signed_off(rehearsals: RehearsedProject) -> None:
    run = rehearsals.run()
    assert (run.verdict, run.exit) == ("SIGNED_OFF", 0), run.output


def test_every_line_of_the_runbook_has_a_breakage() -> None:
    rehearsed = {line for entry in catalogue_of(RUNBOOK)["rehearsals"] for line in entry["proves"]}
    assert rehearsed == {line for broken in BREAKAGES for line in broken.lines}
    assert len({broken.name for broken in BREAKAGES}) == len(BREAKAGES) > 60
