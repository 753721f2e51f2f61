"""Decides how a macaroon is bound to a payment: 66 bytes of version, payment hash and token id."""

import struct
from dataclasses import dataclass
from typing import Final, NoReturn, Self

from pytest_l402.protocol.errors import IdentifierError
from pytest_l402.protocol.preimage import PaymentHash

LATEST_VERSION: Final = 0
_LAYOUT: Final = struct.Struct(">H32s32s")


@dataclass(frozen=True, slots=True)
class Identifier:
    """What a macaroon's identifier says: version 0, the payment hash, a random token id of 32 bytes.

    Raises ``IdentifierError`` for another version or length. Source: Aperture l402/identifier.
    """

    version: int
    payment_hash: PaymentHash
    token_id: bytes

    def __post_init__(self) -> None:
        if self.version != LATEST_VERSION:
            remedy = "Only version 0 is defined; discard the credential and pay a fresh challenge."
            _refuse("version", f"version {LATEST_VERSION}", f"version {self.version}", remedy)
        if len(self.token_id) != 32:
            remedy = "Draw 32 random bytes for every macaroon."
            _refuse("token_id", "a token id of 32 bytes", f"{len(self.token_id)} bytes", remedy)
        if not isinstance(self.payment_hash, PaymentHash):
            object.__setattr__(self, "payment_hash", PaymentHash(self.payment_hash))

    def encode(self) -> bytes:
        """Return the 66 bytes: big-endian uint16 version, payment hash, token id."""
        return _LAYOUT.pack(self.version, self.payment_hash.to_bytes(), self.token_id)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the 66 bytes back; raises ``IdentifierError`` for another length or version."""
        if len(data) != _LAYOUT.size:
            remedy = "Present the macaroon exactly as the challenge gave it."
            _refuse("length", f"{_LAYOUT.size} bytes", f"{len(data)} bytes", remedy)
        version, payment_hash, token_id = _LAYOUT.unpack(data)
        return cls(version, PaymentHash(payment_hash), token_id)


def _refuse(reason: str, expected: str, seen: str, remedy: str) -> NoReturn:
    raise IdentifierError(f"identifier_{reason}", expected, seen, "macaroon identifier", remedy)
