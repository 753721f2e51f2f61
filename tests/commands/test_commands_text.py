"""Without `--json` a command speaks to people: the verdict first, each claim on a line, every error once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_runs import Run

from pytest_l402.commands import COMMANDS

MOCKED = (*(name for name in COMMANDS if name.startswith("smoke:")), "reconcile")
FAILING = [
    ("smoke:compile", "PaywallNotCompilable", "compile_validation_failed", "diagnostics"),
    ("smoke:staging", "DeployedUnhealthy", "health_check_failed", "oa_req=smoke:staging"),
    ("reconcile", "DeployedChallengeWrong", "challenge_check_failed", "x-oa-request-id"),
    ("smoke:observability", "SettlementLost", "records_incomplete", "pytest-l402 triage output/"),
    ("smoke:full-flow", "ProjectionStale", "settlement_correlation", "events.jsonl"),
]


@pytest.mark.parametrize("command", MOCKED)
def test_the_verdict_is_first_and_each_claim_and_file_has_its_place(run: Run, command: str) -> None:
    document = run(command, "--json").document
    told = run(command)
    assert (told.code, told.err) == (0, "")
    first, *lines = told.out.splitlines()
    assert first == f"{command}: ok (mock)"
    claims = [line for line in lines if line.startswith("  ok ")]
    assert claims
    assert not [line for line in lines if line.startswith(("  failed", "  - "))]
    assert len(lines) < 25
    assert max(map(len, lines)) <= 100
    for path in [value for key, value in document["artifacts"].items() if key.endswith("Path")]:
        assert Path(path).name in told.out
    assert f"  {document['artifacts']['artifactDir']}/" in lines
    if "configHash" in document:
        assert document["configHash"] in told.out


@pytest.mark.parametrize(("command", "fault", "code", "step"), FAILING)
def test_a_failure_has_four_parts_once_and_the_next_step(
    run: Run, command: str, fault: str, code: str, step: str
) -> None:
    told = run(command, "--fault", fault)
    assert (told.code, told.err) == (1, "")
    first, *lines = told.out.splitlines()
    assert first == f"{command}: FAILED (mock)"
    assert max(map(len, lines)) <= 100
    failed = next(number for number, line in enumerate(lines) if line.startswith("  failed  "))
    parts = [line.split()[0] for line in lines[failed + 1 :] if line.startswith(" " * 10 + "s")]
    assert parts[:1] == ["seen"]
    assert told.out.count(code) == 1
    whole = " ".join(told.out.split())
    assert step in whole
    assert "next" in whole
    assert "runbook" in whole
    assert "artifacts" not in told.out
    assert "{" not in told.out


def test_what_was_not_reached_is_not_called_ok(run: Run) -> None:
    told = run("reconcile", "--fault", "DeployFailure")
    states = [
        line.split()[0] for line in told.out.splitlines() if line.startswith(("  ok ", "  failed", "  - "))
    ]
    assert states == ["ok", "ok", "failed", "-", "-", "-"]


@pytest.mark.parametrize("command", ["smoke:compile", "smoke:staging", "reconcile"])
def test_a_paywall_that_does_not_compile_is_named(run: Run, command: str) -> None:
    told = run(command, "--fault", "PaywallNotCompilable")
    assert "          seen   fractional_sats of pw_" in told.out


def test_a_rollback_that_failed_is_told_beside_what_it_was_for(run: Run) -> None:
    told = run("reconcile", "--fault", "DeployedUnhealthy", "--fault", "RollbackFailure")
    failed = [line for line in told.out.splitlines() if line.startswith("  failed")]
    assert len(failed) == 2
    assert "health_check_failed" in told.out
    assert "rollback_failed" in told.out


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("smoke:compile", "--fault", "PaywallNotCompilable"), "compile_validation_failed"),
        (("smoke:staging", "--fault", "DeployedUnhealthy"), "health_status_503"),
        (("smoke:observability", "--fault", "GatewayDown"), "purchase_not_paid"),
        (("smoke:full-flow", "--local-artifact", "missing.json"), "expected a local artifact"),
        (("smoke:compile", "--mode", "mok"), "saw 'mok'"),
        (("smoke:compile", "--mode", "live"), "OA_LIGHTNING_OPS_SECRET"),
        (("smoke:compil",), "did you mean smoke:compile?"),
        (("triage", "no-such-file.jsonl"), "saw nothing of that name"),
        (("serve", "--record", "no-such-folder/x"), "make the folder"),
    ],
)
def test_every_error_is_told_once(
    run: Run, arguments: tuple[str, ...], error: str, flags: tuple[str, ...]
) -> None:
    told = run(*arguments, *flags)
    assert told.code in (1, 2)
    whole = " ".join((told.out + told.err).split())
    assert error.replace('"', r"\"") in whole or error in whole
    if flags:
        # One document, which a program reads; nothing beside it.
        document = json.loads(told.out)
        assert (told.err, document["schemaVersion"]) == ("", "1")
        assert document["schema"].startswith("pytest-l402")
    else:
        assert whole.count(error) == 1
        assert (told.out == "") is (told.code == 2)


@pytest.mark.parametrize("command", MOCKED)
def test_the_form_of_npm_is_understood(run: Run, command: str) -> None:
    assert run(command, "--", "--json").out == run(command, "--json").out
    assert run(command, "--json", "--", "--mode", "mock").out == run(command, "--json").out


def test_what_follows_two_dashes_and_is_no_option_is_refused(run: Run) -> None:
    told = run("smoke:compile", "--json", "--", "extra")
    assert (told.code, told.document["failureCode"]) == (2, "invalid_arguments")


def test_triage_still_reads_a_file_that_begins_with_dashes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "--json"
    path.write_text("[1]")
    assert "--json:1" in run("triage", "--", "--json").err


def test_a_bare_call_shows_the_help_and_is_no_pass(run: Run) -> None:
    told = run()
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("usage: pytest-l402")
    assert all(name in told.err for name in COMMANDS)
    asked = run("--json")
    assert (asked.code, asked.err) == (2, "")
    assert asked.document["failureCode"] == "invalid_arguments"


def test_python_runs_the_package_under_the_same_name(tmp_path: Path) -> None:
    def module(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest_l402", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert module("--help").stdout.startswith("usage: pytest-l402 ")
    answer = module("smoke:compil")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "pytest-l402: unknown command 'smoke:compil'; did you mean smoke:compile?\n"
