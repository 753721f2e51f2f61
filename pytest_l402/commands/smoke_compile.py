"""`smoke:compile`: compile the control plane's paywalls, and leave the aperture.yaml that they come to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pytest_l402.commands.arguments import Arguments, add_shared_arguments
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import running
from pytest_l402.commands.targets import opened

if TYPE_CHECKING:
    from pytest_l402.ops.compile.compilation import Compilation
    from pytest_l402.ops.reconcile.deployments import Deployment

REQUEST_ID = "smoke:compile"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Compile the paywalls of the control plane to aperture.yaml, and name it by its hash.\n"
        "Live: reads the paywalls; with --allow-live-changes the intent is also recorded there.",
    )


def _work(arguments: Arguments) -> Outcome:
    from pytest_l402.ops.compile.compilation import compile_paywalls

    with opened(arguments) as target:
        compilation = compile_paywalls(target.paywalls(REQUEST_ID))
        intent = _intent(compilation, target.now_ms())
        recorded = target.record_intent(intent)
    folder = ArtifactFolder(arguments.artifact_dir, "compile", compilation.config_hash)
    if compilation.valid:
        folder.text("configPath", "aperture.yaml", compilation.aperture_yaml)
    folder.lines("deploymentsPath", "deployments.jsonl", [intent.to_row()])
    document: dict[str, Any] = {
        "ok": compilation.valid,
        "mode": arguments.mode.value,
        "configHash": compilation.config_hash,
        "ruleCount": compilation.rule_count,
        "valid": compilation.valid,
        "deploymentStatus": intent.status.value,
        "deploymentId": intent.deployment_id,
        **recorded,
    }
    failures = []
    if not compilation.valid:
        errors = [item for item in compilation.diagnostics if item.severity == "error"]
        document["failureCode"] = "compile_validation_failed"
        failures = [(document["failureCode"], ", ".join(dict.fromkeys(item.code.value for item in errors)))]
    document["diagnosticsCount"] = len(compilation.diagnostics)
    document["diagnostics"] = [item.to_json() for item in compilation.diagnostics]
    return Outcome(folder.summary(document), tuple(failures))


def _intent(compilation: Compilation, now_ms: int) -> Deployment:
    from pytest_l402.contract import DeploymentStatus, ExecutionPath
    from pytest_l402.ops.reconcile.deployments import COMPILED, Deployment, deployment_id

    hosted = ExecutionPath.HOSTED_NODE
    metadata = {
        "executionPath": hosted.value,
        "ruleCount": compilation.rule_count,
        "valid": compilation.valid,
    }
    return Deployment(
        deployment_id=deployment_id(REQUEST_ID, COMPILED),
        paywall_id=None,
        owner_id=None,
        config_hash=compilation.config_hash,
        image_digest=None,
        status=DeploymentStatus.PENDING if compilation.valid else DeploymentStatus.FAILED,
        diagnostics={
            "diagnostics": [item.to_json() for item in compilation.diagnostics],
            "metadata": metadata,
            "requestId": REQUEST_ID,
        },
        applied_at_ms=None,
        rolled_back_from=None,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        request_id=REQUEST_ID,
        execution_path=hosted,
    )


run = running(_work)
