"""Decides what a preimage and a payment hash are, and that only the second may be shown."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import NoReturn, Self

from pytest_l402.protocol.errors import PreimageError


class Dialect(StrEnum):
    """How strictly, and in which way, credentials are read.

    ``APERTURE`` is what the deployed proxy accepts: case-sensitive scheme, one space, lower-case preimage,
    text around the credential ignored. ``SPEC`` is the specification's grammar: any case of scheme and
    preimage, several spaces, several macaroons, nothing around it.
    """

    APERTURE = "aperture"
    SPEC = "spec"


_LOWER_HEX_32 = re.compile(r"[0-9a-f]{64}")
_ANY_HEX_32 = re.compile(r"[0-9a-fA-F]{64}")
_FORMS = {
    Dialect.APERTURE: (_LOWER_HEX_32, "64 lower-case hex digits"),
    Dialect.SPEC: (_ANY_HEX_32, "64 hex digits"),
}


def _refuse(what: str, expected: str, value: object, where: str, remedy: str) -> NoReturn:
    """Raise the refusal of `value`, which says what it is without saying what is in it."""
    if isinstance(value, str):
        seen = f"{len(value)} characters of another form"
    else:
        seen = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
    raise PreimageError(f"{what}_malformed", expected, seen, where, remedy)


class PaymentHash(str):
    """A payment hash: a ``str`` of 64 lower-case hex digits, so that it can stand in any row or message.

    Built from 32 bytes or from hex; raises ``PreimageError`` for anything else. Source: BOLT11 field ``p``.
    """

    __slots__ = ()

    def __new__(cls, value: str | bytes) -> Self:
        """Make a payment hash from 32 bytes or 64 hex digits of either case."""
        text = value.hex() if isinstance(value, bytes) else value
        if not isinstance(text, str) or not _ANY_HEX_32.fullmatch(text):
            expected, remedy = "32 bytes, or 64 hex digits", "Pass the SHA-256 of the preimage."
            _refuse("payment_hash", expected, value, "payment hash", remedy)
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
            remedy = "Pass the bytes that the wallet returned for the payment."
            _refuse("preimage", "32 bytes", self.value, "preimage", remedy)

    @classmethod
    def from_hex(cls, text: str, dialect: Dialect = Dialect.APERTURE) -> Self:
        """Read hex: 64 lower-case digits in the Aperture dialect, either case in the specification's."""
        pattern, expected = _FORMS[dialect]
        if not pattern.fullmatch(text):
            remedy = "Send the preimage as hex; some wallets hand it out as base64."
            _refuse("preimage", expected, text, f"preimage ({dialect} dialect)", remedy)
        return cls(bytes.fromhex(text))

    def hex(self) -> str:
        """Return the secret as 64 lower-case hex digits, for the wire only."""
        return self.value.hex()

    @property
    def payment_hash(self) -> PaymentHash:
        """The SHA-256 that an invoice and an identifier carry."""
        return PaymentHash(sha256(self.value).digest())
