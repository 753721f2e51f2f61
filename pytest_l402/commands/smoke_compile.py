"""`smoke:compile`: compile the control plane's paywalls, and leave the aperture.yaml that they come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.options import Options, add_shared_arguments, read_options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.ops.compile.compilation import Compilation
    from pytest_l402.ops.compile.paywall import PaywallDefinition
    from pytest_l402.ops.reconcile.deployments import Deployment

REQUEST_ID = "smoke:compile"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Compile the paywalls of the control plane to aperture.yaml, and name it by its hash.\n"
        "Live: reads the paywalls; with --allow-live-changes the intent is also recorded there.",
    )


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(read_options(given)), as_json=given.json)


def _work(options: Options) -> Outcome:
    if options.mode.is_live:
        from pytest_l402.commands.live_commands import compile_live

        return compile_live(options)
    from pytest_l402.commands.mock_stack import injected, mock_stack, read_faults

    faults = read_faults(options.faults)
    with mock_stack() as stack, injected(stack, faults):
        paywalls = stack.ops.source.paywalls(request_id=REQUEST_ID)
        return compiled(options, paywalls, stack.clock.tick())


def compiled(
    options: Options,
    paywalls: Sequence[PaywallDefinition],
    now_ms: int,
    record: Callable[[Deployment], dict[str, Any]] | None = None,
) -> Outcome:
    """Compile, write the artifacts, and return the outcome.

    `record` is given the row that records the intent, and says what else is to be told of that.
    """
    from pytest_l402.ops.compile.compilation import compile_paywalls

    compilation = compile_paywalls(paywalls)
    intent = _intent(compilation, now_ms)
    more = {} if record is None else record(intent)
    folder = ArtifactFolder(options.artifact_dir, "compile", compilation.config_hash)
    if compilation.valid:
        folder.text("configPath", "aperture.yaml", compilation.aperture_yaml)
    folder.lines("deploymentsPath", "deployments.jsonl", [intent.to_row()])
    document: dict[str, Any] = {
        "ok": compilation.valid,
        "mode": options.mode.value,
        "configHash": compilation.config_hash,
        "ruleCount": compilation.rule_count,
        "valid": compilation.valid,
        "deploymentStatus": intent.status.value,
        "deploymentId": intent.deployment_id,
        **more,
    }
    reason = None
    if not compilation.valid:
        document["failureCode"] = "compile_validation_failed"
        codes = ", ".join(
            dict.fromkeys(i.code.value for i in compilation.diagnostics if i.severity == "error")
        )
        reason = f"compile_validation_failed: {codes}"
    document["diagnosticsCount"] = len(compilation.diagnostics)
    document["diagnostics"] = [item.to_json() for item in compilation.diagnostics]
    return Outcome(folder.summary(document), reason)


def _intent(compilation: Compilation, now_ms: int) -> Deployment:
    from pytest_l402.contract import DeploymentStatus, ExecutionPath
    from pytest_l402.ops.reconcile.deployments import COMPILED, Deployment, deployment_id

    hosted = ExecutionPath.HOSTED_NODE
    return Deployment(
        deployment_id=deployment_id(REQUEST_ID, COMPILED),
        paywall_id=None,
        owner_id=None,
        config_hash=compilation.config_hash,
        image_digest=None,
        status=DeploymentStatus.PENDING if compilation.valid else DeploymentStatus.FAILED,
        diagnostics={
            "diagnostics": [item.to_json() for item in compilation.diagnostics],
            "metadata": {
                "executionPath": hosted.value,
                "ruleCount": compilation.rule_count,
                "valid": compilation.valid,
            },
            "requestId": REQUEST_ID,
        },
        applied_at_ms=None,
        rolled_back_from=None,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        request_id=REQUEST_ID,
        execution_path=hosted,
    )
