"""Decides what a BOLT11 invoice says, who signed it, and how one is written.

The rules are those of BOLT 11 as it stands in 2026. Where its text and one of its examples part (fields of a
wrong length, which the text refuses), the text counts.
"""

import hmac
import re
from base64 import b32hexencode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from embit.bech32 import CHARSET

from pytest_l402.protocol import _bech32, _secp256k1
from pytest_l402.protocol.errors import InvoiceError
from pytest_l402.protocol.preimage import PaymentHash

NETWORKS: Final = {
    "bitcoin": "lnbc",
    "testnet": "lntb",
    "signet": "lntbs",
    "regtest": "lnbcrt",
    "simnet": "lnsb",
}
"""How the invoices of each network begin."""
PREFIXES: Final = tuple(NETWORKS.values())
DEFAULT_EXPIRY_S: Final = 3600
DEFAULT_MIN_FINAL_CLTV: Final = 18

_HUMAN_READABLE = re.compile(r"(lnbcrt|lntbs|lnbc|lntb|lnsb)(?:([1-9][0-9]{0,19})([munp]?))?")
# Millisatoshis for one of each multiplier; p is a tenth of a millisatoshi and handled apart.
_UNITS: Final = (("", 10**11), ("m", 10**8), ("u", 10**5), ("n", 10**2))
_MSATS_PER_UNIT: Final = dict(_UNITS)
_TIMESTAMP_WORDS: Final = 7
_SIGNATURE_WORDS: Final = 104
_FIXED_WORDS: Final = {"p": 52, "h": 52, "s": 52, "n": 53}
_NUMBERS: Final = frozenset("xc9")
_READ_TAGS: Final = frozenset("pdhnxcs9")
# What 64 bits take, as in lnd; a longer time or block count is none.
_LONGEST_COUNT: Final = 13
_VAR_ONION, _PAYMENT_SECRET = 8, 14
# The features of BOLT 9 that an invoice may ask for, by the even bit of each pair.
_KNOWN_FEATURES: Final = frozenset({_VAR_ONION, _PAYMENT_SECRET, 16, 24, 36, 48})
_SCHEME: Final = "lightning:"
_OTHERS: Final = (("lno", "an offer of BOLT 12"), ("lni", "an invoice of BOLT 12"), ("lnurl", "an LNURL"))
_WORD_TO_BASE32: Final = bytes.maketrans(bytes(range(32)), b"0123456789abcdefghijklmnopqrstuv")
_BASE32_TO_WORD: Final = bytes.maketrans(b"0123456789ABCDEFGHIJKLMNOPQRSTUV", bytes(range(32)))


@dataclass(frozen=True, slots=True)
class TaggedField:
    """One tagged field as it stands in an invoice: its letter, and its data as five-bit words (0 to 31)."""

    tag: str
    words: bytes


@dataclass(frozen=True, slots=True)
class Invoice:
    """A signed request for payment.

    ``prefix`` names the network (``lnbc``, ``lnbcrt``, …), ``amount_msats`` is None when the payer chooses,
    ``timestamp_s`` counts seconds since 1970, ``expiry_s`` seconds after it, ``min_final_cltv`` blocks.
    ``payee`` is the compressed public key that signed. ``features`` is the bit field as a number. ``fields``
    holds every tagged field in order, ``unknown_fields`` those that no attribute speaks for. Source: BOLT11.
    """

    prefix: str
    amount_msats: int | None
    timestamp_s: int
    payment_hash: PaymentHash
    payee: bytes
    description: str | None = None
    description_hash: bytes | None = None
    payment_secret: bytes | None = field(default=None, repr=False)
    expiry_s: int = DEFAULT_EXPIRY_S
    min_final_cltv: int = DEFAULT_MIN_FINAL_CLTV
    features: int = 0
    fields: tuple[TaggedField, ...] = field(default=(), repr=False)
    unknown_fields: tuple[TaggedField, ...] = field(default=(), repr=False)

    @property
    def expires_at_s(self) -> int:
        """The first second (since 1970) in which it should no longer be paid."""
        return self.timestamp_s + self.expiry_s


