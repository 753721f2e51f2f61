"""How the buyer buys: policy, cached credential, challenge, payment, delivery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import httpx

from pytest_l402.boundary.whole_files import write_document
from pytest_l402.contract import (
    LocalNodeArtifact,
    Plane,
    TaskStatus,
    hosted_proof_reference,
    local_proof_reference,
)
from pytest_l402.contract.payment import PaidInvoice, PaymentError, Wallet
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER, TASK_ID_HEADER
from pytest_l402.protocol import Preimage
from pytest_l402.protocol.payable import payable_quote
from pytest_l402.protocol.quote import Quote, UnpayableQuote
from pytest_l402.stack.buyer.credential_cache import CachedCredential, CredentialCache, OpenPayment
from pytest_l402.stack.buyer.local_trace import LocalTrace
from pytest_l402.stack.buyer.policy import BuyerPolicy, Denial
from pytest_l402.stack.buyer.purchase import CacheStatus, Purchase, PurchaseStatus
from pytest_l402.stack.buyer.purchase_run import PurchaseEnded, PurchaseRun
from pytest_l402.stack.buyer.wallet import (
    PaymentAlreadyMade,
    PaymentFailed,
    PaymentOutcomeUnknown,
    PaymentPendingError,
    PreimageNotReturned,
)
from pytest_l402.stack.control.task_board import InvalidTransition
from pytest_l402.stack.faults import ExecutorStops, HeartbeatStopped, StopPoint
from pytest_l402.stack.roles import ControlPlane

DEFAULT_USER = "user_rehearsal"
_MAY_YET_SUCCEED = (PaymentPendingError, PaymentOutcomeUnknown, PreimageNotReturned, PaymentAlreadyMade)


class _ProcessGone(Exception):  # noqa: N818 - what an injected fault does, not an error of ours
    """The executor's process is gone at this point: nothing more may be said."""


@contextmanager
def _told_by_the_wallet(quote: Quote) -> Iterator[None]:
    """Whatever else a wallet raises leaves open whether money moved: the buyer has to ask, and not to pay."""
    try:
        yield
    except PaymentError:
        raise
    except Exception as error:
        said = f"the wallet raised {type(error).__name__}: {error}"
        raise PaymentOutcomeUnknown(said, quote.payment_hash) from error


def _as_payment(answer: PaidInvoice) -> PaidInvoice:
    preimage, amount_msats = getattr(answer, "preimage", None), getattr(answer, "amount_msats", None)
    if not isinstance(preimage, Preimage) or not isinstance(amount_msats, int):
        raise TypeError(f"it answered with no payment, but with {type(answer).__name__}")
    return answer


