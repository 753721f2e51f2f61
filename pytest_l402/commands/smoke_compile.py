"""`smoke:compile`: compile the control plane's paywalls, and leave the aperture.yaml that they come to."""

from __future__ import annotations

from typing import Any

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.outcome import Outcome, diagnosed
from pytest_l402.commands.targets import opened

REQUEST_ID = "smoke:compile"


def compiled(arguments: Arguments) -> Outcome:
    """Compile the paywalls of the control plane to aperture.yaml, and name it by its hash.
    Live: reads the paywalls; with --allow-live-changes the intent is also recorded there.
    """
    from pytest_l402.ops.compile.compilation import compile_paywalls
    from pytest_l402.ops.reconcile.records import compiled_row

    with opened(arguments) as target:
        compilation = compile_paywalls(target.paywalls(REQUEST_ID))
        intent = compiled_row(compilation, REQUEST_ID, target.now_ms())
        recorded = target.record_intent(intent)
    folder = ArtifactFolder(arguments.artifact_dir, "compile", compilation.config_hash)
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
    if not compilation.valid:
        document["failureCode"] = "compile_validation_failed"
    document["diagnosticsCount"] = len(compilation.diagnostics)
    document["diagnostics"] = [item.to_json() for item in compilation.diagnostics]
    failures = () if compilation.valid else ((document["failureCode"], diagnosed(document)),)
    config = {"config": ("aperture.yaml", compilation.aperture_yaml)} if compilation.valid else {}
    kept = folder.leave(document, **config, deployments=("deployments.jsonl", [intent.to_row()]))
    return Outcome(kept, failures)
