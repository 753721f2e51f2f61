"""How a buyer that knows neither request ids nor tasks is followed through every plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from pytest_l402.contract import TaskStatus
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import Request
from pytest_l402.stack.buyer.executor import DEFAULT_USER
from pytest_l402.stack.buyer.policy import DEFAULT_CAP_MSATS
from pytest_l402.stack.buyer.purchase import PurchaseStatus
from pytest_l402.stack.control.task_board import Task
from pytest_l402.stack.gateway.edge import Edge
from pytest_l402.stack.roles import ControlPlane, SettlementStore

_STEPS = {
    PurchaseStatus.PAID: (TaskStatus.RUNNING, TaskStatus.PAID, TaskStatus.COMPLETED),
    PurchaseStatus.CACHED: (TaskStatus.RUNNING, TaskStatus.CACHED, TaskStatus.COMPLETED),
    PurchaseStatus.FREE: (TaskStatus.RUNNING, TaskStatus.COMPLETED),
    PurchaseStatus.BLOCKED: (TaskStatus.RUNNING, TaskStatus.BLOCKED),
}
_FAILED = (TaskStatus.RUNNING, TaskStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client can say of a purchase: `x-oa-request-id` of the last answer, None if it does not know it.

    Anything with a `request_id` will do in its place. `error_code` says which rule of its own kept it from
    paying, such as `amount_over_cap`.
    """

    request_id: str | None = None
    error_code: str | None = None


class Answered(Protocol):
    """What is asked of whatever a client returns; a further `error_code` is read as that of `Answer`."""

    @property
    def request_id(self) -> str | None:
        """The `x-oa-request-id` of the last answer, if it is known."""


class Buyer(Protocol):
    """A client to be rehearsed: it pays through the stack's wallet, and says what came of it."""

    def buy(self, path_or_url: str) -> Answered:
        """Get one resource of the gateway, and pay for it if that is asked."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """A purchase as the platform saw it; amounts in msats, None where nothing is known, no secret in it."""

    request_id: str
    task_id: str | None
    status: PurchaseStatus
    payment_hash: str | None = None
    amount_msats: int | None = None
    proof_reference: str | None = None
    error_code: str | None = None


@dataclass(eq=False, repr=False)
class AttributedExecutor:
    """Plays the executor with somebody else's client.

    Each purchase is one request id and one task: the operator's edge names requests that name neither. What
    was paid, and what was delivered for it, is read from the platform; only why a client did not want to pay
    is taken from the client, and told by its task. `wraps` is the client: the one that plays the buyer.
    """

    harness: Harness
    wraps: Buyer
    edge: Edge
    gateway_url: httpx.URL
    control_plane: ControlPlane
    settlement_store: SettlementStore
    _tasks: dict[str, Task] = field(default_factory=dict, init=False)

    def buy(self, path_or_url: str) -> Attributed:
        """Let the client buy one resource, and return how that went; what the client raises is passed on."""
        request_id = f"buyer-{self.harness.randomness.uuid('purchase request id')}"
        with self.edge.attributing(request_id, self._register) as attribution:
            answer = self.wraps.buy(path_or_url)
        code: str | None = getattr(answer, "error_code", None)
        request_id = answer.request_id or request_id
        task_id = attribution.task_id
        if task_id is None and code is not None:
            # Denied before anything was asked for: only the client knows of this purchase.
            task_id = self._create_task(request_id, str(self.gateway_url.join(path_or_url)))
        task = None if task_id is None else self._tasks[task_id]
        if task is not None and task.is_blocked:
            code = task.last_error_code
        status, settlement = self._ended(request_id, code)
        if task is not None and not task.is_blocked:
            self._end_task(task.task_id, request_id, status, code)
        return Attributed(
            request_id=request_id,
            task_id=task_id,
            status=status,
            payment_hash=settlement.get("paymentHash"),
            amount_msats=settlement.get("amountMsats"),
            proof_reference=settlement.get("paymentProofRef"),
            error_code=code,
        )

    def _ended(self, request_id: str, code: str | None) -> tuple[PurchaseStatus, Mapping[str, Any]]:
        if code is not None:
            return PurchaseStatus.BLOCKED, {}
        asked = [row for row in self.harness.journal.rows("exchanges") if row["requestId"] == request_id]
        last: Mapping[str, Any] = asked[-1] if asked else {"credential": "absent", "status": 0}
        if last["credential"] == "refused":
            return PurchaseStatus.REFUSED, {}
        delivered = 200 <= last["status"] < 300
        if last["credential"] == "absent":
            return PurchaseStatus.FREE if delivered else PurchaseStatus.FAILED, {}
        challenged = any(row["challenge"] == "issued" for row in asked)
        stored = self.settlement_store.rows("settlements")
        known = {"paymentHash": last["paymentHash"]}
        settlement = next((row for row in stored if row["paymentHash"] == last["paymentHash"]), known)
        if not delivered:
            return PurchaseStatus.FAILED, settlement
        return PurchaseStatus.PAID if challenged else PurchaseStatus.CACHED, settlement

    def _register(self, request_id: str, request: Request) -> str:
        return self._create_task(request_id, f"{request.scheme}://{request.host}{request.path}")

    def _create_task(self, request_id: str, endpoint: str) -> str:
        host = self.gateway_url.host
        task = self.control_plane.create_task(request_id, DEFAULT_USER, endpoint, DEFAULT_CAP_MSATS, host)
        self._tasks[task.task_id] = task
        return task.task_id

    def _end_task(self, task_id: str, request_id: str, status: PurchaseStatus, code: str | None) -> None:
        for step in _STEPS.get(status, _FAILED):
            reason = code if step is TaskStatus.BLOCKED else None
            self.control_plane.transition(task_id, step, request_id, "desktop", reason, reason)
