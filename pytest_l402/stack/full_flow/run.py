"""Decides whether the hosted path works from end to end, and writes down how it went, well or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_l402.boundary import folder_name
from pytest_l402.contract import FlowEvent, FlowMode, FullFlowSummary
from pytest_l402.ops.full_flow.flow import Flow, FlowPurchase
from pytest_l402.stack.full_flow.stages import FlowStages

if TYPE_CHECKING:
    from pytest_l402.stack.stack import Stack

FLOW_FOLDER = Path("lightning-ops") / "full-flow"


@dataclass(frozen=True, slots=True)
class FullFlowRun:
    """What a full flow left: summary and events as in `folder`, and its paid and its denied request."""

    summary: FullFlowSummary
    events: tuple[FlowEvent, ...]
    folder: Path
    paid: FlowPurchase
    denied: FlowPurchase


def run_full_flow(
    stack: Stack,
    artifact_dir: Path,
    local_artifact_path: Path | None = None,
    allow_missing_local_artifact: bool = False,
    *,
    request_id: str | None = None,
    relative_paths: bool = True,
) -> FullFlowRun:
    """Run the six stages of the hosted full flow against the stack, and write events.jsonl and summary.json.

    The files lie in `<artifact_dir>/lightning-ops/full-flow/<request id>/`. A stage that fails does not stop
    those after it, and the files are written in any case: `summary.ok` says whether all eight checks hold.
    The stack must be online. Without `local_artifact_path` the executor's own local artifact is written below
    `artifact_dir` and compared by value; a path names one to be compared by key only, as a historical
    artifact tells of other payments.

    Without `request_id` the run is named after the clock. The summary names files relative to `artifact_dir`,
    so that it reads the same wherever that is, or else as they are opened.
    Source: runbook observability section 1. Raises `OSError` when the files cannot be written.
    """
    if stack.artifact_dir is None:
        stack.artifact_dir = artifact_dir
    request_id = request_id or f"smoke:full-flow:{stack.clock.tick()}"
    folder = artifact_dir / FLOW_FOLDER / folder_name(request_id)
    flow = Flow(
        FlowStages(
            stack,
            request_id,
            local_artifact_path,
            allow_missing_local_artifact,
            relative_paths=relative_paths,
        ),
        clock=stack.clock,
        mode=FlowMode.MOCK,
        folder=folder,
        shown_folder=(FLOW_FOLDER / folder.name if relative_paths else folder).as_posix(),
    )
    try:
        flow.run()
    finally:
        # Also when somebody interrupts the run: an older artifact could be mistaken for one of this run.
        summary = flow.write()
        stack.flow_folder = folder
    return FullFlowRun(
        summary=summary,
        events=tuple(flow.events),
        folder=folder,
        paid=flow.paid(),
        denied=FlowPurchase(flow.denied_id),
    )