def public_key(private_key: bytes) -> bytes:
    """Return the node id (33 bytes) that signs with ``private_key``; ``InvoiceError`` if it is no key."""
    return _secp256k1.public_key(_private_key(private_key))


def encode_invoice(
    *,
    private_key: bytes,
    payment_hash: PaymentHash,
    timestamp_s: int,
    amount_msats: int | None = None,
    description: str | None = None,
    description_hash: bytes | None = None,
    payment_secret: bytes | None = None,
    expiry_s: int | None = None,
    min_final_cltv: int | None = DEFAULT_MIN_FINAL_CLTV,
    features: int | None = None,
    prefix: str = "lnbcrt",
    include_payee: bool = False,
    other_fields: Sequence[TaggedField] = (),
) -> str:
    """Return a signed BOLT11 invoice; the same arguments always give the same bytes.

    Units as in ``Invoice``. None leaves a field out, but not the two that every invoice has: a payment secret
    is then derived from the key and the payment hash, and ``features`` are the two that it needs (bits 8 and
    14). Raises ``InvoiceError``: neither or both descriptions, features without that of the payment secret,
    and whatever does not fit its field.
    """
    if (description is None) == (description_hash is None):
        seen = "neither" if description is None else "both"
        _refuse("description", "a description or a description hash", seen, "the invoice to write")
    if features is None:
        features = 1 << _VAR_ONION | 1 << _PAYMENT_SECRET
    if not features >> _PAYMENT_SECRET & 3:
        seen = "features without either"
        _refuse("payment_secret", "a payment secret with feature 14 or 15", seen, "the invoice to write")
    if payment_secret is None:
        about = b"payment secret" + payment_hash.to_bytes()
        payment_secret = hmac.digest(_private_key(private_key), about, "sha256")
    fields = [TaggedField("p", _words(payment_hash.to_bytes()))]
    if description is not None:
        fields.append(TaggedField("d", _words(description.encode())))
    if description_hash is not None:
        fields.append(TaggedField("h", _words(_exactly(32, description_hash, "description hash"))))
    if min_final_cltv is not None:
        fields.append(TaggedField("c", _number(min_final_cltv, "min_final_cltv")))
    if expiry_s is not None:
        fields.append(TaggedField("x", _number(expiry_s, "expiry_s")))
    fields.extend(other_fields)
    if include_payee:
        fields.append(TaggedField("n", _words(public_key(private_key))))
    fields.append(TaggedField("s", _words(_exactly(32, payment_secret, "payment secret"))))
    fields.append(TaggedField("9", _number(features, "features")))
    return encode_fields(prefix, amount_msats, timestamp_s, fields, private_key)


def encode_fields(
    prefix: str,
    amount_msats: int | None,
    timestamp_s: int,
    fields: Sequence[TaggedField],
    private_key: bytes,
) -> str:
    """Sign and write exactly these fields in this order, sensible or not."""
    if prefix not in PREFIXES:
        _refuse("prefix", f"one of {', '.join(PREFIXES)}", repr(prefix), "the invoice to write")
    if not 0 <= timestamp_s < 1 << 35:
        _refuse("timestamp", "seconds since 1970 below 2^35", str(timestamp_s), "the invoice to write")
    human_readable = prefix + _amount_text(amount_msats)
    parts = [_number(timestamp_s, "timestamp_s").rjust(_TIMESTAMP_WORDS, b"\x00")]
    for one in fields:
        kind, length = CHARSET.find(one.tag), len(one.words)
        if len(one.tag) != 1 or kind < 0 or length > 1023 or max(one.words, default=0) > 31:
            seen = f"{length} words of tag {one.tag!r}"
            _refuse("field", "a bech32 letter and at most 1023 five-bit words", seen, "the invoice to write")
        parts += (bytes((kind, length >> 5, length & 31)), one.words)
    data = b"".join(parts)
    signature = _secp256k1.sign(_signed_message(human_readable, data), _private_key(private_key))
    return _bech32.encode(human_readable, data + _words(signature))


