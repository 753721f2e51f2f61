"""Whatever behaviour of the stack is broken, its rehearsal is red, and the message names the runbook line."""

from __future__ import annotations

import pytest
from breakages import BREAKAGES, Breakage
from rehearsed_project import RUNBOOK, Rehearsed, RehearsedProject, catalogue_of
from tiers import sampled

WHOLE = {
    "settlement records name another amount": "hosted-success",
    "the local artifact forgets blocked flows": "local-node-success",
    "the wallet pays twice": "cache-reuse",
    "the denial comes after the payment": "policy-block",
    "a fault stays in": "settlement-failure",
    "heartbeats are ignored": "executor-offline",
}
"""One breakage of each rehearsal, shown to refuse the sign-off of a whole run."""


_PROVEN_BY: dict[str, set[str]] = {}
"""Which tests prove each line, as a run of the unbroken stack tells; one run a process, for all breakages."""


def nodes_that_prove(rehearsals: RehearsedProject, lines: tuple[str, ...]) -> list[str]:
    if not _PROVEN_BY:
        for entry in rehearsals.run("--l402-no-teeth").document["rehearsals"]:
            for node in entry["nodes"]:
                for check in node["checks"]:
                    if check["line"]:
                        _PROVEN_BY.setdefault(check["line"]["id"], set()).add(node["nodeid"])
    return sorted(set().union(*(_PROVEN_BY[line] for line in lines)))


def named(broken: Breakage) -> str:
    return broken.name.replace(" ", "-")


def assert_told(broken: Breakage, run: Rehearsed) -> None:
    violated = {
        reason["line"]
        for rehearsal in run.document["rehearsals"]
        for reason in rehearsal["reasons"]
        if reason["code"] == "check-violated"
    }
    assert set(broken.lines) <= violated, f"{sorted(map(str, violated))}\n{run.output}"
    for line in broken.lines:
        assert f"({line})" in run.output
    assert "INTERNALERROR" not in run.output


@pytest.mark.parametrize("broken", sampled(BREAKAGES, 24, "breakages"), ids=named)
def test_the_rehearsal_of_a_broken_line_is_red(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch, broken: Breakage
) -> None:
    nodes = nodes_that_prove(rehearsals, broken.lines)
    broken.apply(monkeypatch)
    # A check that is violated on what was recorded is not asked about its mutants.
    run = rehearsals.run("--l402-no-teeth", *nodes)
    assert_told(broken, run)
    assert (run.verdict, run.exit) == ("DRILL", 1)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [broken for broken in BREAKAGES if broken.name in WHOLE], ids=named)
def test_a_broken_stack_is_not_signed_off(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch, broken: Breakage
) -> None:
    broken.apply(monkeypatch)
    run = rehearsals.run()
    assert_told(broken, run)
    assert (run.verdict, run.exit) == ("NOT_SIGNED_OFF", 1)
    assert run.rehearsal(WHOLE[broken.name])["state"] == "FAILED"


@pytest.mark.slow
def test_the_stack_as_it_is_is_signed_off(rehearsals: RehearsedProject) -> None:
    run = rehearsals.run()
    assert (run.verdict, run.exit) == ("SIGNED_OFF", 0), run.output


def test_every_line_of_the_runbook_has_a_breakage() -> None:
    entries = catalogue_of(RUNBOOK)["rehearsals"]
    rehearsed = {line for entry in entries for line in entry["proves"]}
    assert rehearsed == {line for broken in BREAKAGES for line in broken.lines}
    assert len({broken.name for broken in BREAKAGES}) == len(BREAKAGES) > 60
    assert [*WHOLE.values()] == [entry["id"] for entry in entries]
    assert WHOLE.keys() <= {broken.name for broken in BREAKAGES}
