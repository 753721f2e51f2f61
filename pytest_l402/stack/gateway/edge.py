"""What the operator's edge adds to a request, and what it notes of each request and its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import (
    REQUEST_ID_HEADER,
    TASK_ID_HEADER,
    App,
    Request,
    Response,
    is_usable_id,
)
from pytest_l402.stack.gateway.evidence import Told
from pytest_l402.stack.gateway.mint import Refusal, Standing
from pytest_l402.stack.gateway.seller_api import SellerApi
from pytest_l402.stack.gateway.wire import (
    Carried,
    Offered,
    cache_control,
    carried_by,
    content,
    offered_by,
    query_digest,
    shown,
    token_form,
)

_LONGEST: Final = 1 << 20
"""How much of an answer is searched for preimages, in bytes."""


class RegistersTasks(Protocol):
    """Whoever gives a task to a request that names none."""

    def register(self, request_id: str, request: Request) -> str:
        """Create a task for the request, and return its id."""


@dataclass(slots=True)
class Attribution:
    """The request and task that unnamed requests belong to.

    `task_id` and `last_request_id`, the client's own where it names one, are None until one has come;
    `request_ids` are all that have.
    """

    request_id: str
    tasks: RegistersTasks
    task_id: str | None = None
    last_request_id: str | None = None
    request_ids: set[str] = field(default_factory=set)


class Edge:
    """Stands before the gateway, passes everything through, and writes down what crosses the wire.

    Each request leaves a row in `exchanges`: what was asked, what was answered, which calls of the seller's
    API came in between. Of the gateway's own word it takes only what it makes of a credential, where it says
    that. Each answer leaves a row in `answers`: the request id in its header (null without one) and its
    status, as whoever asked got them. That is where the correlation workflow starts. An answer that shows a
    preimage of the seller's node leaves one in `shown_preimages`, whoever gets it.

    Inside `attributing()` a request without a request id gets the given one, and one without a task id that
    of a task registered for it, so that a client which knows neither can be followed through every plane.
    """

    def __init__(
        self,
        harness: Harness,
        gateway: App,
        seller_api: SellerApi | None = None,
        preimages_in: Callable[[str], Iterable[str]] = lambda text: (),
    ) -> None:
        self._harness = harness
        self._preimages_in = preimages_in
        self._gateway = gateway
        self._seller_api = seller_api
        self._attribution: Attribution | None = None
        self.handling: str | None = None
        self.requests = 0

    def handle(self, request: Request) -> Response:
        """Answer with what the gateway answers; what it raises is a status 500 in `exchanges`, and raised."""
        self.requests += 1
        if self._attribution is not None:
            request = self._named(request, self._attribution)
        named = request.header(REQUEST_ID_HEADER)
        request_id = named if is_usable_id(named) else None
        calls: list[int] = []
        try:
            with self._handling(request_id) as calls:
                response = self._gateway.handle(request)
        except Exception:
            # Whoever asked may swallow it, or be blamed for it; a server would answer with this.
            self._note(request, Response(500), request_id, calls)
            raise
        echoed = response.header(REQUEST_ID_HEADER)
        self._note(request, response, request_id or echoed, calls)
        if response.is_lost:
            # It is no answer of anybody who asked.
            return response
        row = {"requestId": echoed, "status": response.status}
        self._harness.journal.append("answers", {**row, "atMs": self._harness.clock.now_ms()})
        return response

    @contextmanager
    def _handling(self, request_id: str | None) -> Iterator[list[int]]:
        """Let the seller's book and the node's know for which request they are asked inside the block.

        Yields the numbers of the seller's calls that came in it, once it is over.
        """
        before, self.handling = self.handling, request_id
        book = None if self._seller_api is None else self._seller_api.book
        asked, calls = 0 if book is None else len(book), list[int]()
        try:
            yield calls
        finally:
            self.handling = before
            if book is not None:
                calls += range(asked + 1, len(book) + 1)

    def _note(self, request: Request, response: Response, request_id: str | None, calls: list[int]) -> None:
        offered, carried = offered_by(response), carried_by(request)
        told = response.told if isinstance(response.told, Told) else self._seen(response, carried, calls)
        standing = (
            Standing.ABSENT if carried is None and told.standing == Standing.ACCEPTED else told.standing
        )
        book = () if self._seller_api is None else self._seller_api.book
        presented = carried if standing != Standing.ABSENT else None
        task_id = request.header(TASK_ID_HEADER)
        self._harness.note(
            "exchanges",
            {
                "requestId": request_id,
                "method": shown(request.method),
                "host": shown(request.host),
                "path": shown(request.path),
                "taskId": task_id if is_usable_id(task_id) else None,
                "status": response.status,
                "challenge": None if offered is None else "issued",
                "quotedMsats": None if offered is None else offered.amount_msats,
                "paymentHash": _payment_hash(offered, carried),
                "credential": str(standing),
                "refusal": told.refusal,
                "credentialDigest": None if presented is None else presented.digest,
                "presentedPaymentHash": None if presented is None else presented.payment_hash,
                "upstreamStatus": book[calls[-1] - 1]["status"] if calls else None,
                "querySha256": query_digest(request),
                **content("body", request.body),
                **content("answer", response.body),
                "cacheControl": cache_control(response),
                "invoicesOffered": 0 if offered is None else offered.invoices,
                "tokenOffered": None if offered is None else token_form(offered.token),
                "sellerCalls": calls,
            },
        )
        for payment_hash in self._preimages_in(_text_of(response)):
            row = {"requestId": request_id, "status": response.status, "paymentHash": payment_hash}
            self._harness.note("shown_preimages", row)

    def _seen(self, response: Response, carried: Carried | None, calls: list[int]) -> Told:
        """What the gateway made of a credential, as its answer shows it: it says nothing of it itself."""
        if carried is None:
            return Told(Standing.ABSENT)
        if calls or 200 <= response.status < 300:
            return Told(Standing.ACCEPTED)
        preimage, bound_to = carried.preimage, carried.payment_hash
        mismatch = preimage is not None and bound_to not in (None, str(preimage.payment_hash))
        return Told(Standing.REFUSED, str(Refusal.PREIMAGE_MISMATCH) if mismatch else None)

    @contextmanager
    def attributing(self, request_id: str, tasks: RegistersTasks) -> Iterator[Attribution]:
        """Name unnamed requests inside the block, each by this request id and one task of `tasks`."""
        before, self._attribution = self._attribution, Attribution(request_id, tasks)
        try:
            yield self._attribution
        finally:
            self._attribution = before

    def _named(self, request: Request, attribution: Attribution) -> Request:
        headers = request.headers
        request_id = request.header(REQUEST_ID_HEADER)
        if request_id is None:
            request_id = attribution.request_id
            headers = (*headers, (REQUEST_ID_HEADER, request_id))
        attribution.last_request_id = request_id
        attribution.request_ids.add(request_id)
        if request.header(TASK_ID_HEADER) is None:
            if attribution.task_id is None:
                attribution.task_id = attribution.tasks.register(request_id, request)
            headers = (*headers, (TASK_ID_HEADER, attribution.task_id))
        return replace(request, headers=headers)


def _text_of(response: Response) -> str:
    lines = [value for _, value in response.headers]
    return "\n".join([*lines, response.body[:_LONGEST].decode("latin-1")])


def _payment_hash(offered: Offered | None, carried: Carried | None) -> str | None:
    """The payment that an exchange is about: the one it asks for, or else the one that was presented."""
    if offered is not None:
        return offered.payment_hash
    return None if carried is None else carried.payment_hash
