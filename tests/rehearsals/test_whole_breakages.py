"""Whatever behaviour of the stack is broken, the run is red, and the message names the runbook line."""

from __future__ import annotations

import pytest
from breakages import BREAKAGES, Breakage
from rehearsed_project import RehearsedProject


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
    assert broken.line in violated, f"{sorted(map(str, violated))}\n{run.output}"
    assert run.verdict == "NOT_SIGNED_OFF"
    assert run.exit == 1
    assert f"({broken.line})" in run.output
    assert "INTERNALERROR" not in run.output


def test_the_stack_as_it_is_is_signed_off(rehearsals: RehearsedProject) -> None:
    run = rehearsals.run()
    assert (run.verdict, run.exit) == ("SIGNED_OFF", 0), run.output


def test_the_table_has_each_breakage_once() -> None:
    names = [broken.name for broken in BREAKAGES]
    assert len(names) == len(set(names)) >= 30
