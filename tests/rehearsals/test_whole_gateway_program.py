"""A program as the gateway in the drills of runbook 1: what is wrong with it is told by the right line."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_gateway import FAULTS
from rehearsed_project import REPOSITORY, RehearsedProject

from pytest_l402.stack.control.control_plane import ControlPlane

FAULTY = REPOSITORY / "tests" / "stack" / "faulty_gateway.py"
FORGED, EXPIRED, REVOKED = "test_forged", "test_expired", "test_revoked"
TWICE, CORRELATED, FAILED = "test_same_request", "test_correlation_workflow", "test_paid_but_upstream"
# The drill that holds the fault, and what it says: a line of the runbook, or the check that always holds.
HELD_BY = {
    "preimage not checked": (FORGED, "3.forged"),
    "signature not checked": (FORGED, "3.forged"),
    "caveats ignored": (FORGED, "3.forged"),
    "another service's credential taken": (FORGED, "3.forged"),
    "expired credential taken": (FORGED, "3.forged"),
    "good ten times as long": (EXPIRED, "3.not-reused"),
    "revoked credential taken": (REVOKED, "3.not-reused"),
    "credential opens once": (TWICE, "3.cache-hit"),
    "no credential taken": (CORRELATED, "correlate.task-and-settlement"),
    "price a sat too high": (CORRELATED, "sold_as_listed() is violated"),
    "invoice used again": (REVOKED, "3.not-reused"),
    "two invoices for one challenge": (CORRELATED, "1.one-challenge"),
    "401 for 402": (TWICE, "3.cache-hit"),
    "402 that caches keep": (CORRELATED, "1.one-challenge"),
    "service asked before payment": (CORRELATED, "1.delivered-as-paid"),
    "service asked twice": (CORRELATED, "1.delivered-as-paid"),
    "answer cut": (CORRELATED, "1.delivered-as-paid"),
    "body dropped": (CORRELATED, "1.delivered-as-paid"),
    "query dropped": (CORRELATED, "1.delivered-as-paid"),
    "request id not passed on": (CORRELATED, "1.delivered-as-paid"),
    "credential not passed on": (CORRELATED, "1.delivered-as-paid"),
    "service's error told as 200": (FAILED, "5.domain"),
    "free path challenged": (FAILED, "5.recovered"),
}


def program(folder: Path, *words: str) -> str:
    """Write a program that takes Aperture's flags, and return how it is named."""
    path = folder / "gateway"
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
    path.chmod(0o755)
    return f"--l402-gateway=aperture:{path}"


def drilled(rehearsals: RehearsedProject, drill: str, gateway: str) -> str:
    """Run one drill with a program that is not good; returns what is said of it."""
    run = rehearsals.run("-k", drill, "--l402-no-teeth", "--l402-gateway-invoices=wavelength", gateway)
    assert run.exit == 1, run.output
    return run.output


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_program_is_told_by_the_line_that_it_breaks(
    rehearsals: RehearsedProject, fault: str
) -> None:
    drill, said = HELD_BY[fault]
    assert said in drilled(rehearsals, drill, program(rehearsals.root, str(FAULTY), fault))


@pytest.mark.slow
def test_an_edge_that_sells_under_a_pause_is_told(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = ControlPlane.gate
    monkeypatch.setattr(
        ControlPlane, "gate", lambda *asked, **named: replace(gate(*asked, **named), allowed=True)
    )
    gateway = program(rehearsals.root, "-m", "pytest_l402", "gateway")
    assert "4.before-payment" in drilled(rehearsals, "test_global_pause", gateway)


@pytest.mark.slow
def test_a_program_without_a_fault_holds_in_runbooks_1_and_2(alone: pytest.Pytester) -> None:
    rehearsals = RehearsedProject(alone, "observability", "staging-reconcile")
    gateway = program(rehearsals.root, "-m", "pytest_l402", "gateway")
    # Of runbook 2 what a process alone can show: the others start it thirty times for more of the same.
    faults = "apply or paywall or price or upstream or pinned or compile or lookup"
    chosen = f"not (withdrawn or rollback_fails or says_what or {faults})"
    run = rehearsals.run("-k", chosen, "--l402-no-teeth", gateway, "--l402-gateway-invoices=wavelength")
    assert run.exit == 0, run.output
    assert {entry["state"] for entry in run.document["rehearsals"]} == {"INCOMPLETE"}
