"""A command takes the faults that change what it says, names them in its help, and refuses the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_runs import Run

from pytest_l402.commands.faults import AFFECTING
from pytest_l402.stack.faults import FAULTS

MOCKED = ("smoke:compile", "smoke:security", "smoke:settlement", "smoke:staging", "reconcile")
SALES = ("smoke:observability", "smoke:full-flow")
# A payment that is slow enough to be given up; a faster one changes times only.
VALUES = {"PaymentSlow": "PaymentSlow:900000000", "AnswerSlow": "AnswerSlow:900000000"}
NEEDS = {"RollbackFailure": ("--fault", "DeployedUnhealthy")}


@pytest.fixture
def takes_every_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (*MOCKED, *SALES):
        monkeypatch.setitem(AFFECTING, command, tuple(FAULTS))


def outcome(run: Run, *arguments: str) -> Any:
    """What a command says: exit code, document, local artifact; None for a fault that did not fire."""
    told = run(*arguments, "--json")
    document = told.document
    if document.get("failureCode") == "fault_not_fired":
        return None
    injected = document.pop("faults", [])
    assert all(row["fired"] and row["removedAtMs"] is not None for row in injected)
    assert len(injected) == arguments.count("--fault")
    left = sorted(Path("output").rglob("l402-local-node-smoke-artifact.json"))
    return without_times([told.code, document, [json.loads(file.read_text()) for file in left]])


def without_times(value: Any) -> Any:
    """A value without its times: a fault that changes nothing else shows nothing."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if not key.endswith("AtMs")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


# The smallest table and the largest in the fast tier; the gate runs every pair.
FAST = ("smoke:compile", "smoke:full-flow")


@pytest.mark.usefixtures("takes_every_fault")
@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in (*MOCKED, *SALES)],
)
def test_just_the_faults_of_a_command_change_what_it_says(run: Run, command: str) -> None:
    declared = DECLARED[command]
    without = outcome(run, command)
    changing = set()
    for fault in FAULTS:
        other = NEEDS.get(fault, ())
        before = outcome(run, command, *other) if other else without
        if outcome(run, command, *other, "--fault", VALUES.get(fault, fault)) not in (None, before):
            changing.add(fault)
    assert sorted(changing ^ set(declared)) == []


DECLARED = dict(AFFECTING)


@pytest.mark.parametrize("command", [*MOCKED, *SALES])
def test_the_help_names_the_faults_of_a_command_with_a_line_each(run: Run, command: str) -> None:
    told = run(command, "--help")
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= 100
    named = [line.split()[0] for line in told.out.splitlines() if line.split() and line.split()[0] in FAULTS]
    assert named == list(AFFECTING[command])


@pytest.mark.parametrize(
    ("command", "fault", "named"),
    [
        (
            "smoke:security",
            "GatewayDown",
            "it affects smoke:staging, reconcile, smoke:observability, smoke:full-flow",
        ),
        ("smoke:compile", "DeployFailure", "it affects smoke:staging, reconcile"),
        ("smoke:staging", "NodeDegraded", "it affects smoke:full-flow"),
        ("smoke:settlement", "SettlementLost", "it affects smoke:observability, smoke:full-flow"),
        ("smoke:full-flow", "HeartbeatStopped", "it affects what serve offers"),
        ("smoke:compile", "HeartbeatStopped", "it affects what serve offers"),
    ],
)
def test_a_fault_that_cannot_change_a_command_is_refused_by_name(
    run: Run, tmp_path: Path, command: str, fault: str, named: str
) -> None:
    told = run(command, "--json", "--fault", fault)
    assert (told.code, told.document["failureCode"]) == (2, "bad_fault")
    assert fault in told.document["error"]
    assert named in told.document["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["smoke:staging", "reconcile", *SALES])
@pytest.mark.parametrize("other", [(), ("ActiveLookupFailure",)])
def test_a_fault_of_a_rollback_is_refused_without_one_that_makes_it(
    run: Run, tmp_path: Path, command: str, other: tuple[str, ...]
) -> None:
    given = [word for fault in (*other, "RollbackFailure") for word in ("--fault", fault)]
    told = run(command, "--json", *given)
    assert (told.code, told.document["failureCode"]) == (2, "bad_fault")
    assert "DeployFailure" in told.document["error"]
    assert list(tmp_path.iterdir()) == []


def test_every_fault_but_one_affects_a_command() -> None:
    assert {fault for faults in AFFECTING.values() for fault in faults} == set(FAULTS) - {"HeartbeatStopped"}


@pytest.mark.parametrize(
    "faults",
    [("DeployFailure", "UpstreamDown"), ("GatewayDown", "CredentialRefused")],
)
def test_a_fault_that_did_not_fire_is_an_error(run: Run, faults: tuple[str, str]) -> None:
    given = [word for fault in faults for word in ("--fault", fault)]
    told = run("reconcile", "--json", *given)
    assert (told.code, told.document["failureCode"]) == (1, "fault_not_fired")
    assert f"expected {faults[1]} to fire" in told.document["error"]
    assert [row["fired"] > 0 for row in told.document["faults"]] == [True, False]


def test_what_became_of_a_fault_is_told(run: Run) -> None:
    (row,) = run("smoke:compile", "--json", "--fault", "PaywallNotCompilable").document["faults"]
    assert row["fault"] == "PaywallNotCompilable"
    assert (row["fired"], row["firedFor"]) == (1, ["smoke:compile"])
    assert row["injectedAtMs"] <= row["removedAtMs"]
