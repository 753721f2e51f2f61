"""How a buyer that knows neither request ids nor tasks is followed through every plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Unpack

import httpx

from pytest_l402.boundary import printable, redact_text
from pytest_l402.contract import ExecutionPath, Plane, Speaker, TaskStatus, proof_join_key
from pytest_l402.contract.payment import PaymentError
from pytest_l402.evidence.purchases import Payment, is_delivery, payment_of, presented_hash, purchase_of
from pytest_l402.evidence.purchases import Purchase as Told
from pytest_l402.evidence.tables import Evidence, Row
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.observation import Known, observe
from pytest_l402.stack.buyer.error_codes import (
    BUYER_RAISED,
    CREDENTIAL_REFUSED,
    UnknownErrorCodeError,
    UnusableAnswerError,
    payment_code,
    status_of,
)
from pytest_l402.stack.buyer.executor import DEFAULT_USER
from pytest_l402.stack.buyer.purchase import CacheStatus, Purchase, PurchaseStatus
from pytest_l402.stack.buyer.task_register import TaskRegister
from pytest_l402.stack.control.task_board import Task
from pytest_l402.stack.gateway.edge import Edge
from pytest_l402.stack.roles import ControlPlane

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

    Anything with a `request_id` will do in its place. `error_code` says why it bought nothing: a rule of its
    own, such as `amount_over_cap`, or what broke, such as `payment_failed` (`stack.buyer.error_codes`).
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


@dataclass(eq=False, repr=False)
class AttributedExecutor:
    """Plays the executor with somebody else's client.

    Each purchase is one request id and one task: the operator's edge names requests that name neither. What
    was paid, and what was delivered for it, is read from the platform, the wallet and the seller's node; only
    why a client did not want to pay is taken from the client, and told by its task. What it paid is told as a
    buyer tells it, in records of `desktop`. `wraps` is the client: the one that plays the buyer.
    """

    harness: Harness
    wraps: Buyer
    edge: Edge
    gateway_url: httpx.URL
    control_plane: ControlPlane
    tasks: TaskRegister
    rows: Callable[[], Evidence]
    _told: set[tuple[str, str | None]] = field(default_factory=set, init=False)

    def buy(self, path_or_url: str) -> Purchase:
        """Let the client buy one resource, and return how that went, with what the client has raised in it.

        A request id that none of its requests had is not believed: what the edge has seen is.

        Raises:
            UnknownErrorCodeError: the client answers with a code that is not listed.
            UnusableAnswerError: the client answers with something that is no answer.
        """
        given = f"buyer-{self.harness.randomness.uuid('purchase request id')}"
        answer: Answered = Answer()
        raised: BaseException | None = None
        with self.edge.attributing(given, self.tasks) as attribution:
            try:
                answer = self.wraps.buy(path_or_url)
            except BaseException as error:
                if not _is_the_clients(error):
                    raise
                raised = error
        named, code = _said_by(self.wraps, answer)
        if attribution.request_ids and named not in attribution.request_ids:
            named = attribution.last_request_id
        request_id = named or given
        task_id = attribution.task_id
        url = str(self.gateway_url.join(path_or_url))
        if task_id is None and (code is not None or raised is not None):
            # Nothing was asked for: only the client knows of this purchase.
            task_id = self.tasks.create(request_id, url, self.gateway_url.host)
        rows = self.rows()
        told = purchase_of(rows, request_id)
        if raised is not None:
            code = _why(raised, told)
        task = None if task_id is None else self.tasks.task(task_id)
        if task is not None and task.is_blocked:
            status, code = PurchaseStatus.BLOCKED, task.last_error_code
        else:
            status = _ended(told, code)
        self._tell(told, request_id, task, status, code)
        if task is not None and not task.is_blocked:
            self._end_task(task.task_id, request_id, status, code)
        if code is not None and status_of(code) is None and raised is None and not (task and task.is_blocked):
            raise UnknownErrorCodeError(code, request_id)
        return self._purchase(rows, told, request_id, task_id, status, code, raised, url)

    def _purchase(
        self,
        rows: Evidence,
        told: Told,
        request_id: str,
        task_id: str | None,
        status: PurchaseStatus,
        code: str | None,
        raised: BaseException | None,
        url: str,
    ) -> Purchase:
        payment_hash = _payment_hash(told, status)
        payment = None if payment_hash is None else payment_of(rows, payment_hash)
        quoted = [row.get("quotedMsats") for _, row in told.challenges]
        proof = _proof(payment)
        return Purchase(
            request_id=request_id,
            task_id=task_id,
            status=status,
            url=url.partition("?")[0],
            http_status=told.asked[-1][1]["status"] if told.asked else None,
            paid=bool(told.paid),
            payment_hash=payment_hash,
            payment_hashes=tuple(each.payment_hash for each in told.paid),
            amount_msats=None if payment is None else payment.amount_msats,
            quoted_msats=quoted[-1] if quoted else None,
            proof_reference=proof,
            local_proof_reference=_local(proof),
            cache_status=CacheStatus.HIT if status is PurchaseStatus.CACHED else CacheStatus.MISS,
            error_code=code,
            error_reason=None if raised is None else _shown(raised),
            raised=raised,
        )

    def _end_task(self, task_id: str, request_id: str, status: PurchaseStatus, code: str | None) -> None:
        steps = _STEPS.get(status, _FAILED)
        for step in steps:
            reason = code if step is steps[-1] else None
            self.control_plane.transition(task_id, step, request_id, "desktop", reason, reason)

    def _tell(
        self, told: Told, request_id: str, task: Task | None, status: PurchaseStatus, code: str | None
    ) -> None:
        """Emit what the buyer's own side knows: each payment, and why nothing was bought."""

        def observed(plane: Plane, **known: Unpack[Known]) -> None:
            known |= {
                "request_id": request_id,
                "user_id": DEFAULT_USER,
                "task_id": None if task is None else task.task_id,
                "endpoint": None if task is None else task.endpoint,
                "cap_applied_msats": None if task is None else task.max_spend_msats,
            }
            observe(self.harness, plane, Speaker.DESKTOP, ExecutionPath.LOCAL_NODE, **known)

        quoted = [row.get("quotedMsats") for _, row in told.challenges if row.get("requestId") == request_id]
        for payment in told.paid:
            proof = _proof(payment)
            if payment.succeeded and (payment.payment_hash, proof) not in self._told:
                self._told.add((payment.payment_hash, proof))
                observed(
                    Plane.SETTLEMENT,
                    quoted_cost_msats=payment.amount_msats,
                    paid_amount_msats=payment.amount_msats,
                    payment_proof_ref=_local(proof),
                    cache_hit=not quoted,
                    deny_reason="payment_missing_preimage" if proof is None else None,
                )
        if code is not None and status is not PurchaseStatus.BLOCKED:
            plane = Plane.GATEWAY if code.startswith("gateway_") else Plane.SETTLEMENT
            observed(plane, deny_reason=code, quoted_cost_msats=quoted[-1] if quoted else None)


