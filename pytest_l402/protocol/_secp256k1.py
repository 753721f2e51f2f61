"""Decides which signature a message gets, and which key made one: secp256k1 from embit, whatever backs it."""

from hashlib import sha256
from typing import Any, Final

from embit.util import secp256k1

# The order of the group; a number of the standard (SEC 2), needed to bring a signature to its low-S form.
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# embit takes the bundled libsecp256k1, else its own Python; a test swaps this to hold the two together.
_backend: Any = secp256k1

# embit's Python trips over coordinates that are no point of the curve instead of refusing them.
_NOT_ON_THE_CURVE: Final = (AssertionError, AttributeError, TypeError, ValueError, ZeroDivisionError)


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
    normal = _low_s(signature)
    if normal is None:
        return None
    try:
        parsed = _backend.ecdsa_recoverable_signature_parse_compact(normal[:64], normal[64])
        point = _backend.ecdsa_recover(parsed, sha256(message).digest())
    except _NOT_ON_THE_CURVE:
        return None
    serialized: bytes = _backend.ec_pubkey_serialize(point)
    return serialized


def verify(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether r and s of ``signature`` are by the compressed public ``key``, whatever its recovery id.

    Only a low s counts: BOLT11 wants a high one refused where the key is named.
    """
    normal = _low_s(signature[:64] + b"\x00")
    if normal is None or normal[:64] != signature[:64]:
        return False
    try:
        point = _backend.ec_pubkey_parse(key)
        parsed = _backend.ecdsa_signature_parse_compact(normal[:64])
        return bool(_backend.ecdsa_verify(parsed, sha256(message).digest(), point))
    except _NOT_ON_THE_CURVE:
        return False


def _low_s(signature: bytes) -> bytes | None:
    """Return the form of r, s and recovery id that every backend takes, or None for numbers out of range.

    A high s leads to the key too, but embit's Python takes only a low one. To negate s mirrors the point
    behind r.
    """
    r, s, recovery_id = signature[:32], int.from_bytes(signature[32:64]), signature[64]
    if not (0 < int.from_bytes(r) < _ORDER and 0 < s < _ORDER and recovery_id < 4):
        return None
    if s > _ORDER // 2:
        s, recovery_id = _ORDER - s, recovery_id ^ 1
    return r + s.to_bytes(32) + bytes([recovery_id])
