"""`smoke:compile`, `reconcile`, `smoke:staging`: compile the paywalls, deploy them, or undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.outcome import Outcome, diagnosed
from pytest_l402.commands.targets import Rollout, opened

if TYPE_CHECKING:
    from pytest_l402.ops.reconcile.summary import ReconcileSummary

_COMPILE: Final = "smoke:compile"
_ARTIFACTS: Final = (("deployments", "deployments"), ("events", "gateway_events"), ("records", "records"))


def compiled(arguments: Arguments) -> Outcome:
    """Compile the paywalls of the control plane to aperture.yaml, and name it by its hash.
    Live: reads the paywalls; with --allow-live-changes the intent is also recorded there.
    """
    from pytest_l402.ops.compile.compilation import compile_paywalls
    from pytest_l402.ops.reconcile.records import compiled_row

    with opened(arguments) as target:
        compilation = compile_paywalls(target.paywalls(_COMPILE))
        intent = compiled_row(compilation, _COMPILE, target.now_ms())
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


def reconcile(arguments: Arguments) -> Outcome:
    """Compile the paywalls, deploy the configuration, probe health, challenge and proxy, and roll back
    or withdraw what does not pass. The same request id again returns the recorded outcome, or
    takes a run up that was cut off. Live: needs --allow-live-changes.
    """
    with opened(arguments) as target:
        return _rolled_out(arguments, "reconcile", target.reconcile())


def staging(arguments: Arguments) -> Outcome:
    """Deploy the paywalls over an earlier deployment, probe health, challenge and proxy, and roll back
    what does not pass. Live: compares what runs with what the control plane says and probes it;
    with --allow-live-changes it is a reconcile.
    """
    with opened(arguments) as target:
        return _rolled_out(arguments, "staging", target.staging())


def _rolled_out(arguments: Arguments, kind: str, rollout: Rollout) -> Outcome:
    """Carry a rollout out; its artifacts are left whichever way it ends, also when it is interrupted."""
    folder = ArtifactFolder(arguments.artifact_dir, kind, rollout.request_id)
    try:
        summary = rollout.work()
    except BaseException:
        intent = None if rollout.history is None else rollout.history.intent(rollout.request_id)
        if intent is not None and intent.outcome is not None:
            _leave(arguments, folder, rollout, intent.outcome)
        raise
    return _leave(arguments, folder, rollout, summary)


def _ending(summary: ReconcileSummary) -> tuple[str, ...]:
    doubt = summary.rollback_unverified
    return (summary.deployment_status.value, *(() if doubt is None else (doubt,)))


def _leave(
    arguments: Arguments, folder: ArtifactFolder, rollout: Rollout, summary: ReconcileSummary
) -> Outcome:
    from pytest_l402.ops.reconcile.wording import in_words

    tables = rollout.tables()
    files = {
        key: (
            f"{table}.jsonl",
            [row for row in tables.get(table, ()) if row["requestId"] == rollout.request_id],
        )
        for key, table in _ARTIFACTS
    }
    row = summary.to_json()
    document = {"ok": row["ok"], "mode": arguments.mode.value, **row, **rollout.more}
    failures = []
    if not summary.ok:
        # A look that finds something else deployed has none of the codes of a reconcile.
        code = document.setdefault("failureCode", "not_deployed")
        reason = in_words(summary.failure_reason or "") if summary.valid else diagnosed(document)
        failures = [(code, "; ".join((reason, *_ending(summary))))]
    if summary.original_failure_code is not None:
        failures = [(summary.original_failure_code.value, "see gateway_events.jsonl"), *failures]
    return Outcome(folder.leave(document, **files), tuple(failures))