def _ended(told: Told, code: str | None) -> PurchaseStatus:
    if code is not None:
        return status_of(code) or PurchaseStatus.FAILED
    last: Row = told.asked[-1][1] if told.asked else {"credential": "absent", "status": 0}
    if last["credential"] == "refused":
        return PurchaseStatus.REFUSED
    delivered = 200 <= last["status"] < 300
    if last["credential"] == "absent":
        return PurchaseStatus.FREE if delivered and not told.paid else PurchaseStatus.FAILED
    if not delivered:
        return PurchaseStatus.FAILED
    mine = {payment.payment_hash for payment in told.payments}
    return PurchaseStatus.PAID if presented_hash(last) in mine else PurchaseStatus.CACHED


def _why(raised: BaseException, told: Told) -> str:
    """Return the code of a purchase whose buyer has raised: what it ran into, where that is known."""
    for error in _chain(raised):
        if isinstance(error, PaymentError):
            return payment_code(error)
    last: Row = told.asked[-1][1] if told.asked else {}
    status = last.get("status")
    failed = isinstance(status, int) and status >= 500
    if last.get("credential") == "refused" and not failed:
        return CREDENTIAL_REFUSED
    if status == 403 and not told.paid:
        return "access_denied"
    if isinstance(status, int) and status >= 400 and status != 402:
        return f"gateway_status_{status}"
    tries = [row["status"] for payment in told.payments for _, row in payment.tries]
    if tries and tries[-1] in ("failed", "pending"):
        return f"payment_{tries[-1]}"
    unreachable = any(isinstance(error, OSError | httpx.TransportError) for error in _chain(raised))
    return "gateway_unreachable" if unreachable else BUYER_RAISED


def _is_the_clients(error: BaseException) -> bool:
    """Whether it ends a client, and not the run: a program that exits, a task that is cancelled."""
    # By name: not every client is of asyncio, and it takes long to load.
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return isinstance(error, Exception | SystemExit) or "asyncio.exceptions.CancelledError" in names


def _said_by(client: object, answer: object) -> tuple[str | None, str | None]:
    """Return the request id and the code of an answer, each None where it says none."""
    request_id, code = getattr(answer, "request_id", ...), getattr(answer, "error_code", None)
    if not isinstance(request_id, str | None) or not isinstance(code, str | None):
        raise UnusableAnswerError(client, answer)
    return request_id, code


def _shown(raised: BaseException) -> str:
    try:
        text = f"{type(raised).__name__}: {raised}"
    except Exception:  # a client's own exception may not know its words
        text = type(raised).__name__
    return redact_text(printable(text))


def _chain(raised: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while raised is not None and id(raised) not in seen:
        seen.add(id(raised))
        yield raised
        raised = raised.__cause__ or raised.__context__


def _payment_hash(told: Told, status: PurchaseStatus) -> str | None:
    """Return the payment that the purchase was delivered for, else the last one that it made or presented."""
    delivered = [presented_hash(row) for _, row in told.asked if is_delivery(row)]
    accepted = [presented_hash(row) for _, row in told.presentations if row["credential"] == "accepted"]
    made = [payment.payment_hash for payment in told.paid]
    found = [each for each in (*made, *accepted, *delivered) if each is not None]
    return found[-1] if found else None


def _proof(payment: Payment | None) -> str | None:
    """Return the hosted form of a payment's proof, as the wallet has told it."""
    tries = () if payment is None else payment.tries
    return next((row["proofReference"] for _, row in tries if row.get("proofReference")), None)


def _local(proof: str | None) -> str | None:
    key = None if proof is None else proof_join_key(proof)
    return None if key is None else f"preimage:{key}"
