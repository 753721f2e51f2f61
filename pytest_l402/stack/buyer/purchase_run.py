"""How one purchase ends, and who is told: the task, the records, the artifact, the caller."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import NoReturn, Unpack

import httpx

from pytest_l402.boundary import printable, redact_text
from pytest_l402.contract import LocalFlowKind, Plane, TaskStatus, WalletState
from pytest_l402.contract.payment import PaymentError
from pytest_l402.harness.observation import Known
from pytest_l402.protocol.quote import Quote
from pytest_l402.stack.buyer.credential_cache import CachedCredential
from pytest_l402.stack.buyer.error_codes import CREDENTIAL_REFUSED, payment_code
from pytest_l402.stack.buyer.local_trace import LocalTrace
from pytest_l402.stack.buyer.policy import Denial
from pytest_l402.stack.buyer.purchase import CacheStatus, Purchase, PurchaseStatus
from pytest_l402.stack.buyer.wallet import PreimageNotReturned, WalletIsLocked
from pytest_l402.stack.control.task_board import InvalidTransition
from pytest_l402.stack.roles import ControlPlane

ACCESS_DENIED = "access_denied"


class PurchaseEnded(Exception):  # noqa: N818 - not an error: the purchase is over, however it went
    """The purchase is over; everything that had to be said was said."""


@dataclass(slots=True)
class PurchaseRun:
    """One purchase underway: what the executor's memory holds, and every way in which it can end.

    The ends raise `PurchaseEnded` once everything is said; nothing is said by a process that is gone.
    """

    url: str
    host: str
    trace: LocalTrace
    control_plane: ControlPlane
    status: PurchaseStatus = PurchaseStatus.INTERRUPTED
    cache_status: CacheStatus = CacheStatus.MISS
    http_status: int | None = None
    quote: Quote | None = None
    credential: CachedCredential | None = None
    paid: bool = False
    error_code: str | None = None
    error_reason: str | None = None
    body: bytes = b""

    def purchase(self) -> Purchase:
        """Return what the buyer knows by now."""
        known = self.credential
        quoted = self.quote.payment_hash if self.quote else None
        payment_hash = known.payment_hash if known else quoted
        return Purchase(
            request_id=self.trace.request_id,
            task_id=self.trace.task_id,
            status=self.status,
            url=self.trace.endpoint,
            http_status=self.http_status,
            paid=self.paid,
            payment_hash=payment_hash,
            amount_msats=known.amount_msats if known else None,
            quoted_msats=self.quote.amount_msats if self.quote else None,
            proof_reference=known.proof_reference if known else None,
            local_proof_reference=known.local_proof_reference if known else None,
            cache_status=self.cache_status,
            error_code=self.error_code,
            error_reason=self.error_reason,
            body=self.body,
            payment_hashes=(payment_hash,) if self.paid and payment_hash else (),
        )

    def finish_paid(self, credential: CachedCredential, delivery: httpx.Response) -> NoReturn:
        """Paid now, and delivered."""
        self.status, self.body = PurchaseStatus.PAID, delivery.content
        self.trace.kind = LocalFlowKind.SUCCESS
        self.move(TaskStatus.COMPLETED)
        self.observe_paid(Plane.UI, credential, cache_hit=False)
        raise PurchaseEnded

    def finish_cached(self, credential: CachedCredential, delivery: httpx.Response) -> NoReturn:
        """Delivered for a credential of an earlier payment."""
        self.status, self.body = PurchaseStatus.CACHED, delivery.content
        self.trace.kind = LocalFlowKind.CACHED
        self.trace.proof_reference = credential.local_proof_reference
        self.move(TaskStatus.CACHED, "payment_cache_hit")
        self.observe_paid(Plane.SETTLEMENT, credential, cache_hit=True)
        self.move(TaskStatus.COMPLETED)
        self.observe_paid(Plane.UI, credential, cache_hit=True)
        raise PurchaseEnded

    def finish_free(self, delivery: httpx.Response) -> NoReturn:
        """Delivered without a challenge."""
        self.status, self.body = PurchaseStatus.FREE, delivery.content
        self.trace.kind = LocalFlowKind.SUCCESS
        self.move(TaskStatus.COMPLETED)
        self.trace.observed(Plane.UI, paid_amount_msats=0)
        raise PurchaseEnded

    def deny(self, denial: Denial) -> NoReturn:
        """Denied by a policy, before any payment."""
        self.status, self.error_code, self.error_reason = PurchaseStatus.BLOCKED, denial.code, denial.reason
        self.trace.refused(LocalFlowKind.BLOCKED, denial.error_name, denial.reason)
        self.move(TaskStatus.BLOCKED, denial.code, denial.reason)
        self._observe_refusal(denial.reason)
        raise PurchaseEnded

    def payment_trouble(self, error: PaymentError) -> NoReturn:
        """The wallet handed no preimage over."""
        code = payment_code(error)
        self.paid = isinstance(error, PreimageNotReturned)
        self._fail(code, str(error))
        seen: Known = {"wallet_state": WalletState.LOCKED} if isinstance(error, WalletIsLocked) else {}
        self._observe_refusal(code, **seen)
        raise PurchaseEnded

    def refused(self) -> NoReturn:
        """The gateway refused a paid credential; nothing more is paid for it."""
        self._fail(CREDENTIAL_REFUSED, f"the gateway answered {self.http_status} to a paid credential")
        self.status = PurchaseStatus.REFUSED
        self._observe_refusal(CREDENTIAL_REFUSED)
        raise PurchaseEnded

    def gateway_trouble(self, response: httpx.Response) -> NoReturn:
        """An answer that is neither content nor a challenge."""
        if response.status_code == 403 and not self.paid:
            self.deny(Denial(ACCESS_DENIED, "AccessDeniedError", "The gateway denies access"))
        self.gateway_failed(
            f"gateway_status_{response.status_code}", f"the gateway answered {response.status_code}"
        )

    def gateway_failed(self, code: str, reason: str) -> NoReturn:
        """The gateway failed, as seen from the desktop."""
        self._fail(code, reason)
        paid = self.credential if self.paid else None
        self.trace.observed(
            Plane.GATEWAY,
            quoted_cost_msats=self.quote.amount_msats if self.quote else None,
            paid_amount_msats=paid.amount_msats if paid else None,
            payment_proof_ref=paid.local_proof_reference if paid else None,
            cache_hit=None,
            deny_reason=code,
        )
        raise PurchaseEnded

    def _fail(self, code: str, reason: str) -> None:
        # The reason may be a foreign wallet's or client's text.
        reason = redact_text(printable(reason))
        self.status, self.error_code, self.error_reason = PurchaseStatus.FAILED, code, reason
        self.trace.refused(LocalFlowKind.FAILED, code, reason)
        self.move(TaskStatus.FAILED, code, reason)

    def move(self, to: TaskStatus, reason_code: str | None = None, reason: str | None = None) -> None:
        """Tell the control plane how far the task is; one that was given up meanwhile keeps its end."""
        with contextlib.suppress(InvalidTransition):
            self.demand(to, reason_code, reason)
            self.trace.moved(to)

    def demand(self, to: TaskStatus, reason_code: str | None = None, reason: str | None = None) -> None:
        """Tell the control plane how far the task is; `InvalidTransition` when it was given up meanwhile."""
        self.control_plane.transition(
            self.trace.task_id,
            to,
            self.trace.request_id,
            "desktop",
            reason_code,
            reason,
            desktop_session_id=self.trace.desktop_session_id,
        )

    def observe_paid(self, plane: Plane, credential: CachedCredential, *, cache_hit: bool) -> None:
        """Emit what was paid, now or by the earlier payment of a cached credential."""
        self.trace.observed(
            plane,
            quoted_cost_msats=self.quote.amount_msats if self.quote else credential.amount_msats,
            paid_amount_msats=credential.amount_msats,
            payment_proof_ref=credential.local_proof_reference,
            cache_hit=cache_hit,
        )

    def _observe_refusal(self, reason: str, **more: Unpack[Known]) -> None:
        more["quoted_cost_msats"] = self.quote.amount_msats if self.quote else None
        more["deny_reason"] = reason
        for plane in (Plane.SETTLEMENT, Plane.UI):
            self.trace.observed(plane, **more)
