"""Decides how the full flow of a deployed platform is run as a command."""

from __future__ import annotations

from pytest_l402.commands.live_commands import live_system
from pytest_l402.commands.modes import Mode
from pytest_l402.commands.options import Options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.smoke_full_flow import LOCAL_ARTIFACT, LocalSource, flow_outcome, published
from pytest_l402.contract import FlowMode
from pytest_l402.harness.clock import SystemClock
from pytest_l402.live import gateway_access
from pytest_l402.live.flow_stages import LiveFlowStages
from pytest_l402.ops.full_flow.flow import Flow


def full_flow_live(options: Options, source: LocalSource) -> Outcome:
    """Run the six stages; the system is opened first, so that what cannot be used leaves no artifact.

    Raises:
        BadInput: the environment or the system cannot be used.
        Failed: something was changed that could not be undone.
    """
    clock = SystemClock()
    request_id = f"smoke:full-flow:{clock.now_ms()}"
    with live_system(options) as system:
        # Asked before anything is written: a control plane that cannot be reached is no failed flow.
        system.control_plane.paywalls(request_id=request_id)
        stages = LiveFlowStages(
            system,
            gateway_access(options.environ),
            request_id,
            clock,
            source.path or options.artifact_dir / LOCAL_ARTIFACT,
            source.allow_missing,
        )
        # The contract has no mode named khala.
        mode = FlowMode.LIVE if options.mode is Mode.KHALA else FlowMode(options.mode.value)
        with published(options, request_id) as folder:
            flow = Flow(stages, clock=clock, mode=mode, folder=folder, shown_folder=folder.as_posix())
            try:
                flow.run()
            finally:
                summary = flow.write()
    return flow_outcome(summary, tuple(flow.events))
