"""Decides which values are secret although nothing names them: those that are known by their digest.

A secret itself is never kept. What an issuer made is noted as its SHA-256, and a value in a text is looked up
by its own, whatever form it is written in.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

# 32 bytes in hex and in either base64, and longer values, such as macaroons and tokens, whole.
_CANDIDATE: Final = re.compile(r"[\w+/=-]{22,}")
_HEX: Final = re.compile(r"[0-9a-fA-F]++")
_SIGN: Final = re.compile(r"[=+/_-]")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_PATH_LIMIT: Final = 1000
_HEX_OF_32: Final = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")

# 32 bytes in pairs, in groups, over lines or as numbers: what stands between them is left out.
_IN_PIECES: Final = re.compile(r"(?<![0-9a-fA-F\s:_,%\\xX-])[0-9a-fA-F\s:_,%\\xX-]{65,400}+")
_BETWEEN: Final = re.compile(r"0?[xX]|[^0-9a-fA-F]")
_PIECES_LIMIT: Final = 120

SHORT: Final = 400
"""How long a text may be, in characters, for what it holds to be remembered."""


class KnownSecrets:
    """The digests of secrets; to ask costs nothing while there are none.

    Secrets may be issued in another process too: `sources` are asked, before anybody is answered, to note
    what has come up there.
    """

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        # In the order in which they came, so that what is new can be told.
        self._noted = dict.fromkeys(digests)
        self.sources: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"KnownSecrets({len(self._noted)})"

    def __bool__(self) -> bool:
        return bool(self._digests)

    @property
    def _digests(self) -> dict[bytes, None]:
        for source in self.sources:
            source()
        return self._noted

    def note(self, *secrets: bytes | str) -> None:
        """Note secrets by their digest; a text counts as its UTF-8 bytes."""
        for value in secrets:
            self.note_digest(hashlib.sha256(value.encode() if isinstance(value, str) else value).digest())

    def note_digest(self, digest: bytes) -> None:
        """Note a secret by its SHA-256, 32 bytes: of a preimage that is its payment hash."""
        self._noted[digest] = None

    def digests_after(self, number: int) -> tuple[bytes, ...]:
        """Return the digests that were noted here after the first `number`, in order."""
        return tuple(islice(self._noted, number, None))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KnownSecrets):
            return NotImplemented
        return self._digests.keys() == other._digests.keys()

    __hash__ = None  # type: ignore[assignment]

    def union(self, *others: KnownSecrets) -> KnownSecrets:
        """Return what is known to these and to others at this moment."""
        return KnownSecrets(digest for known in (self, *others) for digest in known._digests)

    def holds(self, value: bytes) -> bool:
        """Return whether a value, as bytes, is known."""
        digests = self._digests
        return bool(digests) and hashlib.sha256(value).digest() in digests

    def is_in(self, data: bytes) -> bool:
        """Return whether 32 bytes in a row of `data` are a known secret; the time grows with `data`."""
        digests = self._digests
        if not digests:
            return False
        return any(hashlib.sha256(data[at : at + 32]).digest() in digests for at in range(len(data) - 31))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where a known secret stands in `text`: as it is, in hex of either case, or in base64."""
        digests = self._digests
        if not digests:
            return []
        found = places(text) if len(text) <= SHORT else _searched(text)
        return [(start, end) for start, end, digest in found if digest in digests] if found else []


@lru_cache(maxsize=20_000)
def places(text: str) -> tuple[tuple[int, int, bytes], ...]:
    """Return each place of a short text that may hold a secret, and the digest of what it stands for."""
    return tuple(_searched(text))


def _searched(text: str) -> Iterator[tuple[int, int, bytes]]:
    for found in _CANDIDATE.finditer(text):
        token, start = found[0], found.start()
        yield from _read(token, start)
        if _is_hex(token):
            continue
        for part in _HEX_OF_32.finditer(token):
            yield from _read(part[0], start + part.start())
        if 43 < len(token) <= _PATH_LIMIT:
            yield from _parts(token, start)
    if len(text) > 64:
        for run in _IN_PIECES.finditer(text):
            yield from _pieced(run)


def _pieced(run: re.Match[str]) -> Iterator[tuple[int, int, bytes]]:
    if _HEX_OF_32.search(run[0]) is not None:
        return
    digits = _BETWEEN.sub("", run[0])
    if 64 <= len(digits) <= _PIECES_LIMIT:
        for at in range(len(digits) - 63):
            yield run.start(), run.end(), hashlib.sha256(bytes.fromhex(digits[at : at + 64])).digest()
    numbers = run[0].replace(",", " ").split()
    if len(numbers) == 32 and all(each.isdecimal() and int(each) < 256 for each in numbers):
        yield run.start(), run.end(), hashlib.sha256(bytes(map(int, numbers))).digest()


def _is_hex(token: str) -> bool:
    return len(token) % 2 == 0 and _HEX.fullmatch(token) is not None


def _parts(token: str, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """`name=value` and `path/value`: what stands between signs that base64 has as well."""
    for start in (0, *(sign.end() for sign in _SIGN.finditer(token))):
        if len(token) - start < 43:
            return
        if start:
            yield from _read(token[start:], offset + start)
        window = token[start : start + 43]
        if not window.islower():
            padded = token[start + 43 : start + 44] == "="
            for _, end, digest in _read(window, offset + start):
                yield offset + start, end + padded, digest


def _read(token: str, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield the digest of each value that a token may stand for: itself, what it is in hex or in base64."""
    end = start + len(token)
    yield start, end, hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    if _is_hex(token):
        yield start, end, hashlib.sha256(bytes.fromhex(token)).digest()
    elif token.isascii() and not token.islower():
        # The base64 of 32 bytes has a capital, but for one in billions; names and paths have none.
        bare = token.rstrip("=").translate(_URL_SAFE)
        if len(bare) % 4 != 1:
            with contextlib.suppress(ValueError):
                value = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
                yield start, end, hashlib.sha256(value).digest()


ISSUED: Final = KnownSecrets()
"""What was issued in this process, or in one that it started; texts of reports are searched for it."""
