"""What workers meet outside of themselves, over HTTP: seller, wallet, log of points, collector of spans."""

from __future__ import annotations

from typing import Any, Self

from pytest_l402.harness.json_app import Call, JsonApp, Refused, Route
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import Request, Response
from pytest_l402.harness.randomness import SeededRandomness
from pytest_l402.workflow.points import Points
from pytest_l402.workflow.seller import CannotPay, Seller
from pytest_l402.workflow.spans import SpanCollector
from pytest_l402.workflow.steps import PRICE_MSATS
from pytest_l402.workflow.wallet import Wallet

Document = dict[str, Any]

_SIGNED_AT_S = 1_735_000_000
_GOODS = "/premium"
_TRACES = "/v1/traces"


class Outside:
    """One loopback server for all that a worker's effects touch; a context manager.

    It runs in the process of the drill, so its books outlive every worker that is killed. Any worker, in any
    language, that tells `POST /points` where it is can be held there.
    """

    def __init__(self, seed: str) -> None:
        self.points = Points()
        self.seller = Seller(SeededRandomness(seed), PRICE_MSATS, _SIGNED_AT_S)
        self.wallet = Wallet(self.seller)
        self.collector = SpanCollector()
        routes = (
            Route("POST", "/points", self._passed),
            Route("POST", "/wallet/payments", self._paid),
        )
        self._app = JsonApp(routes)
        # Whoever is held must not hold up the others.
        self._server = LoopbackServer(self, one_at_a_time=False)

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return self._server.url

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == _GOODS:
            return self.seller.handle(request)
        if request.path == _TRACES:
            return self.collector.handle(request)
        return self._app.handle(request)

    def tables(self) -> dict[str, list[Document]]:
        """Return what workers did outside, and what was injected there, by the names of the tables."""
        return {
            "calls": self.points.calls,
            "injected_faults": self.points.injected,
            "receipts": list(self.wallet.receipts),
            "wallet_calls": list(self.wallet.calls),
            "deliveries": list(self.seller.deliveries),
            "spans": self.collector.spans,
        }

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.points.release_all()
        self._server.stop()

    def _passed(self, call: Call) -> Document:
        fields = call.fields
        fields.text("point")
        fields.text("workflowID")
        return {"do": self.points.passed(dict(fields.values))}

    def _paid(self, call: Call) -> Document:
        fields = call.fields
        try:
            paid = self.wallet.pay(
                fields.optional_text("key"),
                fields.text("workflowID"),
                fields.text("macaroon"),
                fields.text("invoice"),
            )
        except CannotPay:
            raise Refused(409, "cannot_pay") from None
        return {
            "macaroon": paid.macaroon,
            "preimage": paid.preimage.hex(),
            "paymentHash": str(paid.payment_hash),
        }
