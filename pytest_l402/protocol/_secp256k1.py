"""Decides which signature a message gets, and which key made one: secp256k1 from embit, whatever backs it."""

from hashlib import sha256
from typing import Any, Final

from embit.util import secp256k1

# The order of the group; a number of the standard (SEC 2), needed to bring a signature to its low-S form.
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# embit takes the bundled libsecp256k1, else its own Python; a test swaps this to hold the two together.
_backend: Any = secp256k1


def is_private_key(data: bytes) -> bool:
    """Whether ``data`` is 32 bytes between 1 and the group order."""
    return len(data) == 32 and 0 < int.from_bytes(data) < _ORDER


def public_key(private_key: bytes) -> bytes:
    """Return the 33 bytes of the compressed public key of a private key."""
    point: bytes = _backend.ec_pubkey_create(private_key)
    serialized: bytes = _backend.ec_pubkey_serialize(point)
    return serialized


def sign(message: bytes, private_key: bytes) -> bytes:
    """Return r, s and recovery id (65 bytes) over SHA-256 of ``message``; RFC 6979, so deterministic."""
    signature = _backend.ecdsa_sign_recoverable(sha256(message).digest(), private_key)
    compact, recovery_id = _backend.ecdsa_recoverable_signature_serialize_compact(signature)
    return bytes(compact) + bytes([recovery_id])


def recover(message: bytes, signature: bytes) -> bytes | None:
    """Return the compressed public key that made the 65 bytes of ``signature``, or None if no key did."""
    r, s, recovery_id = signature[:32], int.from_bytes(signature[32:64]), signature[64]
    if recovery_id > 3:
        return None
    if s > _ORDER // 2:
        # libsecp takes both forms of s, embit's Python only the low one: negating s mirrors the point.
        s, recovery_id = _ORDER - s, recovery_id ^ 1
        if s <= 0:
            return None
    try:
        parsed = _backend.ecdsa_recoverable_signature_parse_compact(r + s.to_bytes(32), recovery_id)
        point = _backend.ecdsa_recover(parsed, sha256(message).digest())
    except (AssertionError, AttributeError, TypeError, ValueError, ZeroDivisionError):
        # embit's Python trips over an r that is no point of the curve instead of refusing it.
        return None
    serialized: bytes = _backend.ec_pubkey_serialize(point)
    return serialized


def verify(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether r and s of ``signature`` are by the compressed public ``key``, whatever its recovery id."""
    try:
        point = _backend.ec_pubkey_parse(key)
        parsed = _backend.ecdsa_signature_normalize(_backend.ecdsa_signature_parse_compact(signature[:64]))
        return bool(_backend.ecdsa_verify(parsed, sha256(message).digest(), point))
    except (AssertionError, AttributeError, TypeError, ValueError, ZeroDivisionError):
        return False