def decode_invoice(text: str) -> Invoice:
    """Read an invoice of any known network, in either case, with or without ``lightning:``; check who signed.

    The payee is the ``n`` field if there is one, else recovered from the signature. Of a repeated field the
    first counts. Raises ``InvoiceError`` that names the position: unknown prefix, bad bech32, amount that is
    no whole number of millisatoshis, no payment hash, no payment secret, neither or both of ``d`` and ``h``,
    a field of a wrong length, a number with leading zeros, unknown compulsory feature, signature of nobody or
    of another key. Source: BOLT11, requirements of a reader.
    """
    if text[: len(_SCHEME)].lower() == _SCHEME:
        text = text[len(_SCHEME) :]
    human_readable, written = _bech32.split(text)
    # Whatever else is in bech32, or looks so, has no checksum to complain of: it is no invoice.
    _check_prefix(human_readable)
    words = _bech32.words(human_readable, written)
    prefix, amount_msats = _human_readable(human_readable)
    if len(words) < _TIMESTAMP_WORDS + _SIGNATURE_WORDS:
        seen = f"{len(words)} words"
        _refuse(
            "too_short", "a timestamp and a signature", seen, f"invoice character {len(human_readable) + 1}"
        )
    data, signature = words[:-_SIGNATURE_WORDS], _bytes(words[-_SIGNATURE_WORDS:])
    first: dict[str, bytes] = {}
    fields, unknown = [], []
    at = _TIMESTAMP_WORDS
    while at < len(data):
        where = f"invoice character {len(human_readable) + 1 + at}"
        end = at + 3 + (data[at + 1] << 5 | data[at + 2]) if at + 3 <= len(data) else len(data) + 1
        if end > len(data):
            _refuse("field_truncated", "a whole tagged field", "one that runs into the signature", where)
        one = TaggedField(CHARSET[data[at]], data[at + 3 : end])
        fields.append(one)
        _check_length(one, where)
        if one.tag in _READ_TAGS and one.tag not in first:
            first[one.tag] = one.words
        else:
            unknown.append(one)
        at = end
    if "p" not in first:
        _refuse("payment_hash_missing", "a payment hash (field p)", "none", "the invoice's fields")
    if "s" not in first:
        _refuse("payment_secret_missing", "a payment secret (field s)", "none", "the invoice's fields")
    if ("d" in first) == ("h" in first):
        seen = "both" if "d" in first else "neither"
        _refuse("description", "a description (d) or the hash of one (h)", seen, "the invoice's fields")
    features = _integer(first.get("9", b""))
    _check_features(features)
    return Invoice(
        prefix=prefix,
        amount_msats=amount_msats,
        timestamp_s=_integer(data[:_TIMESTAMP_WORDS]),
        payment_hash=PaymentHash(_bytes(first["p"])),
        payee=_payee(_signed_message(human_readable, data), signature, first.get("n")),
        description=_description(first.get("d")),
        description_hash=_bytes(first["h"]) if "h" in first else None,
        payment_secret=_bytes(first["s"]),
        expiry_s=_integer(first["x"]) if "x" in first else DEFAULT_EXPIRY_S,
        min_final_cltv=_integer(first["c"]) if "c" in first else DEFAULT_MIN_FINAL_CLTV,
        features=features,
        fields=tuple(fields),
        unknown_fields=tuple(unknown),
    )


def _check_prefix(human_readable: str) -> None:
    if not human_readable.startswith(PREFIXES):
        others = (name for start, name in _OTHERS if human_readable.startswith(start))
        seen = next(others, repr(human_readable[:20]))
        _refuse("prefix", f"{', '.join(PREFIXES)}", seen, "invoice character 0")


def _check_length(one: TaggedField, where: str) -> None:
    wanted, length = _FIXED_WORDS.get(one.tag), len(one.words)
    if wanted is not None and length != wanted:
        _refuse("field_length", f"{wanted} words in field {one.tag}", f"{length}", where)
    if one.tag in _NUMBERS and one.words[:1] == b"\x00":
        _refuse("not_minimal", f"field {one.tag} without leading zeros", "leading zeros", where)
    if one.tag in "xc" and length > _LONGEST_COUNT:
        _refuse("number_too_large", f"at most {_LONGEST_COUNT} words in field {one.tag}", f"{length}", where)


