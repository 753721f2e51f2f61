"""Decides what the records of a look at a deployed platform must show; nothing of it is changed."""

from __future__ import annotations

from typing import Any

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.live_commands import live_system
from pytest_l402.commands.options import Options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.reconcile import NOT_DEPLOYED
from pytest_l402.commands.smoke_observability import judged, record_faults_in
from pytest_l402.harness.clock import SystemClock
from pytest_l402.live import LiveError, LiveSystem, gateway_access, live_targets
from pytest_l402.live.observing import observe_gate, observe_settlements
from pytest_l402.ops.compile.compilation import compile_paywalls

_NOT_OBSERVED = ("cacheHit", "denyReason of a denied request")


def observability_live(options: Options) -> Outcome:
    """Look at gateway, gate and settlements, and judge the records of that.

    Raises:
        BadInput: the environment or the system cannot be used.
    """
    request_id = f"smoke:observability:{SystemClock().now_ms()}"
    with live_system(options) as system:
        failures = _look(options, system, request_id)
        records = [dict(row) for row in system.journal.rows("records")]
    folder = ArtifactFolder(options.artifact_dir, "observability", request_id)
    found = [*failures, *record_faults_in(records)]
    more: dict[str, Any] = {"notObserved": list(_NOT_OBSERVED)}
    return judged(options, folder, request_id, records, found, more)


def _look(options: Options, system: LiveSystem, request_id: str) -> list[tuple[str, str]]:
    failures: list[tuple[str, str]] = []
    clock = SystemClock()
    summary = system.inspect(request_id)
    if not summary.ok:
        failures.append((str(summary.failure_code or NOT_DEPLOYED), str(summary.failure_reason)))
    targets = live_targets(gateway_access(options.environ))(
        compile_paywalls(tuple(system.control_plane.paywalls(request_id=request_id)))
    )
    if targets:
        denial = observe_gate(system, clock, f"{request_id}:security", targets[0].owner_id)
        if denial is not None:
            failures.append((denial, f"owner {targets[0].owner_id} is denied"))
        try:
            observe_settlements(system, clock, targets[0].paywall_id)
        except LiveError as error:
            failures.append((error.code, str(error)))
    return failures
