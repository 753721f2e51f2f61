"""Decides what a preimage and a payment hash are, and that only the second may be shown."""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from pytest_l402.protocol.dialect import Dialect
from pytest_l402.protocol.errors import PreimageError

_LOWER_HEX_32 = re.compile(r"[0-9a-f]{64}")
_ANY_HEX_32 = re.compile(r"[0-9a-fA-F]{64}")
_FORMS = {
    Dialect.APERTURE: (_LOWER_HEX_32, "64 lower-case hex digits"),
    Dialect.SPEC: (_ANY_HEX_32, "64 hex digits"),
}


def _described(value: object) -> str:
    """Say what ``value`` is without saying what is in it."""
    if isinstance(value, str):
        return f"{len(value)} characters of another form"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return type(value).__name__


class PaymentHash(str):
    """A payment hash: a ``str`` of 64 lower-case hex digits, so that it can stand in any row or message.

    Built from 32 bytes or from hex; raises ``PreimageError`` for anything else. Source: BOLT11 field ``p``.
    """

    __slots__ = ()

    def __new__(cls, value: str | bytes) -> Self:
        """Make a payment hash from 32 bytes or 64 hex digits of either case."""
        text = value.hex() if isinstance(value, bytes) else value
        if not isinstance(text, str) or not _ANY_HEX_32.fullmatch(text):
            raise PreimageError(
                "payment_hash_malformed",
                "32 bytes, or 64 hex digits",
                _described(value),
                "payment hash",
                "Pass the SHA-256 of the preimage.",
            )
        return super().__new__(cls, text.lower())

    def to_bytes(self) -> bytes:
        """Return the 32 bytes."""
        return bytes.fromhex(self)

    def hex(self) -> str:
        """Return the 64 lower-case hex digits as a plain ``str``."""
        return str.__str__(self)


@dataclass(frozen=True, slots=True)
class Preimage:
    """A payment preimage: 32 secret bytes, shown by neither ``repr`` nor ``str``.

    Raises ``PreimageError`` when it is not 32 bytes. Source: BOLT11, Aperture l402/identifier.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.value, bytes) or len(self.value) != 32:
            raise PreimageError(
                "preimage_malformed",
                "32 bytes",
                _described(self.value),
                "preimage",
                "Pass the bytes that the wallet returned for the payment.",
            )

    @classmethod
    def from_hex(cls, text: str, dialect: Dialect = Dialect.APERTURE) -> Self:
        """Read hex: 64 lower-case digits in the Aperture dialect, either case in the specification's."""
        pattern, expected = _FORMS[dialect]
        if not pattern.fullmatch(text):
            raise PreimageError(
                "preimage_malformed",
                expected,
                _described(text),
                f"preimage ({dialect} dialect)",
                "Send the preimage as hex; some wallets hand it out as base64.",
            )
        return cls(bytes.fromhex(text))

    def hex(self) -> str:
        """Return the secret as 64 lower-case hex digits, for the wire only."""
        return self.value.hex()

    @property
    def payment_hash(self) -> PaymentHash:
        """The SHA-256 that an invoice and an identifier carry."""
        return PaymentHash(sha256(self.value).digest())
