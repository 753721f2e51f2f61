"""The checks of a reconcile hold on what a stack really leaves, and each of their mutants is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from evidence_records import public_checks

from pytest_l402.evidence import (
    Check,
    Evidence,
    deployment_persisted,
    deployments_told_alike,
    events_persisted,
    events_told_alike,
    every_route_probed,
    gateway_challenged,
    gateway_delivered,
    reconcile_reported,
    run_check,
)
from pytest_l402.evidence.telling import tell_results
from pytest_l402.stack import DeployedUnhealthy, Paywall, Stack

EVENTS = tuple(f"gateway_reconcile_{name}" for name in ("health_ok", "challenge_ok", "proxy_ok", "applied"))


@pytest.fixture(scope="module")
def reconciled() -> Evidence:
    """A reconcile that was applied, and one that was rolled back from."""
    with Stack(7) as stack, stack.online():
        good = stack.reconciler().reconcile("good")
        stack.control_plane.create_paywall(
            Paywall("pw_maps", "owner_maps", "route_maps", "maps", "/maps", 5_000)
        )
        with stack.faults.inject(DeployedUnhealthy(), "bad"):
            bad = stack.reconciler().reconcile("bad")
        return Evidence({**stack.tables(), "reconcile_summary": [good.to_row(), bad.to_row()]})


HOLDING = [
    reconcile_reported("good", deploymentStatus="applied", challengeOk=True, failureCode=None),
    reconcile_reported("bad", deploymentStatus="rolled_back", failureCode="health_check_failed"),
    deployment_persisted("good", "applied"),
    deployment_persisted("bad", "rolled_back", rolled_back=True),
    events_persisted("good", *EVENTS),
    events_persisted("bad", "gateway_reconcile_rolled_back"),
    gateway_challenged("good", 21_000),
    gateway_delivered("good"),
    deployments_told_alike(),
    events_told_alike(),
    every_route_probed(),
]


@pytest.mark.parametrize("check", HOLDING, ids=lambda check: check.name)
def test_holds_and_notices_every_mutant(check: Check, reconciled: Evidence) -> None:
    result = run_check(check, reconciled)
    assert result.passed, tell_results([result])
    assert len(result.mutants) >= 3


@pytest.mark.parametrize("check", HOLDING, ids=lambda check: check.name)
def test_nothing_recorded_proves_nothing(check: Check) -> None:
    assert run_check(check, Evidence({})).violations


@pytest.mark.parametrize(
    ("check", "seen"),
    [
        pytest.param(
            lambda: reconcile_reported("good", deploymentStatus="rolled_back"),
            "applied",
            id="reconcile_reported-good-deploymentStatus-rolled_back",
        ),
        pytest.param(lambda: reconcile_reported("nobody"), "none", id="reconcile_reported-nobody"),
        pytest.param(
            lambda: deployment_persisted("good", "failed"),
            "applied, pending",
            id="deployment_persisted-good-failed",
        ),
        pytest.param(
            lambda: deployment_persisted("good", "applied", rolled_back=True),
            "null",
            id="deployment_persisted-good-applied-rolled_back-True",
        ),
        pytest.param(
            lambda: deployment_persisted("bad", "rolled_back"),
            "cfg_",
            id="deployment_persisted-bad-rolled_back",
        ),
        pytest.param(
            lambda: events_persisted("good", *EVENTS[:3]),
            "gateway_reconcile_applied",
            id="events_persisted-good-EVENTS-3",
        ),
        pytest.param(
            lambda: gateway_challenged("good", 20_000),
            "402 for 21000 msats",
            id="gateway_challenged-good-20_000",
        ),
        pytest.param(
            lambda: gateway_delivered("bad:nobody"),
            "the gateway never saw",
            id="gateway_delivered-bad-nobody",
        ),
    ],
)
def test_another_story_is_a_violation(check: Callable[[], Check], seen: str, reconciled: Evidence) -> None:
    violations = run_check(check(), reconciled).violations
    assert any(seen in violation.seen for violation in violations)


def test_a_summary_that_the_history_contradicts(reconciled: Evidence) -> None:
    rows = [{**row, "configHash": "cfg_" + "a" * 64} for row in reconciled.table("reconcile_summary")]
    result = run_check(reconcile_reported("good"), reconciled.with_table("reconcile_summary", rows))
    (violation,) = result.violations
    assert re.fullmatch("configHash cfg_[0-9a-f]{64}, as it was persisted", violation.expected)


def test_a_rollback_names_what_was_applied_before(reconciled: Evidence) -> None:
    rows = [
        {**row, "rolledBackFrom": row["rolledBackFrom"] and row["configHash"]}
        for row in reconciled.table("deployments")
    ]
    check = deployment_persisted("bad", "rolled_back", rolled_back=True)
    (violation,) = run_check(check, reconciled.with_table("deployments", rows)).violations
    assert violation.expected.endswith("the configuration that was applied before")


def test_events_must_be_named() -> None:
    with pytest.raises(ValueError, match="at least one event type"):
        events_persisted("good")


def test_every_check_of_the_module_is_tried() -> None:
    public = {name for name, theme in public_checks().items() if theme in ("deployments", "reconciled")}
    assert {check.name.partition("(")[0] for check in HOLDING} == public
