"""Decides every byte the stack draws by chance: reproducible from a seed, or the operating system's own."""

from __future__ import annotations

import hashlib
import secrets
import threading
import uuid as _uuid
from typing import Protocol


class Randomness(Protocol):
    """What the stand-ins ask of a source of random bytes."""

    def bytes(self, n: int, purpose: str) -> bytes:
        """Return `n` fresh bytes for `purpose`."""

    def uuid(self, purpose: str) -> str:
        """Return a fresh version 4 UUID in its 36 character text form."""
        return str(_uuid.UUID(bytes=self.bytes(16, purpose), version=4))

    def derive(self, label: str) -> Randomness:
        """Return a source that is independent of this one."""


class SeededRandomness(Randomness):
    """A SHA-256 counter stream per purpose: same seed and same calls, same bytes.

    Each purpose has its own counter, so that one more draw for one purpose leaves all others as they were.
    Not for real keys: who knows the seed knows every preimage and root key.
    """

    def __init__(self, seed: int | str) -> None:
        kind = "int" if isinstance(seed, int) else "str"
        self._key = hashlib.sha256(f"pytest-l402 {kind} seed:{seed}".encode()).digest()
        self._counters: dict[str, int] = {}
        self._prefixes: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "SeededRandomness(…)"

    def bytes(self, n: int, purpose: str) -> bytes:
        """Return the next `n` bytes of the stream of `purpose`.

        Raises:
            ValueError: `n` is negative.
        """
        if n < 0:
            raise ValueError(f"cannot draw {n} bytes for {purpose!r}: the number must be >= 0")
        with self._lock:
            draw = self._counters.get(purpose, 0)
            self._counters[purpose] = draw + 1
            stream = self._prefixes.get(purpose)
            if stream is None:
                stream = self._prefixes[purpose] = self._key + hashlib.sha256(purpose.encode()).digest()
        prefix = stream + draw.to_bytes(8, "big")
        blocks = (
            hashlib.sha256(prefix + block.to_bytes(8, "big")).digest() for block in range((n + 31) // 32)
        )
        return b"".join(blocks)[:n]

    def derive(self, label: str) -> SeededRandomness:
        """Return an independent source for `label`; the same label always gives the same source."""
        child = SeededRandomness(0)
        child._key = hashlib.sha256(self._key + b"derive:" + label.encode()).digest()
        return child


class SystemRandomness(Randomness):
    """The operating system's randomness, for a stack that is served to other processes."""

    def bytes(self, n: int, purpose: str) -> bytes:
        """Return `n` unpredictable bytes; `purpose` is of no effect."""
        return secrets.token_bytes(n)

    def derive(self, label: str) -> SystemRandomness:
        """Return this source: the system's randomness needs no separation."""
        return self
