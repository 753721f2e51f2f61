"""Invoices from lnd: the three calls that Aperture makes, over gRPC with TLS and a macaroon."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any, Final

from pytest_l402.protocol import InvoiceError, PaymentHash, decode_invoice
from pytest_l402.stack.aperture.lnd_messages import SERVICE, SETTLED, BadMessage, data, decode, encode, number
from pytest_l402.stack.gateway.lightning_node import (
    InvoiceStatus,
    NodeInvoice,
    NodeUnavailable,
    UnknownInvoice,
)

_WAIT_S: Final = 10.0
_AT_ONCE: Final = 100_000


class LndInvoices:
    """Makes invoices at `host`, and hears from it which of them were paid.

    `certificate` and `macaroon` are files, as lnd writes them.

    Raises:
        OSError: one of them cannot be read.
        ValueError: grpcio is not installed.
    """

    def __init__(self, host: str, certificate: Path, macaroon: Path) -> None:
        try:
            import grpc
        except ImportError:
            raise ValueError("lndhost needs grpcio: pip install 'pytest-l402[aperture]'") from None
        self._failed: type[Exception] = grpc.RpcError
        self._metadata = (("macaroon", macaroon.read_bytes().hex()),)
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        self._channel: Any = grpc.secure_channel(host, credentials)
        self._add = self._channel.unary_unary(f"/{SERVICE}/AddInvoice")
        self._list = self._channel.unary_unary(f"/{SERVICE}/ListInvoices")
        self._subscribe = self._channel.unary_stream(f"/{SERVICE}/SubscribeInvoices")
        self._settled: dict[str, bool] = {}
        self._stream: Any = None
        self._listener: threading.Thread | None = None

    def follow(self) -> None:
        """Ask for what was made so far, and hear of each payment from now on: for a gateway that verifies.

        Raises:
            NodeUnavailable: lnd does not answer.
        """
        try:
            asked = encode({5: _AT_ONCE})
            answer = self._list(asked, metadata=self._metadata, timeout=_WAIT_S, wait_for_ready=True)
            for key, value in decode(answer):
                if key == 1 and isinstance(value, bytes):
                    self._note(value)
        except (self._failed, BadMessage) as error:
            raise NodeUnavailable(f"lnd does not list its invoices: {_why(error)}") from None
        self._stream = self._subscribe(b"", metadata=self._metadata)
        self._listener = threading.Thread(target=self._listen, name="lnd-invoices", daemon=True)
        self._listener.start()

    def create_invoice(
        self, amount_msats: int, description: str = "L402", request_id: str | None = None
    ) -> NodeInvoice:
        """Return a fresh invoice.

        Raises:
            NodeUnavailable: lnd does not answer, or answers something else.
        """
        asked = encode({1: description.encode(), 5: amount_msats // 1_000})
        try:
            told = dict(decode(self._add(asked, metadata=self._metadata, timeout=_WAIT_S)))
            bolt11 = data(told, 2).decode()
            payment_hash, invoice = PaymentHash(data(told, 1)), decode_invoice(bolt11)
        except (self._failed, BadMessage, InvoiceError, ValueError) as error:
            raise NodeUnavailable(f"lnd makes no invoice: {_why(error)}") from None
        self._settled.setdefault(payment_hash.hex(), False)
        return NodeInvoice(payment_hash, bolt11, amount_msats, invoice.timestamp_s + invoice.expiry_s)

    def lookup(self, payment_hash: str) -> InvoiceStatus:
        """Return whether an invoice was paid, as far as lnd has told.

        Raises:
            UnknownInvoice: lnd never told of it.
        """
        if payment_hash not in self._settled:
            raise UnknownInvoice(payment_hash)
        return InvoiceStatus.SETTLED if self._settled[payment_hash] else InvoiceStatus.OPEN

    def close(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            self._stream.cancel()
        self._channel.close()
        if self._listener is not None:
            self._listener.join(_WAIT_S)

    def _listen(self) -> None:
        with contextlib.suppress(self._failed, BadMessage):
            for message in self._stream:
                self._note(message)

    def _note(self, message: bytes) -> None:
        fields = dict(decode(message))
        payment_hash = data(fields, 4).hex()
        self._settled[payment_hash] = number(fields, 21) == SETTLED or self._settled.get(payment_hash, False)


def _why(error: Exception) -> str:
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else type(error).__name__
