"""Which stack a gateway's program sells for: that one's node makes the invoices, its seller answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_l402.harness.network import REQUEST_ID_HEADER, NetworkUnreachable, Request, Response
from pytest_l402.stack.faults import UpstreamDown
from pytest_l402.stack.gateway.lightning_node import (
    InvoiceStatus,
    NodeInvoice,
    NodeUnavailable,
    UnknownInvoice,
)

if TYPE_CHECKING:
    from pytest_l402.stack.stack import Stack


class Seat:
    """Node and seller of the stack that sits here: a program lives longer than the stack of one test."""

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._told: list[Callable[[str], None]] = []

    def take(self, stack: Stack) -> None:
        """Let this stack's node and seller be asked from now on."""
        self._stack = stack
        stack.node.on_settled(self._tell)

    def leave(self) -> None:
        """Let nobody be asked."""
        self._stack = None

    def create_invoice(
        self, amount_msats: int, description: str = "L402", request_id: str | None = None
    ) -> NodeInvoice:
        """Return a fresh invoice of the stack's node; raises `NodeUnavailable` when there is none."""
        if self._stack is None:
            raise NodeUnavailable("no stack is rehearsed now")
        return self._stack.node.create_invoice(amount_msats, description, request_id)

    def lookup(self, payment_hash: str) -> InvoiceStatus:
        """Return where an invoice of the stack's node stands; raises `UnknownInvoice`."""
        if self._stack is None:
            raise UnknownInvoice(payment_hash)
        return self._stack.node.lookup(payment_hash)

    def on_settled(self, tell: Callable[[str], None]) -> None:
        """Call `tell` with the payment hash of each invoice that is paid, of whichever stack."""
        self._told.append(tell)

    def handle(self, request: Request) -> Response:
        """Answer as the stack's seller does; raises `NetworkUnreachable` while nobody can ask it."""
        stack = self._stack
        if stack is None or stack.faults.active(UpstreamDown, request.header(REQUEST_ID_HEADER)):
            raise NetworkUnreachable(request.host, "connection refused")
        return stack.seller_api.handle(request)

    def _tell(self, payment_hash: str) -> None:
        for tell in self._told:
            tell(payment_hash)
