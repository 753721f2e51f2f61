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
from functools import lru_cache
from typing import Final

# 32 bytes in hex and in either base64, and longer values, such as macaroons and tokens, whole.
_CANDIDATE: Final = re.compile(r"[\w+/=-]{22,}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_SIGN: Final = re.compile(r"[=+/_-]")
_PATH_LIMIT: Final = 1000
_REMEMBERED: Final = 2000
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
        if self:
            for start, end, digest in _candidates(text) if len(text) <= _REMEMBERED else _searched(text):
                if self._has(digest):
                    yield start, end

    def _has(self, digest: bytes) -> bool:
        return digest in self._digests or (self._beyond is not None and self._beyond._has(digest))


@lru_cache(maxsize=20_000)
def _candidates(text: str) -> tuple[tuple[int, int, bytes], ...]:
    # Rows and reports say the same texts many times; most hold no candidate at all.
    return tuple(_searched(text))


def _searched(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield each place that may hold a secret, and the digest of what it stands for."""
    for token in _CANDIDATE.finditer(text):
        start = token.start()
        yield from _digests(token[0], start)
        for part in _HEX_OF_32.finditer(token[0]):
            yield from _digests(part[0], start + part.start())
        if 43 < len(token[0]) <= _PATH_LIMIT:
            yield from _parts(token[0], start)


def _parts(token: str, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """`name=value` and `path/value`: what stands between signs that base64 has as well."""
    for start in (0, *(sign.end() for sign in _SIGN.finditer(token))):
        if len(token) - start >= 43:
            padded = token[start + 43 : start + 44] == "="
            for _, end, digest in _digests(token[start : start + 43], offset + start):
                yield offset + start, end + padded, digest
            if start:
                yield from _digests(token[start:], offset + start)


def _digests(token: str, start: int) -> Iterator[tuple[int, int, bytes]]:
    for value in forms_of(token):
        yield start, start + len(token), hashlib.sha256(value).digest()


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
