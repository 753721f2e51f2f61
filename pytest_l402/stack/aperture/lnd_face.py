"""The stack's node as lnd, to a gateway that is a program: three calls over gRPC."""

from __future__ import annotations

import datetime
import ipaddress
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

from pytest_l402.protocol import mint
from pytest_l402.stack.aperture.lnd_messages import SERVICE, LndInvoice, data, decode, encode, number
from pytest_l402.stack.gateway.lightning_node import NodeUnavailable, TellingInvoices

_CALLERS: Final = 8
_A_DAY: Final = datetime.timedelta(days=1)


class LndFace:
    """Answers AddInvoice, ListInvoices, SubscribeInvoices; `folder` gets `tls.cert`, `invoice.macaroon`.

    A settlement is told when the node has it: `strictverify` of the gateway is met by the node's book.
    """

    def __init__(self, node: TellingInvoices, folder: Path) -> None:
        self._node = node
        self._folder = folder
        self._invoices: list[LndInvoice] = []
        self._settled = 0
        self._listeners: list[queue.SimpleQueue[bytes | None]] = []
        self._lock = threading.Lock()
        self._server: Any = None
        self._port = 0

    @property
    def settings(self) -> dict[str, str]:
        """The keys of `authenticator` that lead a gateway here."""
        return {
            "lndhost": f"127.0.0.1:{self._port}",
            "tlspath": str(self._folder / "tls.cert"),
            "macdir": str(self._folder),
        }

    def start(self) -> Self:
        """Answer until `stop`.

        Raises:
            ImportError: the extra `[aperture]` is not installed.
        """
        import grpc

        key, certificate = _certificate()
        (self._folder / "tls.cert").write_bytes(certificate)
        macaroon = mint(os.urandom(32), b"0", "lnd", ())
        (self._folder / "invoice.macaroon").write_bytes(macaroon.to_bytes())
        handlers = {
            "AddInvoice": grpc.unary_unary_rpc_method_handler(self._add),
            "ListInvoices": grpc.unary_unary_rpc_method_handler(self._list),
            "SubscribeInvoices": grpc.unary_stream_rpc_method_handler(self._subscribe),
        }
        self._server = grpc.server(ThreadPoolExecutor(_CALLERS))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        self._port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()
        self._node.on_settled(self._tell)
        return self

    def stop(self) -> None:
        """Close the port and end every stream."""
        with self._lock:
            for listener in self._listeners:
                listener.put(None)
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def _add(self, message: bytes, context: Any) -> bytes:
        import grpc

        asked = dict(decode(message))
        amount_sats = number(asked, 5) or -(-number(asked, 23) // 1_000)
        memo = data(asked, 1).decode("utf-8", "replace")
        try:
            made = self._node.create_invoice(amount_sats * 1_000, memo)
        except (NodeUnavailable, ValueError) as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, type(error).__name__)
            raise
        with self._lock:
            index = len(self._invoices) + 1
            invoice = LndInvoice(
                bytes.fromhex(made.payment_hash.hex()), made.bolt11, amount_sats, memo, index
            )
            self._invoices.append(invoice)
            self._send(invoice)
        return encode({1: invoice.payment_hash, 2: made.bolt11.encode(), 16: index})

    def _list(self, message: bytes, context: Any) -> bytes:
        asked = dict(decode(message))
        after, most = number(asked, 4), number(asked, 5) or 100
        with self._lock:
            told = self._invoices[after : after + most]
        indexes = encode({2: told[-1].add_index, 3: told[0].add_index}) if told else b""
        return b"".join(encode({1: invoice.encode()}) for invoice in told) + indexes

    def _subscribe(self, message: bytes, context: Any) -> Iterator[bytes]:
        listener: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._lock:
            self._listeners.append(listener)
        context.add_callback(lambda: listener.put(None))
        while (told := listener.get()) is not None:
            yield told

    def _tell(self, payment_hash: str) -> None:
        with self._lock:
            for at, invoice in enumerate(self._invoices):
                if invoice.payment_hash.hex() == payment_hash and not invoice.settle_index:
                    self._settled += 1
                    self._invoices[at] = LndInvoice(
                        invoice.payment_hash,
                        invoice.bolt11,
                        invoice.amount_sats,
                        invoice.memo,
                        invoice.add_index,
                        self._settled,
                    )
                    self._send(self._invoices[at])

    def _send(self, invoice: LndInvoice) -> None:
        for listener in self._listeners:
            listener.put(invoice.encode())


def _certificate() -> tuple[bytes, bytes]:
    """Return a fresh key and a certificate for this machine, both as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lnd")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _A_DAY)
        .not_valid_after(now + _A_DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()), certificate.public_bytes(pem)