class Executor:
    """The buyer of the local-node path: a desktop session with a wallet, a policy and a credential cache.

    `client` decides which gateway it buys from: its base URL. One request id per purchase goes out on every
    call (`x-oa-request-id`). It starts stopped; a stopped executor takes no task and sends no heartbeat.
    Faults: `ExecutorStops`, `HeartbeatStopped`, `NodeDegraded`, `WalletLocked`.
    """

    def __init__(
        self,
        harness: Harness,
        *,
        client: httpx.Client,
        wallet: Wallet,
        control_plane: ControlPlane,
        policy: BuyerPolicy | None = None,
        user_id: str = DEFAULT_USER,
    ) -> None:
        self._client = client
        self._wallet = wallet
        self._control_plane = control_plane
        self._harness = harness
        self._cache = CredentialCache()
        self._open: dict[str, OpenPayment] = {}
        self._traces: list[LocalTrace] = []
        self.desktop_session_id: str | None = None
        self.policy = policy if policy is not None else BuyerPolicy()
        self.user_id = user_id

    @property
    def is_running(self) -> bool:
        """Whether the executor takes tasks."""
        return self.desktop_session_id is not None

    def start(self) -> None:
        """Start a new desktop session, with an empty credential cache; of no effect while one runs."""
        if self.desktop_session_id is None:
            self.desktop_session_id = f"desktop-{self._harness.randomness.uuid('desktop session')}"
            self.heartbeat("idle")

    def stop(self) -> None:
        """Stop as a desktop application does that is closed: no goodbye, and its memory is gone."""
        self.desktop_session_id = None
        self._cache.clear()
        self._open.clear()

    def heartbeat(self, status: str = "idle") -> None:
        """Tell the control plane that the session is alive; a stopped executor says nothing."""
        if self.desktop_session_id is not None and self._harness.faults.active(HeartbeatStopped) is None:
            self._control_plane.heartbeat(self.desktop_session_id, status, self.user_id)

    def buy(
        self, path_or_url: str, *, max_spend_msats: int | None = None, new_credential: bool = False
    ) -> Purchase:
        """Buy one resource and say how it went; only misuse raises.

        At most one payment is made. A payment of an earlier purchase that may yet succeed is asked for first:
        while nobody knows how it ends, nothing is paid. A cached credential is presented first (not with
        `new_credential`): if the gateway answers it with a fresh challenge, that is paid; if it answers 401,
        nothing is. After a payment of its own no second one follows, whatever the gateway answers; nor later,
        while the credential that it bought has never been good.

        Raises:
            ValueError: a negative `max_spend_msats`, or a URL without a host.
        """
        url = self._client.build_request("GET", path_or_url).url
        if not url.host:
            raise ValueError(f"expected a URL, or a path and a client with a base URL; saw {path_or_url!r}")
        host = url.netloc.decode("ascii").rpartition("@")[2]
        # Query and user part may hold tokens; evidence names the resource without them, and as it is sent:
        # decoded, a path may hold line breaks and question marks.
        path = url.raw_path.decode("ascii").partition("?")[0]
        endpoint = f"{url.scheme}://{host}{path}"
        cap_msats = self.policy.cap_msats(max_spend_msats)
        request_id = f"desktop-{self._harness.randomness.uuid('purchase request id')}"
        task = self._control_plane.create_task(request_id, self.user_id, endpoint, cap_msats, host)
        if task.is_blocked:
            return Purchase(
                request_id,
                task.task_id,
                PurchaseStatus.BLOCKED,
                endpoint,
                error_code=task.last_error_code,
                error_reason=task.last_error_reason,
            )
        if self.desktop_session_id is None:
            return Purchase(request_id, task.task_id, PurchaseStatus.INTERRUPTED, endpoint)
        trace = LocalTrace(
            self._harness,
            request_id=request_id,
            task_id=task.task_id,
            user_id=self.user_id,
            desktop_session_id=self.desktop_session_id,
            endpoint=endpoint,
            cap_msats=cap_msats,
            path=path,
        )
        run = PurchaseRun(str(url), host, trace, self._control_plane)
        try:
            self._carry_out(run, new_credential)
        except PurchaseEnded:
            self.heartbeat("completed_task" if run.error_code is None else "failed_task")
        except _ProcessGone:
            self.stop()
        return run.purchase()

    def local_artifact(self) -> LocalNodeArtifact:
        """Return the artifact of the local-node path as it stands; it holds no secret."""
        return LocalNodeArtifact(
            generated_at_ms=self._harness.clock.now_ms(), flows=tuple(trace.flow() for trace in self._traces)
        )

    def write_local_artifact(self, path: Path) -> Path:
        """Write the artifact as it stands to `path`, whole or not at all, and return the path."""
        return write_document(path, self.local_artifact().to_row())

    # One purchase, step by step

    def _carry_out(self, run: PurchaseRun, new_credential: bool) -> NoReturn:
        run.move(TaskStatus.RUNNING)
        self._traces.append(run.trace)
        self.heartbeat("running_task")
        denial = self.policy.host_denial(run.host)
        if denial is not None:
            run.deny(denial)
        cached = self._recovered(run) or self._look_up(run, new_credential)
        response = self._ask(run, None if cached is None else cached.authorization)
        if cached is not None:
            run.credential = cached
            if response.is_success:
                self._cache.store(run.trace.endpoint, replace(cached, refused_fresh=False))
                run.finish_cached(cached, response)
            if response.status_code in (401, 402):
                run.cache_status = CacheStatus.INVALID
                if cached.refused_fresh:
                    run.quote = self._quoted(run, response) if response.status_code == 402 else run.quote
                    run.refused()
                self._cache.evict(run.trace.endpoint)
                run.credential = None
                if response.status_code == 401:
                    run.refused()
        elif response.is_success:
            run.finish_free(response)
        if response.status_code != 402:
            run.gateway_trouble(response)
        self._pay(run, response)

    def _recovered(self, run: PurchaseRun) -> CachedCredential | None:
        """Return what an earlier payment has bought in the end; None if there is none, or if it failed."""
        endpoint = run.trace.endpoint
        earlier = self._open.get(endpoint)
        if earlier is None:
            return None
        run.quote = earlier.quote
        ask = getattr(self._wallet, "payment", None)
        try:
            if ask is None:
                raise earlier.said
            with _told_by_the_wallet(earlier.quote):
                payment = _as_payment(ask(earlier.quote.payment_hash))
        except PaymentFailed:
            del self._open[endpoint]
            run.quote = None
            return None
        except PaymentError as error:
            run.payment_trouble(error)
        del self._open[endpoint]
        run.cache_status = CacheStatus.HIT
        return self._bought(run, earlier.quote, payment)

    def _bought(self, run: PurchaseRun, quote: Quote, payment: PaidInvoice) -> CachedCredential:
        preimage_hex = payment.preimage.hex()
        credential = CachedCredential(
            authorization=quote.authorization(payment.preimage),
            payment_hash=quote.payment_hash,
            amount_msats=payment.amount_msats,
            proof_reference=hosted_proof_reference(preimage_hex),
            local_proof_reference=local_proof_reference(preimage_hex),
            expires_at_s=quote.expires_at_s,
        )
        # Before it is presented: if the delivery fails, the next try must not pay again.
        self._cache.store(run.trace.endpoint, credential)
        return credential

    def _look_up(self, run: PurchaseRun, new_credential: bool) -> CachedCredential | None:
        if new_credential:
            self._cache.evict(run.trace.endpoint)
            return None
        run.cache_status, cached = self._cache.lookup(run.trace.endpoint, self._harness.clock.now_s())
        return cached

    def _ask(self, run: PurchaseRun, authorization: str | None) -> httpx.Response:
        named = {REQUEST_ID_HEADER: run.trace.request_id, TASK_ID_HEADER: run.trace.task_id}
        request = self._client.build_request("GET", run.url, headers=named)
        if authorization is not None:
            request.headers["Authorization"] = authorization
        # A login of the client's or of the URL's would take the credential's place.
        login = httpx.USE_CLIENT_DEFAULT if authorization is None else httpx.Auth()
        run.http_status = None
        try:
            response = self._client.send(request, auth=login, follow_redirects=False)
        except httpx.RequestError as error:
            run.gateway_failed("gateway_unreachable", f"{type(error).__name__} from {run.host}")
        run.http_status = response.status_code
        run.trace.called(authorization, response.status_code)
        return response

    def _quoted(self, run: PurchaseRun, response: httpx.Response) -> Quote:
        lines = response.headers.get_list("www-authenticate")
        try:
            return payable_quote(lines, now_s=self._harness.clock.now_s())
        except UnpayableQuote as error:
            run.gateway_failed(f"gateway_{error.code}", str(error))

    def _pay(self, run: PurchaseRun, response: httpx.Response) -> NoReturn:
        run.quote = quote = self._quoted(run, response)
        denial = self.policy.amount_denial(quote.amount_msats, run.trace.cap_msats)
        if denial is not None:
            run.deny(denial)
        self._stop_point(run, "before_payment")
        try:
            # To running once more: of no effect, unless the task was given up, and then nothing is paid.
            run.demand(TaskStatus.RUNNING)
        except InvalidTransition as error:
            run.deny(Denial("task_given_up", "TaskGivenUpError", str(error)))
        try:
            with _told_by_the_wallet(quote):
                payment = _as_payment(
                    self._wallet.pay_invoice(quote.invoice, max_msats=run.trace.cap_msats, host=run.host)
                )
        except PaymentError as error:
            if isinstance(error, _MAY_YET_SUCCEED):
                self._open[run.trace.endpoint] = OpenPayment(quote, error)
            self._stop_point(run, "during_payment")
            run.payment_trouble(error)
        self._stop_point(run, "during_payment")
        run.paid = True
        run.credential = credential = self._bought(run, quote, payment)
        run.trace.proof_reference = credential.local_proof_reference
        run.trace.payment_id = credential.payment_hash
        run.move(TaskStatus.PAID)
        run.observe_paid(Plane.SETTLEMENT, credential, cache_hit=False)
        self._stop_point(run, "after_payment")
        delivery = self._ask(run, credential.authorization)
        if delivery.is_success:
            run.finish_paid(credential, delivery)
        if delivery.status_code in (401, 402):
            self._cache.keep_refused(run.trace.endpoint, credential)
            run.refused()
        run.gateway_trouble(delivery)

    def _stop_point(self, run: PurchaseRun, at: StopPoint) -> None:
        if self._harness.faults.active(
            ExecutorStops, run.trace.request_id, when=lambda stops: stops.at == at
        ):
            raise _ProcessGone
