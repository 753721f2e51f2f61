"""`reconcile`, `smoke:staging`: bring the gateway to what the control plane says, or back to what it ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.outcome import Outcome, diagnosed
from pytest_l402.commands.targets import Rollout, opened

if TYPE_CHECKING:
    from pytest_l402.ops.reconcile.summary import ReconcileSummary

_ARTIFACTS: Final = (("deployments", "deployments"), ("events", "gateway_events"), ("records", "records"))


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


def _leave(
    arguments: Arguments, folder: ArtifactFolder, rollout: Rollout, summary: ReconcileSummary
) -> Outcome:
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
        reason = summary.failure_reason if summary.valid else diagnosed(document)
        failures = [(code, f"{reason}; {summary.deployment_status.value}")]
    if summary.original_failure_code is not None:
        failures = [(summary.original_failure_code.value, "see gateway_events.jsonl"), *failures]
    return Outcome(folder.leave(document, **files), tuple(failures))
