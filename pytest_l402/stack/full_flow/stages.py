"""What each stage of the hosted full flow does, and which of the eight checks it bears out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_l402.contract import DeploymentStatus, GatewayReconcile, Plane, Speaker, TaskStatus
from pytest_l402.harness.network import REQUEST_ID_HEADER, TASK_ID_HEADER
from pytest_l402.harness.observation import observe
from pytest_l402.ops.full_flow import findings
from pytest_l402.ops.full_flow.findings import Sections, Stage
from pytest_l402.ops.full_flow.verification import compare_paths
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes
from pytest_l402.ops.reconcile.records import HEALTH_ENDPOINT, PROBE_FAILED, RECONCILE_ENDPOINT
from pytest_l402.stack.buyer.executor import DEFAULT_USER
from pytest_l402.stack.buyer.executor import Executor as BuiltInExecutor
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.roles import BuyResult, ControlPlane, KeepsLocalArtifact, PlaysExecutor
from pytest_l402.stack.steady_state import REQUEST_ID_PREFIX

if TYPE_CHECKING:
    from pytest_l402.harness.journal import Row
    from pytest_l402.stack.stack import Stack

PAUSE_REASON = "global pause policy is active"


@dataclass(slots=True)
class FlowStages:
    """The six stages of one flow against one stack; each returns its `Stage` and fills its sections.

    Sells through the first paywall of the stack. A stage that cannot go on raises; what it had found by then
    stays in its sections.
    """

    stack: Stack
    request_id: str
    local_artifact_path: Path | None = None
    allow_missing_local_artifact: bool = False
    relative_paths: bool = True
    sections: Sections = field(default_factory=Sections)
    payment_hash: str | None = None
    _first_record: int = field(init=False)

    def __post_init__(self) -> None:
        self._first_record = len(self.stack.journal.rows("records"))

    def create_paywall(self, stage: Stage) -> None:
        """paywall.create: the control plane knows the paywall, with these values and no others."""
        paywall = self.stack.paywalls[0]
        ids = {"paywallId": paywall.paywall_id, "ownerId": paywall.owner_id, "routeId": paywall.route_id}
        stage.details.update(ids)
        self._control_plane.create_paywall(paywall)
        findings.note_paywall(self.sections, stage, paywall.paywall_id, paywall.owner_id, paywall.route_id)

    def reconcile_gateway(self, stage: Stage) -> None:
        """gateway.reconcile: the gateway sells what the control plane says, and delivers it when paid."""
        gateway: object = self.stack.gateway
        if isinstance(gateway, Gateway) and self.stack.sold.file is None:
            findings.note_reconcile(self.sections, stage, self.stack.reconciler().reconcile(stage.request_id))
        else:
            findings.note_gateway(self.sections, stage, self._as_found(stage))

    def _as_found(self, stage: Stage) -> GatewayReconcile:
        """Probe a gateway that somebody else configures: nothing is deployed, so there is no deployment."""
        paywall = self.stack.paywalls[0]
        report = GatewayProbes(self.stack.client, paywall.path, paywall.price_msats, stage.request_id).run(
            self.stack.wallet
        )
        oks = {"health": report.health_ok, "challenge": report.challenge_ok, "proxy": report.proxy_ok}
        code = next((f"{name}_check_failed" for name, ok in oks.items() if not ok), None)
        probed = None if report.ok else PROBE_FAILED
        tell = partial(
            observe, self.stack.harness, request_id=stage.request_id, paywall_id=paywall.paywall_id
        )
        tell(Plane.CONTROL, Speaker.SYSTEM, endpoint=RECONCILE_ENDPOINT, deny_reason=code)
        tell(Plane.GATEWAY, Speaker.GATEWAY, endpoint=HEALTH_ENDPOINT, deny_reason=probed)
        stage.expect("gateway_reconcile", report.ok, ", ".join(report.reasons))
        return GatewayReconcile(
            request_id=stage.request_id,
            deployment_id=None,
            config_hash=None,
            deployment_status=DeploymentStatus.APPLIED if report.ok else DeploymentStatus.FAILED,
            challenge_ok=report.challenge_ok,
            proxy_ok=report.proxy_ok,
            health_ok=report.health_ok,
        )

    def pay_request(self, stage: Stage) -> None:
        """request.paid: the executor buys once, and the settlement store knows it by its request id."""
        stack, paywall = self.stack, self.stack.paywalls[0]
        known = {row["settlementId"] for row in stack.settlement_store.rows("settlements")}
        with stack.edge.attributing(f"{self.request_id}:paid", stack.task_register()) as attribution:
            bought = self._buy(paywall.path)
        stage.request_id = bought.request_id
        new = [r for r in stack.settlement_store.rows("settlements") if r["settlementId"] not in known]
        mine = [row for row in new if row["requestId"] == bought.request_id]
        row: Mapping[str, Any] = mine[0] if mine else {}
        if attribution.task_id is not None:
            ends = (TaskStatus.PAID, TaskStatus.COMPLETED) if mine else (TaskStatus.FAILED,)
            self._move(attribution.task_id, bought.request_id, TaskStatus.RUNNING, *ends)
        status, http_status = getattr(bought, "status", "paid"), getattr(bought, "http_status", 200)
        check = "paid_request_success"
        stage.expect(check, status == "paid", f"expected a purchase that was paid, saw {status}")
        stage.expect(check, http_status == 200, f"expected the answer 200, saw {http_status}")
        stage.expect(
            check,
            len(new) == 1 and len(mine) == 1,
            f"expected one settlement, of request {bought.request_id}, saw {len(new)} and {len(mine)} of it",
        )
        amount = row.get("amountMsats")
        stage.expect(
            check, amount == paywall.price_msats, f"expected {paywall.price_msats} msats, saw {amount}"
        )
        section = findings.note_paid(self.sections, stage, row, getattr(bought, "task_id", None))
        self.payment_hash = row.get("paymentHash") or getattr(bought, "payment_hash", None)
        settlements = stack.settlement_store.rows("settlements")
        findings.note_correlation(self.sections, stage, self._records(), settlements, section)

    def deny_request(self, stage: Stage) -> None:
        """request.denied: under the global pause nothing is sold, and nothing reaches wallet or store."""
        stack, paywall = self.stack, self.stack.paywalls[0]
        endpoint = str(stack.client.base_url.join(paywall.path))
        before = self._money()
        with _global_pause(self._control_plane):
            task = self._control_plane.create_task(
                stage.request_id, DEFAULT_USER, endpoint, stack.sold.cap_msats, stack.client.base_url.host
            )
            answer = stack.client.get(
                paywall.path, headers={REQUEST_ID_HEADER: stage.request_id, TASK_ID_HEADER: task.task_id}
            )
        denied = task.is_blocked and task.last_error_code is not None
        code, reason = task.last_error_code, task.last_error_reason
        findings.note_denied(self.sections, stage, denied=denied, code=code, reason=reason)
        check = "policy_deny"
        stage.expect(check, denied, f"expected a blocked task, saw {task.status.value}")
        challenged = "www-authenticate" in answer.headers
        stage.expect(
            check,
            answer.status_code == 403 and not challenged,
            f"expected 403 without a challenge of the gateway, saw {answer.status_code}",
        )
        stage.expect(check, self._money() == before, "expected no invoice, payment or settlement, saw some")
        if task.is_pending:
            self._move(task.task_id, stage.request_id, TaskStatus.FAILED)

    def verify_observability(self, stage: Stage) -> None:
        """observability.verify: every record of the flow is complete, and every plane has spoken."""
        findings.note_observability(self.sections, stage, self._records())

    def verify_parity(self, stage: Stage) -> None:
        """parity.verify: both paths hold the parity keys, and those of this run agree by value."""
        own = self.local_artifact_path is None
        path = self.local_artifact_path or self.stack.local_artifact_path()
        assert path is not None
        executor = self.stack.executor
        if own and isinstance(executor, KeepsLocalArtifact):
            executor.write_local_artifact(path)
        compared = compare_paths(self.stack.journal.rows("records"), path, self._shown(path))
        # A historical artifact tells of other payments: only that of this run can agree by value.
        may_be_missing = self.allow_missing_local_artifact
        findings.note_parity(self.sections, stage, compared, by_value=own, may_be_missing=may_be_missing)

    @property
    def _control_plane(self) -> ControlPlane:
        return self.stack.control_plane

    def _buy(self, path: str) -> BuyResult:
        executor: PlaysExecutor | BuiltInExecutor = self.stack.executor
        if isinstance(executor, BuiltInExecutor):
            # It may hold a credential of an earlier purchase, and here it is to pay.
            return executor.buy(path, new_credential=True)
        return executor.buy(path)

    def _records(self) -> list[Row]:
        rows = self.stack.journal.rows("records")[self._first_record :]
        return [row for row in rows if not str(row["requestId"] or "").startswith(REQUEST_ID_PREFIX)]

    def _move(self, task_id: str, request_id: str, *steps: TaskStatus) -> None:
        for to in steps:
            self._control_plane.transition(task_id, to, request_id, "gateway")

    def _money(self) -> tuple[int, ...]:
        """Return how many rows there are of everything that a denied request must not touch."""
        stored = map(self.stack.settlement_store.rows, ("invoices", "settlements"))
        return tuple(map(len, (self.stack.journal.rows("payments"), *stored)))

    def _shown(self, path: Path) -> str:
        folder = self.stack.artifact_dir
        if self.relative_paths and folder is not None and path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
        return path.as_posix()


@contextmanager
def _global_pause(control_plane: ControlPlane) -> Iterator[None]:
    """Pause inside the block, and leave the pause as it was found, whatever happens in between."""
    before = control_plane.global_pause()
    try:
        control_plane.set_global_pause(True, PAUSE_REASON)
        yield
    finally:
        if not before:
            control_plane.set_global_pause(False)
