"""`smoke:full-flow`: run the hosted path from end to end, and leave its artifacts either way."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_l402.commands.artifacts import BASE, SUMMARY, writing
from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.options import Options, add_shared_arguments, read_options, shown, usable_path
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.contract import FlowEvent, FullFlowSummary

KIND = "full-flow"
EVENTS = "events.jsonl"
HOSTED_SUMMARY = "l402-hosted-full-flow-summary.json"
LOCAL_ARTIFACT = "l402-local-node-smoke-artifact.json"


class LocalSource(NamedTuple):
    """With which local artifact the hosted path is compared; None is the one that this run makes itself."""

    path: Path | None
    allow_missing: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Run the hosted path from end to end: paywall, reconcile, a paid and a denied request, records,\n"
        "parity with the local path. Leaves events.jsonl and summary.json in\n"
        "<artifact dir>/lightning-ops/full-flow/<request id>/, and the summary once more as\n"
        f"<artifact dir>/{HOSTED_SUMMARY}.\n"
        "Live: reads only, unless --allow-live-changes.",
    )
    parser.add_argument(
        "--local-artifact",
        metavar="FILE",
        help="local-node artifact to compare with by key (default: "
        f"<artifact dir>/{LOCAL_ARTIFACT} if there is one, else the one of this run, by value)",
    )
    parser.add_argument(
        "--allow-missing-local-artifact",
        action="store_true",
        help="go on without that file; other checks stay",
    )


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(given), as_json=given.json)


def _work(given: argparse.Namespace) -> Outcome:
    options = read_options(given)
    source = local_source(options, given.local_artifact, given.allow_missing_local_artifact)
    if options.mode.is_live:
        from pytest_l402.commands.live_full_flow import full_flow_live

        return full_flow_live(options, source)
    from pytest_l402.commands.mock_stack import injected, mock_stack, read_faults
    from pytest_l402.stack.full_flow.run import run_full_flow

    faults = read_faults(options.faults)
    with mock_stack() as stack:
        request_id = f"smoke:full-flow:{stack.clock.tick()}"
        # The local artifact of this run is kept with it: the usual place may hold one of a real executor.
        with published(options, request_id) as folder, injected(stack, faults):
            stack.artifact_dir = folder
            flow = run_full_flow(
                stack,
                options.artifact_dir,
                source.path,
                source.allow_missing,
                request_id=request_id,
                relative_paths=False,
            )
    return flow_outcome(flow.summary, flow.events)


def local_source(options: Options, given: str | None, allow_missing: bool) -> LocalSource:
    """Return the local artifact to compare with; one that is there must be readable.

    Raises:
        BadInput: the file is no local-node artifact.
    """
    from pytest_l402.boundary import InputError, read_json
    from pytest_l402.contract import DocumentError, LocalNodeArtifact

    path = usable_path("--local-artifact", given)
    if path is None:
        usual = options.artifact_dir / LOCAL_ARTIFACT
        path = usual if usual.exists() else None
    if path is not None and path.exists():
        try:
            LocalNodeArtifact.decode(read_json(path))
        except InputError as error:
            raise BadInput(f"local artifact: {error}", "local_artifact_unreadable") from None
        except DocumentError as error:
            raise BadInput(f"local artifact {shown(path)}: {error}", "local_artifact_unreadable") from None
    return LocalSource(path, allow_missing)


@contextmanager
def published(options: Options, request_id: str) -> Iterator[Path]:
    """Give the folder of a run, and leave its summary also where runbook observability redirects it to.

    What an earlier run left is removed first: one that is killed must leave nothing that could be mistaken
    for its own. In a folder that was named by `--artifact-dir` both files are left directly, too.

    Raises:
        Failed: a file could not be written.
    """
    from pytest_l402.boundary import folder_name
    from pytest_l402.boundary.artifact_files import write_text

    folder = options.artifact_dir / BASE / KIND / folder_name(request_id)
    hosted = options.artifact_dir / HOSTED_SUMMARY
    with writing(folder):
        for path in (folder / EVENTS, folder / SUMMARY, folder / LOCAL_ARTIFACT, hosted):
            path.unlink(missing_ok=True)
        try:
            yield folder
        finally:
            if (folder / SUMMARY).is_file():
                summary = (folder / SUMMARY).read_text(encoding="utf-8")
                write_text(hosted, summary)
                if options.artifact_dir_given:
                    # There the original tool leaves them when the folder is named.
                    write_text(options.artifact_dir / SUMMARY, summary)
                    write_text(options.artifact_dir / EVENTS, (folder / EVENTS).read_text(encoding="utf-8"))


def flow_outcome(summary: FullFlowSummary, events: tuple[FlowEvent, ...]) -> Outcome:
    """Return what is printed: the summary, and which check failed first and why."""
    row: dict[str, Any] = summary.to_row()
    if summary.ok:
        return Outcome(row)
    failures = [entry for event in events for entry in event.details.get("failures", ())]
    code = summary.coverage.failed_checks[0]
    document = {
        "ok": False,
        "failureCode": code,
        "failures": failures,
        **{k: v for k, v in row.items() if k != "ok"},
    }
    reasons = "; ".join(f"{entry['check']}: {entry['reason']}" for entry in failures)
    return Outcome(document, reasons or code)
