"""The few messages of lnd that Aperture exchanges, as protobuf writes them. Source: lnrpc."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

SERVICE: Final = "lnrpc.Lightning"
SETTLED: Final = 1
"""The state of an invoice that was paid; 0 is open."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK: Final = (1 << 64) - 1


class BadMessage(ValueError):  # noqa: N818 - the name of the condition
    """Bytes that are no message."""


@dataclass(frozen=True, slots=True)
class LndInvoice:
    """An invoice as lnd tells it; `amount_sats` is what it asks for, indexes count from 1."""

    payment_hash: bytes
    bolt11: str
    amount_sats: int
    memo: str
    add_index: int
    settle_index: int = 0

    def encode(self) -> bytes:
        """Return the message `Invoice`."""
        settled = self.settle_index > 0
        return encode(
            {
                1: self.memo.encode(),
                4: self.payment_hash,
                5: self.amount_sats,
                6: int(settled),
                9: self.bolt11.encode(),
                16: self.add_index,
                17: self.settle_index,
                20: self.amount_sats * 1_000 * settled,
                21: SETTLED * settled,
                23: self.amount_sats * 1_000,
            }
        )


def encode(fields: Mapping[int, int | bytes]) -> bytes:
    """Return a message; a field that is 0 or empty is left out."""
    out = bytearray()
    for number, value in fields.items():
        if isinstance(value, bytes) and value:
            out += _varint(number << 3 | _BYTES) + _varint(len(value)) + value
        elif isinstance(value, int) and value:
            out += _varint(number << 3 | _VARINT) + _varint(value)
    return bytes(out)


def decode(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Return the fields of a message in order, each with its number.

    Raises:
        BadMessage: it ends in the middle, or has a kind of field that there is none of.
    """
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _read_varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise BadMessage(f"expected a kind of field, saw {kind}")
        if at + length > len(data):
            raise BadMessage("the message ends in the middle of a field")
        yield key >> 3, data[at : at + length]
        at += length


def number(fields: Mapping[int, int | bytes], key: int) -> int:
    """Return a number of a message, 0 when it is left out."""
    value = fields.get(key, 0)
    return value if isinstance(value, int) else 0


def data(fields: Mapping[int, int | bytes], key: int) -> bytes:
    """Return bytes of a message, none when they are left out."""
    value = fields.get(key, b"")
    return value if isinstance(value, bytes) else b""


def _varint(value: int) -> bytes:
    value &= _MASK
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value & _MASK, at
    raise BadMessage("the message ends in the middle of a number")