def _human_readable(text: str) -> tuple[str, int | None]:
    match = _HUMAN_READABLE.fullmatch(text)
    if match is None:
        expected = "a positive amount with m, u, n, p or nothing after it"
        _refuse("amount", expected, repr(text[:20]), "invoice character 0")
    prefix, digits, multiplier = match.groups()
    if digits is None:
        return prefix, None
    if multiplier != "p":
        return prefix, int(digits) * _MSATS_PER_UNIT[multiplier]
    if not digits.endswith("0"):
        where = f"invoice character {len(text) - 2}"
        _refuse("amount", "whole millisatoshis: pico-bitcoin in tens", f"a last digit of {digits[-1]}", where)
    return prefix, int(digits) // 10


def _amount_text(amount_msats: int | None) -> str:
    if amount_msats is None:
        return ""
    if amount_msats <= 0:
        _refuse("amount", "a positive number of msats, or None", str(amount_msats), "the invoice to write")
    for multiplier, msats in _UNITS:
        if amount_msats % msats == 0:
            return f"{amount_msats // msats}{multiplier}"
    return f"{amount_msats}0p"


def _check_features(features: int) -> None:
    compulsory = features & int("01" * (features.bit_length() // 2 + 1), 2)
    for bit in _KNOWN_FEATURES:
        compulsory &= ~(1 << bit)
    if compulsory:
        bit = compulsory.bit_length() - 1
        _refuse("feature_unknown", "known compulsory features", f"bit {bit}", "field 9")


def _description(words: bytes | None) -> str | None:
    if words is None:
        return None
    try:
        return _bytes(words).decode()
    except UnicodeDecodeError as error:
        _refuse("description", "UTF-8 text", "other bytes", f"field d, byte {error.start}")


def _payee(message: bytes, signature: bytes, named: bytes | None) -> bytes:
    if named is not None:
        key = _bytes(named)
        if not _secp256k1.verify(message, signature, key):
            _refuse(
                "signature", "a signature by the payee of field n", "another one", "the invoice's signature"
            )
        return key
    recovered = _secp256k1.recover(message, signature)
    if recovered is None:
        _refuse("signature", "a signature that some key made", "one of nobody", "the invoice's signature")
    return recovered


def _signed_message(human_readable: str, data: bytes) -> bytes:
    padding = -len(data) * 5 % 8
    bits = len(data) * 5 + padding
    return human_readable.encode("ascii") + (_integer(data) << padding).to_bytes(bits // 8)


def _words(data: bytes) -> bytes:
    return b32hexencode(data).rstrip(b"=").translate(_BASE32_TO_WORD)


def _bytes(words: bytes) -> bytes:
    bits = len(words) * 5
    return (_integer(words) >> bits % 8).to_bytes(bits // 8)


def _integer(words: bytes) -> int:
    return int(words.translate(_WORD_TO_BASE32), 32) if words else 0


def _number(value: int, name: str) -> bytes:
    if value < 0:
        _refuse("negative", f"{name} of 0 or more", str(value), "the invoice to write")
    # As few words as it takes, none for 0.
    length = (value.bit_length() + 4) // 5
    return bytes(value >> 5 * place & 31 for place in range(length - 1, -1, -1))


def _exactly(length: int, data: bytes, name: str) -> bytes:
    if len(data) != length:
        _refuse("length", f"a {name} of {length} bytes", f"{len(data)} bytes", "the invoice to write")
    return data


def _private_key(private_key: bytes) -> bytes:
    if not _secp256k1.is_private_key(private_key):
        seen = f"{len(private_key)} bytes that are none"
        _refuse("private_key", "a private key: 32 bytes below the group order", seen, "the invoice to write")
    return private_key


def _refuse(reason: str, expected: str, seen: str, where: str) -> NoReturn:
    remedy = "Fix the argument." if where == "the invoice to write" else "Ask the payee for a fresh invoice."
    raise InvoiceError(f"invoice_{reason}", expected, seen, where, remedy)
