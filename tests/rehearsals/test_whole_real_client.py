"""The client from the package index, unmodified, is the buyer of the rehearsals that are about a client."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from own_client import ADAPTER, BY_ITS_OWN_CLOCK, CAREFUL, FORGETFUL, HASTY, OVER_LOOPBACK, WITHOUT_A_BUDGET
from rehearsed_project import Rehearsed, RehearsedProject

pytest.importorskip("l402_requests")
pytestmark = pytest.mark.slow

# What is asked of a client; a policy of hosts is the desktop executor's, and so is the local artifact.
ABOUT_A_CLIENT = {
    "hosted-success": {"test_full_flow", "test_correlation_workflow"},
    "cache-reuse": {
        "test_same_request_twice",
        "test_expired_credential_is_not_reused",
        "test_revoked_credential_is_not_reused",
        "test_client_told_401_does_not_pay_again",
        "test_forged_credentials_are_refused",
    },
    "policy-block": {"test_over_cap", "test_owner_kill_switch", "test_global_pause"},
    "settlement-failure": {
        "test_settlement_lost",
        "test_settlement_delayed",
        "test_proof_mismatch_across_planes",
        "test_paid_but_upstream_failed",
        "test_projection_stale",
    },
}


def rehearse(rehearsals: RehearsedProject, conftest: str) -> Rehearsed:
    rehearsals.write("conftest.py", conftest)
    names = " or ".join(sorted(name for cases in ABOUT_A_CLIENT.values() for name in cases))
    return rehearsals.run("--l402-allow-missing-local-artifact", "-k", names)


@pytest.mark.parametrize(
    "conftest",
    [ADAPTER, OVER_LOOPBACK],
    ids=["respx", "loopback"],
)
def test_the_rehearsals_hold_for_it(rehearsals: RehearsedProject, conftest: str) -> None:
    assert version("l402-requests") == "0.9.0"
    run = rehearse(rehearsals, conftest)
    # A part of a family is a drill; it ends as its tests did.
    assert (run.exit, run.verdict) == (0, "DRILL"), run.output
    ran = {entry["id"]: {node["case"] for node in entry["nodes"]} for entry in run.document["rehearsals"]}
    assert {name: cases for name, cases in ran.items() if cases} == ABOUT_A_CLIENT
    for entry in run.document["rehearsals"]:
        for node in entry["nodes"]:
            assert node["checks"]
            assert {check["state"] for check in node["checks"]} == {"HELD"}
    parts = [part for system in run.document["systems"] for part in system["parts"] if not part["ours"]]
    assert [(part["role"], part["name"], part["distribution"], part["version"]) for part in parts] == [
        ("buyer", "MyClient", None, None),
        ("buyer", "L402Client", "l402-requests", "0.9.0"),
    ]
    assert "buyer: L402Client of l402-requests 0.9.0, in MyClient" in " ".join(run.output.split())
    # It was this client that asked: it names no request, so the operator's edge did.
    bought = [name for name in run.evidence() if "test_same_request_twice" in name and "exchanges" in name]
    assert b'"requestId":"buyer-' in run.evidence()[bought[0]]


def test_a_client_that_ignores_its_cache_is_found_out(rehearsals: RehearsedProject) -> None:
    run = rehearse(rehearsals, FORGETFUL)
    assert run.exit == 1
    assert "(3.cache-hit)" in run.output


def test_a_client_without_a_budget_is_found_out(rehearsals: RehearsedProject) -> None:
    run = rehearse(rehearsals, WITHOUT_A_BUDGET)
    assert run.exit == 1
    assert "(4.before-payment)" in run.output


def test_what_it_cannot_do_is_told_by_its_line(rehearsals: RehearsedProject) -> None:
    rehearsals.write("conftest.py", ADAPTER)
    run = rehearsals.run("--l402-allow-missing-local-artifact")
    assert (run.exit, run.verdict) == (1, "NOT_SIGNED_OFF")
    assert run.rehearsal("cache-reuse")["state"] == "PASSED"
    assert "(correlate.local-artifact)" in run.output


def test_a_client_that_asks_its_wallet_gets_through_the_interruptions(rehearsals: RehearsedProject) -> None:
    rehearsals.write("conftest.py", CAREFUL)
    run = rehearsals.run("-k", "interrupted", "--l402-no-teeth")
    assert run.exit == 0, run.output


def test_one_that_does_not_ask_pays_twice_and_is_told_so(rehearsals: RehearsedProject) -> None:
    rehearsals.write("conftest.py", HASTY)
    run = rehearsals.run("-k", "interrupted", "--l402-no-teeth")
    told = " ".join(run.output.split())
    for line in ("5.reply-lost", "5.pending", "5.late"):
        assert f"({line})" in told
    assert "before a buyer pays again it asks its wallet, by payment hash" in told


def test_a_client_with_a_clock_of_its_own_is_told_to_start_that_of_the_stack(
    rehearsals: RehearsedProject,
) -> None:
    rehearsals.write("conftest.py", BY_ITS_OWN_CLOCK)
    run = rehearsals.run("-k", "projection_stale", "--l402-no-teeth")
    assert run.exit == 1
    assert "run with --l402-clock=now" in " ".join(run.output.split())
    run = rehearsals.run("-k", "projection_stale", "--l402-no-teeth", "--l402-clock=now")
    assert run.exit == 0, run.output
