"""Decides what each command does to a deployed system: it looks, and changes only what it is allowed to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.commands import smoke_compile, smoke_security, smoke_staging
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.bad_input import BadInput, Failed
from pytest_l402.commands.modes import Mode
from pytest_l402.commands.options import Options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.reconcile import Order, ReconcileJob, Tables, usable_state
from pytest_l402.harness.clock import SystemClock
from pytest_l402.live import (
    STATE_FOLDER,
    ControlPlaneForm,
    EnvironmentVariableError,
    LiveError,
    LiveSystem,
    open_live_system,
)
from pytest_l402.live.delivered_history import deployment_arguments

if TYPE_CHECKING:
    from pytest_l402.ops.reconcile.deployments import Deployment
    from pytest_l402.ops.reconcile.summary import ReconcileSummary

_FORMS: Final = {
    Mode.CONVEX: ControlPlaneForm.CONVEX,
    Mode.KHALA: ControlPlaneForm.CONVEX,
    Mode.API: ControlPlaneForm.API,
}
# What these tell of was begun, and did not come to a good end.
_FAILURES: Final = frozenset({"not_undone", "history_not_delivered"})


@contextmanager
def live_system(options: Options, order: Order | None = None) -> Iterator[LiveSystem]:
    """Open the deployed system that the environment names, and tell its troubles as the commands do.

    Raises:
        BadInput: the system cannot be used as asked; nothing of it was changed, or all of it undone.
        Failed: something was changed that could not be undone, or not be written down.
    """
    folder = order.state_dir if order is not None else None
    try:
        with (
            usable_state(),
            open_live_system(
                options.environ,
                folder=folder or options.artifact_dir / STATE_FOLDER,
                allow_changes=options.allow_live_changes,
                form=_FORMS.get(options.mode),
                wait_s=0.0 if order is None else order.wait_s,
            ) as system,
        ):
            yield system
    except EnvironmentVariableError as error:
        raise BadInput(str(error), error.code) from None
    except LiveError as error:
        kind = Failed if error.code in _FAILURES else BadInput
        raise kind(str(error), error.code) from None


def compile_live(options: Options) -> Outcome:
    """Compile what the control plane holds, and record the intent there if changes are allowed."""
    with live_system(options) as system:

        def record(row: Deployment) -> dict[str, Any]:
            if not options.allow_live_changes:
                return {"recorded": False}
            plane = system.control_plane
            system.permission.announce(plane.url, plane.where, f"record {row.deployment_id}; it stays")
            plane.mutation(
                "lightning/ops:recordGatewayCompileIntent",
                deployment_arguments(row.to_row()),
                smoke_compile.REQUEST_ID,
            )
            return {"recorded": True}

        paywalls = system.control_plane.paywalls(request_id=smoke_compile.REQUEST_ID)
        return smoke_compile.compiled(options, paywalls, SystemClock().now_ms(), record)


def security_live(options: Options) -> Outcome:
    """Drill the security controls; without permission, say how they stand and that nothing was drilled."""
    with live_system(options) as system:
        # Asked before anything is written: a control plane that cannot be asked is no drill.
        snapshot = _security_snapshot(system)
        if not options.allow_live_changes:
            raise BadInput(
                f"{system.control_plane.where}: expected permission to switch the global pause, a kill "
                "switch and a credential role, saw a read-only run; allow it with --allow-live-changes",
                "change_refused",
                {"executionPath": "hosted-node", "statusSnapshot": snapshot},
            )
        folder = ArtifactFolder(options.artifact_dir, "security", smoke_security.REQUEST_ID)
        document, reason = smoke_security.drill(lambda: system.run_security_drill(smoke_security.REQUEST_ID))
    return Outcome(folder.summary(smoke_security.with_mode(options, document)), reason)


def reconcile_live(options: Options, order: Order) -> Outcome:
    """Deploy what the control plane says, or put back what ran before."""
    request_id = _named(order, "reconcile")
    return _deploy(options, order, "reconcile", request_id)


def staging_live(options: Options, order: Order) -> Outcome:
    """Look whether the gateway runs what the control plane says; with permission, reconcile."""
    request_id = _named(order, smoke_staging.REQUEST_ID)
    if options.allow_live_changes:
        return _deploy(options, order, "staging", request_id)
    with live_system(options, order) as system:
        job = ReconcileJob(options, "staging", request_id, lambda: _tables(system, with_history=False))
        summary = system.inspect(request_id, image_digest=order.image_digest)
        return job.leave(summary, {"deployed": False})


def _named(order: Order, prefix: str) -> str:
    """Return the id that was asked for, else one of its own: the same id again would deploy nothing."""
    return f"{prefix}:{SystemClock().now_ms()}" if order.request_id is None else order.request_id


def _deploy(options: Options, order: Order, kind: str, request_id: str) -> Outcome:
    with live_system(options, order) as system:
        system.permission.require(system.gateway.where, "a deploy")
        job = ReconcileJob(options, kind, request_id, lambda: _tables(system, with_history=True))

        def work() -> ReconcileSummary:
            return system.reconcile(request_id, image_digest=order.image_digest)

        return job.run(work, system.history, {"deployed": True})


def _tables(system: LiveSystem, *, with_history: bool) -> Tables:
    tables = {"records": system.journal.rows("records")}
    if with_history:
        tables |= {name: system.history.rows(name) for name in ("deployments", "gateway_events")}
    return tables


def _security_snapshot(system: LiveSystem) -> dict[str, Any]:
    state = system.security.security_state()
    return {
        "globalPauseActive": state.global_pause,
        "activeOwnerKillSwitches": len(state.killed_owners),
        "credentialRoles": [
            {"role": role.role.value, "status": role.status.value, "version": role.version}
            for role in system.security.credential_roles.states()
        ],
    }
