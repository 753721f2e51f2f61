"""`smoke:full-flow`: run the hosted path from end to end, and leave its artifacts either way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_l402.commands.arguments import LOCAL_ARTIFACT, Arguments
from pytest_l402.commands.artifacts import EVENTS, ArtifactFolder, writing
from pytest_l402.commands.bad_input import BadInput, shown
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.targets import opened
from pytest_l402.ops.earlier_artifacts import FULL_FLOW, HOSTED_SUMMARY, SUMMARY

if TYPE_CHECKING:
    from pytest_l402.contract import FlowEvent, FullFlowSummary


def full_flow(arguments: Arguments) -> Outcome:
    """Run the hosted path from end to end: paywall, reconcile, a paid and a denied request, records,
    parity with the local path. Leaves events.jsonl and summary.json in
    <artifact dir>/lightning-ops/full-flow/<request id>/, and the summary once more as
    <artifact dir>/l402-hosted-full-flow-summary.json.
    Live: reads only, unless --allow-live-changes.
    """
    local = _local_artifact(arguments)
    with opened(arguments) as target:
        flow = target.full_flow(local)
        with _published(arguments, flow.request_id) as folder:
            summary, events = flow.work(folder)
    return _outcome(summary, events)


def _local_artifact(arguments: Arguments) -> Path | None:
    """Return the local artifact to compare with, None for that of this run; one that is there is readable.

    Raises:
        BadInput: the file is no local-node artifact.
    """
    from pytest_l402.boundary import InputError, read_json
    from pytest_l402.contract import DocumentError, LocalNodeArtifact

    usual = arguments.artifact_dir / LOCAL_ARTIFACT
    path = arguments.local_artifact or (usual if usual.exists() else None)
    if path is not None and path.exists():
        try:
            LocalNodeArtifact.decode(read_json(path))
        except InputError as error:
            raise BadInput(f"local artifact: {error}", "local_artifact_unreadable") from None
        except DocumentError as error:
            raise BadInput(f"local artifact {shown(path)}: {error}", "local_artifact_unreadable") from None
    return path


@contextmanager
def _published(arguments: Arguments, request_id: str) -> Iterator[Path]:
    """Give the folder of a run, and leave its summary also where runbook observability redirects it to.

    What an earlier run left is out of the way by now: see `make_way`. In a folder that was named by
    `--artifact-dir` both files are left directly, too.

    Raises:
        Failed: a file could not be written.
    """
    from pytest_l402.boundary.whole_files import write_text

    folder = ArtifactFolder(arguments.artifact_dir, FULL_FLOW, request_id).path
    hosted = arguments.artifact_dir / HOSTED_SUMMARY
    with writing(folder):
        try:
            yield folder
        finally:
            if (folder / SUMMARY).is_file():
                summary = (folder / SUMMARY).read_text(encoding="utf-8")
                write_text(hosted, summary)
                if arguments.artifact_dir_given:
                    # There the original tool leaves them when the folder is named.
                    write_text(arguments.artifact_dir / SUMMARY, summary)
                    events = (folder / EVENTS).read_text(encoding="utf-8")
                    write_text(arguments.artifact_dir / EVENTS, events)


def _outcome(summary: FullFlowSummary, events: Sequence[FlowEvent]) -> Outcome:
    """Return what is printed: the summary, and which check failed first and why."""
    row: dict[str, Any] = summary.to_row()
    if summary.ok:
        return Outcome(row)
    failures = [entry for event in events for entry in event.details.get("failures", ())]
    code = summary.coverage.failed_checks[0]
    document = {"ok": False, "mode": row["mode"], "failureCode": code, "failures": failures, **row}
    return Outcome(document, tuple((entry["check"], entry["reason"]) for entry in failures))
