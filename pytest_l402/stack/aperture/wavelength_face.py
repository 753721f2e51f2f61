"""The stack's node as a wallet daemon, to a gateway that is a program: one HTTP call."""

from __future__ import annotations

from typing import Any, Self

from pytest_l402.harness.json_app import Call, Document, JsonApp, Refused, Route
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.stack.gateway.lightning_node import Invoices, NodeUnavailable


class WavelengthFace:
    """Answers `POST /v1/wallet/recv` with an invoice of the node; paid ones are the node's to know."""

    def __init__(self, node: Invoices) -> None:
        self._node = node
        self._server = LoopbackServer(JsonApp((Route("POST", "/v1/wallet/recv", self._receive),)))

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    @property
    def settings(self) -> dict[str, str]:
        """The key of `authenticator` that leads a gateway here."""
        return {"wavelengthgateway": self.url}

    def start(self) -> Self:
        """Answer until `stop`."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Close the port."""
        self._server.stop()

    def _receive(self, call: Call) -> Document:
        amount_sats: Any = call.body.get("amt_sat")
        if type(amount_sats) is not int or amount_sats <= 0:
            raise Refused(422, "amount_invalid")
        try:
            made = self._node.create_invoice(amount_sats * 1_000, str(call.body.get("memo") or ""))
        except NodeUnavailable:
            raise Refused(503, "node_unavailable") from None
        request = {"lightning_invoice": {"payment_hash": made.payment_hash.hex()}}
        return {"invoice": made.bolt11, "entry": {"request": request}}
