"""Each command prints the keys that scripts know it by, and leaves the files that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_runs import Run

from pytest_l402.commands import COMMANDS
from pytest_l402.contract import REQUIRED_KEYS, FlowEvent, FullFlowSummary, stage_order_departures
from pytest_l402.triage.diagnosis import triage
from pytest_l402.triage.incident import read_incident

SMOKES = tuple(name for name in COMMANDS if name.startswith("smoke:"))
MOCKED = (*SMOKES, "reconcile")
VECTORS = Path(__file__).parent.parent / "contract" / "vectors"
DEPLOYED = """
ok requestId executionPath configHash ruleCount valid deploymentStatus deploymentId challengeOk proxyOk
healthOk diagnosticsCount diagnostics"""
KEYS = {
    "smoke:compile": """
ok configHash ruleCount valid deploymentStatus deploymentId diagnosticsCount diagnostics""",
    "smoke:staging": DEPLOYED,
    "reconcile": DEPLOYED,
    "smoke:settlement": """
ok processed invoiceTransitions settlements settlementIds paymentProofRefs correlationRefs""",
    "smoke:security": """
ok executionPath failClosed globalPause ownerKillSwitch recovery credentialLifecycle statusSnapshot""",
    "smoke:observability": """
ok requestId executionPath recordCount requiredFieldKeys missingFieldKeys correlation records""",
    "smoke:full-flow": " ".join(json.loads((VECTORS / "full-flow-summary.json").read_text())),
}
"""The keys of the original tool, command by command."""


@pytest.mark.parametrize("command", MOCKED)
def test_what_is_asked_for_is_true_and_scripts_find_their_keys(run: Run, command: str) -> None:
    told = run(command, "--json")
    assert (told.code, told.err) == (0, "")
    assert next(iter(told.document.items())) == ("ok", True)
    assert told.document["mode"] == "mock"
    wanted = KEYS[command].split()
    assert [key for key in told.document if key in wanted] == wanted
    assert "failureCode" not in told.document


def paths_in(value: Any) -> Iterator[tuple[str, Path]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key.endswith("Path") and key != "executionPath":
                yield key, Path(item)
            yield from paths_in(item)


@pytest.mark.parametrize("command", MOCKED)
def test_every_artifact_is_where_the_document_says(run: Run, command: str) -> None:
    document = run(command, "--json").document
    artifacts = document["artifacts"]
    assert Path(artifacts["artifactDir"]).is_dir()
    named = dict(paths_in(document))
    assert named
    for path in named.values():
        assert path.is_file()
    if command != "smoke:full-flow":
        assert json.loads(named["summaryPath"].read_text()) == document
    inside = {path.name for path in Path(artifacts["artifactDir"]).iterdir()}
    assert inside == {path.name for path in named.values()}


@pytest.mark.parametrize("command", MOCKED)
def test_the_same_command_prints_the_same_bytes(run: Run, command: str) -> None:
    assert run(command, "--json").out == run(command, "--json").out


def test_flags_take_a_blank_or_an_equals_sign(run: Run) -> None:
    spaced = run("smoke:compile", "--json", "--mode", "mock", "--artifact-dir", "here").document
    equals = run("smoke:compile", "--json", "--mode=mock", "--artifact-dir=here").document
    assert spaced == equals
    assert spaced["artifacts"]["summaryPath"].startswith("here/")


def test_compile_leaves_the_file_that_the_hash_names(run: Run) -> None:
    import hashlib

    document = run("smoke:compile", "--json").document
    text = Path(document["artifacts"]["configPath"]).read_bytes()
    assert document["configHash"] == f"cfg_{hashlib.sha256(text).hexdigest()}"
    services = yaml.safe_load(text)["services"]
    assert document["ruleCount"] == len(services) == 2
    assert document["deploymentStatus"] == "pending"
    assert [service["price"] for service in services] == [2, 3]


def test_compile_staging_reconcile_and_full_flow_come_to_one_configuration(run: Run) -> None:
    names = ("smoke:compile", "smoke:staging", "reconcile")
    hashes = {run(name, "--json").document["configHash"] for name in names}
    hashes.add(run("smoke:full-flow", "--json").document["gatewayReconcile"]["configHash"])
    assert len(hashes) == 1


def test_staging_deploys_over_what_ran_before(run: Run) -> None:
    document = run("smoke:staging", "--json").document
    assert document["deploymentStatus"] == "applied"
    assert document["healthOk"] and document["challengeOk"] and document["proxyOk"]  # noqa: PT018 - one thing
    assert document["previousConfigHash"] != document["configHash"]
    assert document["imageDigest"].startswith("sha256:")
    path = Path(document["artifacts"]["deploymentsPath"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["status"] for row in rows] == ["pending", "applied"]
    assert {row["requestId"] for row in rows} == {"smoke:staging"}
    assert {row["executionPath"] for row in rows} == {"hosted-node"}


def test_settlement_shows_the_replay_and_refuses_the_contradiction(run: Run) -> None:
    document = run("smoke:settlement", "--json").document
    assert [row["existed"] for row in document["settlements"]] == [False, True]
    assert document["settlementIds"] == ["set_smoke_1", "set_smoke_1"]
    assert document["paymentProofRefs"] == ["lightning_preimage:" + "a" * 24] * 2
    assert [row["taskId"] for row in document["correlationRefs"]] == ["task_smoke_1"] * 2
    assert document["conflict"] == {"refused": True, "codes": ["settlement_conflict"]}
    conflicts = Path(document["artifacts"]["conflictsPath"]).read_text().splitlines()
    assert [json.loads(line)["field"] for line in conflicts] == ["amountMsats"]


def test_security_tells_what_denied_and_that_all_is_as_before(run: Run) -> None:
    document = run("smoke:security", "--json").document
    assert document["failClosed"] == {
        "passed": True,
        "errorTag": "CredentialValidationError",
        "errorCode": "missing_credential_role",
        "role": "gateway_invoice",
        "field": "OA_LIGHTNING_OPS_CRED_GATEWAY_INVOICE",
    }
    assert document["globalPause"]["denyReasonCode"] == "global_pause_active"
    assert document["ownerKillSwitch"]["denyReasonCode"] == "owner_kill_switch_active"
    assert document["recovery"] == {"allowed": True}
    assert document["credentialLifecycle"]["rotatedVersion"] == 1
    assert document["credentialLifecycle"]["activatedVersion"] == 2
    assert document["statusSnapshot"]["globalPauseActive"] is False


def test_observability_records_are_whole_and_triage_reads_them(run: Run) -> None:
    document = run("smoke:observability", "--json").document
    records = document["records"]
    assert document["recordCount"] == len(records)
    assert document["requiredFieldKeys"] == list(REQUIRED_KEYS)
    assert document["missingFieldKeys"] == []
    assert all(list(record) == list(REQUIRED_KEYS) for record in records)
    assert {record["executionPath"] for record in records} == {"hosted-node"}
    path = document["artifacts"]["recordsPath"]
    domains = {found.request_id: found.domain.value for found in triage(read_incident(path))}
    denied = {name for name, domain in domains.items() if domain == "policy"}
    assert denied == {f"{document['requestId']}:security"}
    assert {domain for name, domain in domains.items() if name not in denied} == {"healthy"}
    assert document["correlation"]["requestIds"] == sorted(domains)


def test_full_flow_tells_one_story_in_all_of_its_files(run: Run, tmp_path: Path) -> None:
    document = run("smoke:full-flow", "--json", "--mode", "mock", "--allow-missing-local-artifact").document
    summary = FullFlowSummary.decode(document)
    assert summary.coverage.passed_checks == 8
    text = Path(document["artifacts"]["summaryPath"]).read_text()
    assert json.loads(text) == document
    assert (tmp_path / "output" / "l402-hosted-full-flow-summary.json").read_text() == text
    lines = Path(document["artifacts"]["eventsPath"]).read_text().splitlines()
    assert stage_order_departures([FlowEvent.decode(json.loads(line)) for line in lines]) == ()
    folder = Path(document["artifacts"]["artifactDir"])
    assert folder == Path("output/lightning-ops/full-flow") / document["requestId"].replace(":", "_")


def test_full_flow_leaves_both_files_in_a_folder_that_was_named(run: Run, tmp_path: Path) -> None:
    document = run("smoke:full-flow", "--json", "--artifact-dir", "named").document
    for key, name in (("summaryPath", "summary.json"), ("eventsPath", "events.jsonl")):
        assert (tmp_path / "named" / name).read_bytes() == Path(document["artifacts"][key]).read_bytes()
    assert not (tmp_path / "output").exists()


def test_full_flow_leaves_the_artifact_of_a_real_executor_alone(run: Run, tmp_path: Path) -> None:
    usual = tmp_path / "output" / "l402-local-node-smoke-artifact.json"
    usual.parent.mkdir()
    original = (VECTORS / "local-node-artifact.json").read_bytes()
    usual.write_bytes(original)
    told = run("smoke:full-flow", "--json")
    assert told.code == 0
    assert told.document["parity"]["localArtifactPath"] == "output/l402-local-node-smoke-artifact.json"
    assert usual.read_bytes() == original


def test_full_flow_without_a_local_artifact_is_strict_unless_told_otherwise(run: Run) -> None:
    strict = run("smoke:full-flow", "--json", "--local-artifact", "missing.json")
    assert (strict.code, strict.document["failureCode"]) == (1, "local_parity")
    assert strict.document["coverage"]["failedChecks"] == ["local_parity"]
    assert "missing.json" in strict.document["failures"][0]["reason"]
    waived = run(
        "smoke:full-flow", "--json", "--local-artifact=missing.json", "--allow-missing-local-artifact"
    )
    assert waived.code == 0
    assert waived.document["parity"]["localArtifactPresent"] is False


def test_reconcile_again_is_the_recorded_outcome_and_another_image_is_refused(run: Run) -> None:
    first = run("reconcile", "--json", "--request-id", "r1", "--state-dir", "state")
    again = run("reconcile", "--json", "--request-id", "r1", "--state-dir", "state")
    assert (first.code, again.out) == (0, first.out)
    image = "sha256:" + "ab" * 32
    other = run("reconcile", "--json", "--request-id", "r1", "--state-dir", "state", "--image-digest", image)
    assert (other.code, other.document["failureCode"]) == (2, "reconcile_refused")
    fresh = run("reconcile", "--json", "--request-id", "r2", "--state-dir", "state", "--image-digest", image)
    assert (fresh.code, fresh.document["imageDigest"]) == (0, image)


def test_help_names_every_command_and_its_exit_codes(run: Run) -> None:
    told = run("--help")
    assert told.code == 0
    assert all(name in told.out for name in COMMANDS)
    for name in COMMANDS:
        told = run(name, "--help")
        assert told.code == 0
        assert "exit codes:" in told.out
