"""Decides what a macaroon is: its bytes, its text form, and whether its HMAC chain holds."""

import binascii
import hmac
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NoReturn, Self

from pytest_l402.protocol.errors import MacaroonError

_KEY_GENERATOR: Final = b"macaroons-key-generator"
_SIGNATURE_LENGTH: Final = 32
_END, _LOCATION, _IDENTIFIER, _VERIFICATION_ID, _SIGNATURE = 0, 1, 2, 4, 6
_LARGEST_FIELD: Final = 0x7FFFFFFF
_STANDARD_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _refuse(reason: str, expected: str, seen: str, where: str) -> NoReturn:
    raise MacaroonError(reason, expected, seen, where, "Send the macaroon exactly as the challenge gave it.")


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """What makes the caveat at ``index`` a third party's; L402 has no discharges, so it never verifies."""

    index: int
    verification_id: bytes = field(repr=False)
    location: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class Macaroon:
    """A macaroon as minted or as presented; ``repr`` shows a digest, never the token.

    ``caveats`` are the caveat ids in order, ``signature`` the 32 bytes at the end of the chain. Nothing in
    here is trusted until ``verify`` says so. Source: gopkg.in/macaroon.v2, Aperture mint.
    """

    location: str
    identifier: bytes
    caveats: tuple[bytes, ...]
    signature: bytes
    third_party: tuple[ThirdParty, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the binary form, version 2 or 1; bytes after the signature are ignored, as go-macaroon does.

        Raises ``MacaroonError`` that names the byte offset.
        """
        if not data:
            _refuse("macaroon_empty", "a macaroon", "no bytes", "macaroon byte 0")
        if data[0] == 2:
            return cls(*_read_v2(data))
        if data[0] in b"0123456789abcdef":
            return cls(*_read_v1(data))
        _refuse(
            "macaroon_format",
            "format version 2, or 1 as text packets",
            f"byte {data[0]:#04x}",
            "macaroon byte 0",
        )

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Read the text form: standard base64 with padding; the URL-safe or unpadded form is refused."""
        if not _STANDARD_BASE64.fullmatch(text):
            if "-" in text or "_" in text:
                seen = "URL-safe base64"
            elif len(text.rstrip("=")) % 4 != 1 and re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text):
                seen = "base64 without its padding"
            else:
                seen = f"{len(text)} characters that are not base64"
            _refuse("macaroon_base64", "standard base64 with padding", seen, "macaroon text")
        return cls.from_bytes(binascii.a2b_base64(text))

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read hex digits of either case, as in the ``Macaroon`` and ``Grpc-Metadata-Macaroon`` headers."""
        try:
            data = binascii.unhexlify(text)
        except ValueError:
            data = None
        if data is None:
            _refuse("macaroon_hex", "hex digits", f"{len(text)} characters that are not hex", "macaroon text")
        return cls.from_bytes(data)

    def attenuate(self, *caveats: bytes) -> "Macaroon":
        """Return a copy narrowed by first-party caveats; needs no key."""
        signature = self.signature
        for caveat in caveats:
            signature = hmac.digest(signature, caveat, "sha256")
        return Macaroon(
            self.location, self.identifier, (*self.caveats, *caveats), signature, self.third_party
        )

    def verify(self, root_key: bytes) -> bool:
        """Whether the HMAC chain over the presented bytes ends in the presented signature.

        Says nothing about what the caveats demand. A third-party caveat never holds: L402 has no discharges.
        """
        if self.third_party:
            return False
        return hmac.compare_digest(_chain(root_key, self.identifier, self.caveats), self.signature)

    def to_bytes(self) -> bytes:
        """Return the version 2 binary form, byte-equal to what go-macaroon writes."""
        out = bytearray(b"\x02")
        if self.location:
            _append(out, _LOCATION, self.location.encode("utf-8", "surrogateescape"))
        _append(out, _IDENTIFIER, self.identifier)
        out.append(_END)
        third_party = {party.index: party for party in self.third_party}
        for index, caveat in enumerate(self.caveats):
            party = third_party.get(index)
            if party is not None and party.location:
                _append(out, _LOCATION, party.location)
            _append(out, _IDENTIFIER, caveat)
            if party is not None:
                _append(out, _VERIFICATION_ID, party.verification_id)
            out.append(_END)
        out.append(_END)
        _append(out, _SIGNATURE, self.signature)
        return bytes(out)

    def to_base64(self) -> str:
        """Return the text form for headers: standard base64 with padding."""
        return b64encode(self.to_bytes()).decode("ascii")

    @property
    def digest(self) -> str:
        """A reference that may be shown: ``sha256:`` and 16 hex digits over the binary form."""
        return f"sha256:{sha256(self.to_bytes()).hexdigest()[:16]}"

    def __repr__(self) -> str:
        return f"Macaroon({self.digest}, caveats={len(self.caveats)})"


def mint(
    root_key: bytes, identifier: bytes, location: str = "lsat", caveats: tuple[bytes, ...] = ()
) -> Macaroon:
    """Make a macaroon from a root key (32 random bytes, one per macaroon), identifier and caveats."""
    return Macaroon(location, identifier, caveats, _chain(root_key, identifier, caveats))


def _chain(root_key: bytes, identifier: bytes, caveats: tuple[bytes, ...]) -> bytes:
    signature = hmac.digest(hmac.digest(_KEY_GENERATOR, root_key, "sha256"), identifier, "sha256")
    for caveat in caveats:
        signature = hmac.digest(signature, caveat, "sha256")
    return signature


def _append(out: bytearray, tag: int, data: bytes) -> None:
    out.append(tag)
    length = len(data)
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    out += data


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    start = at
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if value > _LARGEST_FIELD or shift > 63:
            _refuse("macaroon_varint", "a number below 2^31", "a larger one", f"macaroon byte {start}")
        if byte < 0x80:
            return value, at
        shift += 7
    _refuse("macaroon_truncated", "a number", "the end of the data", f"macaroon byte {start}")


def _field(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Read one packet: its tag, its data and the offset after it; the end tag has no data."""
    start = at
    tag, at = _varint(data, at)
    if tag == _END:
        return tag, b"", at
    length, at = _varint(data, at)
    end = at + length
    if end > len(data):
        _refuse(
            "macaroon_truncated",
            f"{length} bytes of field {tag}",
            f"{len(data) - at}",
            f"macaroon byte {start}",
        )
    return tag, data[at:end], end


