"""What the stand-in stack of the commands sells, and how each command rehearses on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import Rows
from pytest_l402.commands.faults import expect_fired, read_faults
from pytest_l402.commands.targets.work import FlowRun, Observed, Rollout, Settled
from pytest_l402.contract import FlowEvent, FullFlowSummary
from pytest_l402.ops.compile.paywall import PaywallDefinition
from pytest_l402.ops.reconcile.deployments import Deployment
from pytest_l402.ops.security.drill import run_security_drill
from pytest_l402.ops.security.summary import SecurityDrill
from pytest_l402.ops.settlement.drill import drill_books
from pytest_l402.ops.settlement.smoke import smoke_events
from pytest_l402.stack.full_flow.run import run_full_flow
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.shop import SELLER_HOST, STATUS_PATH
from pytest_l402.stack.sold import paywall_of
from pytest_l402.stack.stack import Stack


def _sold(name: str, price_msats: int) -> Service:
    return Service(
        name,
        price_msats=price_msats,
        pathregexp=f"^/api/{name}/premium$",
        address=SELLER_HOST,
        paywall_id=f"pw_{name}",
        owner_id=f"owner_{name}",
        route_id=f"route_{name}",
    )


# The paywalls of the original tool, as Aperture can sell them: whole sats (2 500 and 1 800 msats are none),
# and the seller's own path (Aperture can put a prefix before a path, but not replace it).
_WEATHER: Final = _sold("weather", 3_000)
_NEWS: Final = _sold("news", 2_000)
_STATUS: Final = Service("status", pathregexp=f"^{STATUS_PATH}$", auth="off", address=SELLER_HOST)
_STAGING: Final = "smoke:staging"
_DENIED_OWNER: Final = "owner_security_smoke"
_PAUSE_REASON: Final = "observability smoke: global pause"


@contextmanager
def mock_stack(*services: Service, ops_folder: Path | None = None) -> Iterator[Stack]:
    """Open a stack that sells these services, by default two; the same calls leave the same rows."""
    sold = (*(services or (_WEATHER, _NEWS)), _STATUS)
    with Stack(services=sold, ops_folder=ops_folder) as stack, stack.connected():
        yield stack


@contextmanager
def stack_target(arguments: Arguments) -> Iterator[StackTarget]:
    """Open a stack for one command.

    Raises:
        BadInput: a fault that the command does not take.
        Failed: at the end, for one that did not fire.
    """
    faults = read_faults(arguments.command, arguments.faults)
    sold = (_WEATHER,) if arguments.command == _STAGING else ()
    with mock_stack(*sold, ops_folder=arguments.state_dir) as stack:
        with ExitStack() as active:

            def misbehave() -> None:
                for fault in faults:
                    active.enter_context(stack.faults.inject(fault))

            if arguments.command != _STAGING:
                misbehave()
            yield StackTarget(arguments, stack, misbehave)
        arguments.injected.extend(injected.to_row() for injected in stack.faults.history())
    expect_fired(arguments.command, arguments.injected)


class StackTarget:
    """The stack as a target; the faults are active from the start, in staging from the second deploy on."""

    def __init__(self, arguments: Arguments, stack: Stack, misbehave: Callable[[], None]) -> None:
        self._arguments = arguments
        self._stack = stack
        self._misbehave = misbehave

    def now_ms(self) -> int:
        """Tick the stack's clock."""
        return self._stack.clock.tick()

    def paywalls(self, request_id: str) -> Sequence[PaywallDefinition]:
        """Return what the control plane holds."""
        return self._stack.ops.source.paywalls(request_id=request_id)

    def record_intent(self, intent: Deployment) -> Mapping[str, Any]:
        """Record nothing: the intent is kept in the artifacts."""
        return {}

    def security_drill(self, request_id: str) -> Callable[[], SecurityDrill]:
        """Return the drill of the stack's controls."""
        return lambda: run_security_drill(self._stack.control_plane, request_id=request_id)

    def settle(self) -> Settled:
        """Enter events into the stack's books."""
        books = self._stack.settlement_store
        document, failures = drill_books(books, smoke_events())
        tables = ("invoices", "settlements", "conflicts")
        return Settled(document, failures, {table: books.rows(table) for table in tables})

    def tables(self) -> Mapping[str, Rows]:
        """Return every table of the stack."""
        return self._stack.tables()

    def staging(self) -> Rollout:
        """Deploy one paywall, add the other, and return the deploy of both."""
        previous = self._stack.reconciler().reconcile(f"{_STAGING}:previous")
        news = paywall_of(_NEWS)
        assert news is not None
        self._stack.control_plane.create_paywall(news)
        self._misbehave()
        return self._rollout(_STAGING, {"previousConfigHash": previous.config_hash})

    def reconcile(self) -> Rollout:
        """Return a deploy where nothing is deployed yet."""
        return self._rollout(f"reconcile:{self.now_ms()}", {})

    def observe(self, request_id: str) -> Observed:
        """Deploy, buy twice and be denied once; the local executor's own records are another path's."""
        failures = []
        summary = self._stack.reconciler().reconcile(request_id)
        if not summary.ok:
            failures.append((str(summary.failure_code), str(summary.failure_reason)))
        for wanted in ("paid", "cached"):
            bought = self._stack.executor.buy(self._stack.paywalls[0].path)
            if bought.status != wanted:
                seen = f"saw {bought.status.value} {bought.error_code or ''}".strip()
                failures.append((f"purchase_not_{wanted}", seen))
        control = self._stack.control_plane
        control.set_global_pause(True, _PAUSE_REASON)
        try:
            control.gate(f"{request_id}:security", _DENIED_OWNER, None)
        finally:
            control.set_global_pause(False)
        rows = self._stack.journal.rows("records")
        return Observed([dict(row) for row in rows if row["executionPath"] == "hosted-node"], failures)

    def full_flow(self, local_artifact: Path | None) -> FlowRun:
        """Return the flow; its own local artifact is kept with it, as the usual place may hold a real one."""
        request_id = f"smoke:full-flow:{self.now_ms()}"

        def work(folder: Path) -> tuple[FullFlowSummary, Sequence[FlowEvent]]:
            self._stack.artifact_dir = folder
            flow = run_full_flow(
                self._stack,
                self._arguments.artifact_dir,
                local_artifact,
                self._arguments.allow_missing_local_artifact,
                request_id=request_id,
                relative_paths=False,
            )
            return flow.summary, flow.events

        return FlowRun(request_id, work)

    def _rollout(self, usual_id: str, more: Mapping[str, Any]) -> Rollout:
        ordered = self._arguments.request_id
        request_id = usual_id if ordered is None else ordered
        reconciler = self._stack.reconciler(wait_s=self._arguments.wait_s)
        return Rollout(
            request_id,
            lambda: reconciler.reconcile(request_id, image_digest=self._arguments.image_digest),
            self._stack.tables,
            self._stack.ops.deployments,
            more,
        )
