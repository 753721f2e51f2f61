"""Decides which values are secret although nothing names them: those that are known by their digest.

A secret itself is never kept. What an issuer made is noted as its SHA-256, and a value in a text is looked up
by its own, whatever form it is written in.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Final

# 32 bytes in hex and in either base64, and longer values, such as macaroons and tokens, whole.
_CANDIDATE: Final = re.compile(r"[\w+/=-]{22,}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_SIGN: Final = re.compile(r"[=+/_-]")
_PATH_LIMIT: Final = 1000
_HEX_OF_32: Final = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")


class KnownSecrets:
    """The digests of secrets; to ask costs nothing while there are none."""

    def __init__(self, digests: Iterable[bytes] = (), beyond: KnownSecrets | None = None) -> None:
        self._digests = set(digests)
        self._beyond = beyond
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._digests)})"

    def __bool__(self) -> bool:
        return bool(self._digests) or bool(self._beyond)

    def note(self, *secrets: bytes | str) -> None:
        """Note secrets by their digest; a text counts as its UTF-8 bytes."""
        digests = [
            hashlib.sha256(value.encode() if isinstance(value, str) else value).digest() for value in secrets
        ]
        with self._lock:
            self._digests.update(digests)

    def note_digest(self, digest: bytes) -> None:
        """Note a secret by its SHA-256, 32 bytes: of a preimage that is its payment hash."""
        with self._lock:
            self._digests.add(digest)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where a known secret stands in `text`: as it is, in hex of either case, or in base64."""
        if not self:
            return
        for token in _CANDIDATE.finditer(text):
            if self._knows(token[0]):
                yield token.span()
                continue
            for part in _HEX_OF_32.finditer(token[0]):
                if self._knows(part[0]):
                    yield token.start() + part.start(), token.start() + part.end()
            if len(token[0]) <= _PATH_LIMIT:
                yield from self._parts(token[0], token.start())

    def _parts(self, token: str, offset: int) -> Iterator[tuple[int, int]]:
        """`name=value` and `path/value`: what stands between signs that base64 has as well."""
        done = 0
        for start in (0, *(sign.end() for sign in _SIGN.finditer(token))):
            for end in {start + 43, len(token)}:
                part = token[start:end]
                if start >= done and len(part) >= 22 and self._knows(part):
                    done = end + (token[end : end + 1] == "=")
                    yield offset + start, offset + done
                    break

    def _knows(self, token: str) -> bool:
        return any(self._has(hashlib.sha256(value).digest()) for value in forms_of(token))

    def _has(self, digest: bytes) -> bool:
        return digest in self._digests or (self._beyond is not None and self._beyond._has(digest))


def forms_of(token: str) -> Iterator[bytes]:
    """Yield the bytes that a token may stand for: itself, and what it is in hex and in base64."""
    yield token.encode("utf-8", "surrogatepass")
    if _HEX.fullmatch(token) is not None:
        yield bytes.fromhex(token)
    if not token.isascii():
        return
    bare = token.rstrip("=").replace("-", "+").replace("_", "/")
    if len(bare) % 4 != 1:
        try:
            yield base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        except ValueError:
            return


ISSUED: Final = KnownSecrets()
"""What was issued in this process; texts of reports are searched for it."""