def _section(data: bytes, at: int) -> tuple[dict[int, bytes], int]:
    """Read packets up to the end tag; tags must rise, so no tag comes twice."""
    fields: dict[int, bytes] = {}
    previous = -1
    while True:
        start = at
        tag, value, at = _field(data, at)
        if tag == _END:
            return fields, at
        if tag <= previous:
            _refuse("macaroon_order", f"a field above {previous}", f"field {tag}", f"macaroon byte {start}")
        fields[tag] = value
        previous = tag


_Parts = tuple[str, bytes, tuple[bytes, ...], bytes, tuple[ThirdParty, ...]]


def _read_v2(data: bytes) -> _Parts:
    header, at = _section(data, 1)
    if header.keys() - {_LOCATION} != {_IDENTIFIER}:
        _refuse("macaroon_header", "location and identifier", f"fields {sorted(header)}", "macaroon byte 1")
    caveats: list[bytes] = []
    third_party: list[ThirdParty] = []
    while True:
        start = at
        fields, at = _section(data, at)
        if not fields:
            break
        named = fields.keys() - {_LOCATION}
        if named == {_IDENTIFIER, _VERIFICATION_ID}:
            third_party.append(ThirdParty(len(caveats), fields[_VERIFICATION_ID], fields.get(_LOCATION, b"")))
        elif named != {_IDENTIFIER} or fields.get(_LOCATION):
            _refuse(
                "macaroon_caveat", "a caveat id alone", f"fields {sorted(fields)}", f"macaroon byte {start}"
            )
        caveats.append(fields[_IDENTIFIER])
    start = at
    tag, signature, _ = _field(data, at)
    if tag != _SIGNATURE or len(signature) != _SIGNATURE_LENGTH:
        seen = f"field {tag} of {len(signature)} bytes"
        _refuse(
            "macaroon_signature", f"a signature of {_SIGNATURE_LENGTH} bytes", seen, f"macaroon byte {start}"
        )
    location = header.get(_LOCATION, b"").decode("utf-8", "surrogateescape")
    return location, header[_IDENTIFIER], tuple(caveats), signature, tuple(third_party)


def _packets_v1(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, value and offset of version 1 packets: hex size, name, blank, value, newline."""
    at = 0
    while True:
        where = f"macaroon byte {at}"
        size = data[at : at + 4]
        if len(data) - at < 6 or not re.fullmatch(rb"[0-9a-f]{4}", size):
            _refuse(
                "macaroon_v1_packet", "four lower-case hex digits of size", f"{len(data) - at} bytes", where
            )
        end = at + int(size, 16)
        name, blank, value = data[at + 4 : end].partition(b" ")
        if end > len(data) or not name or not blank or not value.endswith(b"\n"):
            _refuse("macaroon_v1_packet", "name, blank, value and newline", "a packet of another form", where)
        yield name, value[:-1], at
        at = end


def _read_v1(data: bytes) -> _Parts:
    packets = _packets_v1(data)
    head: list[bytes] = []
    for wanted in (b"location", b"identifier"):
        name, value, at = next(packets)
        if name != wanted:
            _refuse("macaroon_header", wanted.decode(), "another packet", f"macaroon byte {at}")
        head.append(value)
    caveats: list[bytes] = []
    extras: list[dict[bytes, bytes]] = []
    for name, value, at in packets:
        if name == b"signature":
            if len(value) != _SIGNATURE_LENGTH:
                seen = f"{len(value)} bytes"
                _refuse("macaroon_signature", f"{_SIGNATURE_LENGTH} bytes", seen, f"macaroon byte {at}")
            third_party = tuple(
                ThirdParty(index, extra[b"vid"], extra.get(b"cl", b""))
                for index, extra in enumerate(extras)
                if b"vid" in extra
            )
            return head[0].decode("utf-8", "surrogateescape"), head[1], tuple(caveats), value, third_party
        if name == b"cid":
            caveats.append(value)
            extras.append({})
        elif name in (b"vid", b"cl") and extras and name not in extras[-1]:
            extras[-1][name] = value
        else:
            _refuse("macaroon_caveat", "cid, vid, cl or signature", "another packet", f"macaroon byte {at}")
    raise AssertionError("the packets end in a signature or a refusal")
