"""How each command works on a deployed system: it looks, and changes only what it is allowed to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pytest_l402.commands.arguments import LOCAL_ARTIFACT, Arguments
from pytest_l402.commands.artifacts import Rows
from pytest_l402.commands.bad_input import BadInput, Failed
from pytest_l402.commands.modes import Mode
from pytest_l402.commands.targets.work import FlowRun, Observed, Rollout, Settled
from pytest_l402.contract import FlowEvent, FlowMode, FullFlowSummary
from pytest_l402.harness.clock import SystemClock
from pytest_l402.live import (
    STATE_FOLDER,
    ControlPlaneForm,
    EnvironmentVariableError,
    LiveError,
    LiveSystem,
    gateway_access,
    live_targets,
    open_live_system,
)
from pytest_l402.live.delivered_history import deployment_arguments
from pytest_l402.live.flow_stages import LiveFlowStages
from pytest_l402.live.observing import observe_gate, observe_settlements
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition
from pytest_l402.ops.full_flow.flow import Flow
from pytest_l402.ops.reconcile.deployments import Deployment
from pytest_l402.ops.security.summary import SecurityDrill, status_snapshot
from pytest_l402.ops.settlement.drill import read_settlements

NOT_DEPLOYED: Final = "not_deployed"
"""What is looked for and is not there: none of the codes of a reconcile."""
_NOT_OBSERVED: Final = ("cacheHit", "denyReason of a denied request")
_FORMS: Final = {
    Mode.CONVEX: ControlPlaneForm.CONVEX,
    Mode.KHALA: ControlPlaneForm.CONVEX,
    Mode.API: ControlPlaneForm.API,
}
# What these tell of was begun, and did not come to a good end.
_FAILURES: Final = frozenset({"not_undone", "history_not_delivered"})


@contextmanager
def live_target(arguments: Arguments) -> Iterator[LiveTarget]:
    """Open the deployed system that the environment names, and tell its troubles as the commands do.

    Raises:
        BadInput: the system cannot be used as asked; nothing of it was changed, or all of it undone.
        Failed: something was changed that could not be undone, or not be written down.
    """
    try:
        with open_live_system(
            arguments.environ,
            folder=arguments.state_dir or arguments.artifact_dir / STATE_FOLDER,
            allow_changes=arguments.allow_live_changes,
            form=_FORMS.get(arguments.mode),
            wait_s=arguments.wait_s,
        ) as system:
            yield LiveTarget(arguments, system)
    except EnvironmentVariableError as error:
        raise BadInput(str(error), error.code) from None
    except LiveError as error:
        kind = Failed if error.code in _FAILURES else BadInput
        raise kind(str(error), error.code) from None


class LiveTarget:
    """A deployed system as a target; nothing is ever paid there, and nothing is entered."""

    def __init__(self, arguments: Arguments, system: LiveSystem) -> None:
        self._arguments = arguments
        self._system = system
        self._clock = SystemClock()

    def now_ms(self) -> int:
        """Return the time of this machine."""
        return self._clock.now_ms()

    def paywalls(self, request_id: str) -> Sequence[PaywallDefinition]:
        """Ask the control plane."""
        return self._system.control_plane.paywalls(request_id=request_id)

    def record_intent(self, intent: Deployment) -> Mapping[str, Any]:
        """Record it at the control plane, where it stays."""
        if not self._arguments.allow_live_changes:
            return {"recorded": False}
        plane = self._system.control_plane
        self._system.permission.announce(plane.url, plane.where, f"record {intent.deployment_id}; it stays")
        function = "lightning/ops:recordGatewayCompileIntent"
        plane.mutation(function, deployment_arguments(intent.to_row()), str(intent.request_id))
        return {"recorded": True}

    def security_drill(self, request_id: str) -> Callable[[], SecurityDrill]:
        """Return the drill; without permission it is refused, and the refusal says how the switches stand."""
        # Asked first of all: a control plane that cannot be asked is no drill.
        controls = self._system.security
        snapshot = status_snapshot(controls.security_state(), controls.credential_roles.states())
        if not self._arguments.allow_live_changes:
            raise BadInput(
                f"{self._system.control_plane.where}: expected permission to switch the global pause, a kill "
                "switch and a credential role, saw a read-only run; allow it with --allow-live-changes",
                "change_refused",
                {"executionPath": "hosted-node", "statusSnapshot": snapshot},
            )
        return lambda: self._system.run_security_drill(request_id)

    def settle(self) -> Settled:
        """Read the settlements on record; what is entered could not be taken out again."""
        rows = self._system.settlements.all()
        document, failures = read_settlements(rows)
        return Settled(document, failures, {"settlements": rows})

    def tables(self) -> Mapping[str, Rows]:
        """Return none: what the parts wrote down is theirs."""
        return {}

    def staging(self) -> Rollout:
        """Return a look whether the gateway runs what the control plane says; with permission, a deploy."""
        if self._arguments.allow_live_changes:
            return self._deploy("smoke:staging")
        request_id = self._named("smoke:staging")
        image = self._arguments.image_digest
        return Rollout(
            request_id,
            lambda: self._system.inspect(request_id, image_digest=image),
            lambda: {"records": self._system.journal.rows("records")},
            None,
            {"deployed": False},
        )

    def reconcile(self) -> Rollout:
        """Return a deploy of what the control plane says, or back to what ran before."""
        return self._deploy("reconcile")

    def observe(self, request_id: str) -> Observed:
        """Look at gateway, gate and settlements."""
        failures = []
        summary = self._system.inspect(request_id)
        if not summary.ok:
            failures.append((str(summary.failure_code or NOT_DEPLOYED), str(summary.failure_reason)))
        wanted = live_targets(gateway_access(self._arguments.environ))
        targets = wanted(compile_paywalls(tuple(self.paywalls(request_id))))
        if targets:
            owner = targets[0].owner_id
            denial = observe_gate(self._system, self._clock, f"{request_id}:security", owner)
            if denial is not None:
                failures.append((denial, f"owner {owner} is denied"))
            try:
                observe_settlements(self._system, self._clock, targets[0].paywall_id)
            except LiveError as error:
                failures.append((error.code, str(error)))
        return Observed([dict(row) for row in self._system.journal.rows("records")], failures, _NOT_OBSERVED)

    def full_flow(self, local_artifact: Path | None) -> FlowRun:
        """Return the flow; a control plane that cannot be reached is no failed flow."""
        request_id = f"smoke:full-flow:{self.now_ms()}"
        self.paywalls(request_id)
        stages = LiveFlowStages(
            self._system,
            gateway_access(self._arguments.environ),
            request_id,
            self._clock,
            local_artifact or self._arguments.artifact_dir / LOCAL_ARTIFACT,
            self._arguments.allow_missing_local_artifact,
        )
        # The contract has no mode named khala.
        asked = self._arguments.mode
        mode = FlowMode.LIVE if asked is Mode.KHALA else FlowMode(asked.value)

        def work(folder: Path) -> tuple[FullFlowSummary, Sequence[FlowEvent]]:
            flow = Flow(stages, clock=self._clock, mode=mode, folder=folder, shown_folder=folder.as_posix())
            try:
                flow.run()
            finally:
                summary = flow.write()
            return summary, flow.events

        return FlowRun(request_id, work)

    def _named(self, prefix: str) -> str:
        """Return the id that was asked for, else one of its own: the same id again would deploy nothing."""
        ordered = self._arguments.request_id
        return f"{prefix}:{self.now_ms()}" if ordered is None else ordered

    def _deploy(self, prefix: str) -> Rollout:
        request_id, system = self._named(prefix), self._system
        system.permission.require(system.gateway.where, "a deploy")

        def tables() -> Mapping[str, Rows]:
            history = {name: system.history.rows(name) for name in ("deployments", "gateway_events")}
            return {"records": system.journal.rows("records"), **history}

        image = self._arguments.image_digest
        return Rollout(
            request_id,
            lambda: system.reconcile(request_id, image_digest=image),
            tables,
            system.history,
            {"deployed": True},
        )
