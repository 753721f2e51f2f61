"""Decides how a statement is signed: as a DSSE envelope and a Sigstore bundle, by a key of a file.

`cryptography` (extra `[sign]`) is imported when a key is read, not before. Sources: DSSE v1; Sigstore bundle
v0.3; SPKI, RFC 5280.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.boundary.input_error import InputError
from pytest_l402.signoff.run_files import PUBLIC_KEY, bundle_of, envelope_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
"""The only one that cosign takes; in-toto would allow others."""

_BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_KINDS: Final = "an Ed25519 or P-256 key, in PEM or of OpenSSH"
_MAX_KEY_BYTES: Final = 65_536


class UnusableKeyError(InputError):
    """A key that cannot be used; one line that names the file and the remedy, and nothing of the key."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key. `key_id` is the SHA-256 of its SPKI in DER, lower hex; `pem` is that SPKI in PEM."""

    key_id: str
    pem: bytes
    _key: Ed25519PublicKey | EllipticCurvePublicKey

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        """Whether the key has made this signature over the data: raw Ed25519, or ECDSA of SHA-256 as DER."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, data)
            else:
                self._key.verify(signature, data, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and its public half; it is shown by its id alone."""

    public: VerifyingKey
    _key: Ed25519PrivateKey | EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.key_id})"

    def sign(self, data: bytes) -> bytes:
        """Return a signature; of Ed25519 always the same over the same data."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256

        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(data)
        return self._key.sign(data, ECDSA(SHA256()))

    def sign_statements(self, statements: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return envelope and bundle of each statement, and the public key, as files by name."""
        files = {PUBLIC_KEY: self.public.pem}
        for name, payload in statements.items():
            envelope = {
                "payloadType": PAYLOAD_TYPE,
                "payload": _text(payload),
                "signatures": [{"keyid": self.public.key_id, "sig": _text(self.sign(encoding(payload)))}],
            }
            files[envelope_of(name)] = _json(envelope)
            files[bundle_of(name)] = _json(
                {
                    "mediaType": _BUNDLE,
                    "verificationMaterial": {
                        "publicKey": {"hint": self.public.key_id},
                        "tlogEntries": [],
                        "timestampVerificationData": {"rfc3161Timestamps": []},
                    },
                    "dsseEnvelope": envelope,
                }
            )
        return files


def encoding(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return what is signed of a payload: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def read_signing_key(path: Path) -> SigningKey:
    """Read a private key that nobody else can read; a key under a passphrase is refused, never asked for.

    Raises `UnusableKeyError`.
    """
    data = _read(path, private=True)
    loaders = _library(path)
    try:
        key = (
            loaders.load_ssh_private_key(data, password=None)
            if b"OPENSSH PRIVATE KEY" in data
            else loaders.load_pem_private_key(data, password=None)
        )
    except TypeError:
        raise _refused(
            path,
            "a key without a passphrase",
            "one that is under a passphrase",
            "a run asks for none: give it a key of its own, and sign by hand with `pytest-l402 approve`",
        ) from None
    except ValueError as error:
        seen = "one that is under a passphrase" if "assword" in str(error) else "something else"
        raise _refused(path, _KINDS, seen, "make one: openssl genpkey -algorithm ed25519") from None
    except Exception as error:  # whatever its libraries say of a file that is no key
        raise _refused(path, _KINDS, type(error).__name__, "take a key of one of these kinds") from None
    return SigningKey(_verifying(key.public_key(), path), key)


def read_verifying_key(path: Path) -> VerifyingKey:
    """Read a public key: SPKI in PEM, or a line of OpenSSH; raises `UnusableKeyError`."""
    return verifying_key(_read(path, private=False), path)


def verifying_key(data: bytes, path: Path) -> VerifyingKey:
    """Read a public key from the bytes of a file; `path` names it in `UnusableKeyError`."""
    loaders = _library(path)
    if b"PRIVATE KEY" in data:
        raise _refused(
            path, "a public key", "a private one", "give the public half, and keep that one to you"
        )
    try:
        if b"BEGIN" in data:
            return _verifying(loaders.load_pem_public_key(data), path)
        return _verifying(loaders.load_ssh_public_key(data), path)
    except InputError:
        raise
    except Exception as error:  # whatever its libraries say of a file that is no key
        raise _refused(
            path, _KINDS, type(error).__name__, "give the public key as PEM or OpenSSH has it"
        ) from None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope as it was read: the payload, its type, and the signatures over it by key id."""

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]


def read_envelope(value: Any) -> Envelope:
    """Read the JSON of an envelope; raises `ValueError` with one sentence for any other form."""
    try:
        signatures = tuple((str(each.get("keyid", "")), _data(each["sig"])) for each in value["signatures"])
        found = Envelope(_data(value["payload"]), str(value["payloadType"]), signatures)
    except (TypeError, KeyError, AttributeError, binascii.Error) as error:
        raise ValueError(f"expected a DSSE envelope, saw another form ({type(error).__name__})") from None
    if not signatures:
        raise ValueError("expected a DSSE envelope, saw one without a signature")
    return found


def _data(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _verifying(key: Any, path: Path) -> VerifyingKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    is_p256 = isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if not is_p256 and not isinstance(key, Ed25519PublicKey):
        seen = type(key).__name__.removesuffix("PublicKey")
        raise _refused(path, _KINDS, f"one of {seen}", "make one: openssl genpkey -algorithm ed25519")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return VerifyingKey(hashlib.sha256(der).hexdigest(), pem, key)


def _read(path: Path, *, private: bool) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(path, "a key", error.strerror or str(error), "correct the path") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "a key", "what is no file", "correct the path")
        if private and status.st_mode & 0o077:
            raise _refused(path, "a key that only its owner can read", "one that others can", "chmod 600")
        data = os.read(descriptor, _MAX_KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MAX_KEY_BYTES:
        raise _refused(path, "a key", f"more than {_MAX_KEY_BYTES} bytes", "correct the path")
    return data


def _library(path: Path) -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise _refused(
            path, "what signs and verifies", "no cryptography", "pip install 'pytest-l402[sign]'"
        ) from None
    return serialization


def _refused(path: Path, expected: str, seen: str, remedy: str) -> UnusableKeyError:
    return UnusableKeyError.at(path, expected=expected, seen=seen, remedy=remedy)
