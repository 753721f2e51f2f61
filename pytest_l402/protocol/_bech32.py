"""Decides how five-bit words become bech32 text and back, without the 90 characters that BIP-173 allows."""

from typing import Final

from embit.bech32 import CHARSET

from pytest_l402.protocol.errors import InvoiceError

# lnd's bound; longer text is an attack or a mistake, and would cost time before the checksum is looked at.
_LONGEST: Final = 7089
_CHECKSUM_WORDS: Final = 6
_WORD_TO_TEXT: Final = bytes.maketrans(bytes(range(32)), CHARSET.encode())
_TEXT_TO_WORD: Final = bytes(CHARSET.find(chr(code)) & 0xFF for code in range(256))
_NOT_A_WORD: Final = 0xFF
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _feedback(top: int) -> int:
    value = 0
    for bit, generator in enumerate(_GENERATOR):
        if top >> bit & 1:
            value ^= generator
    return value


# embit walks the five generators for each word; the table does it once and is seven times as fast.
_FEEDBACK: Final = tuple(_feedback(top) for top in range(32))


def encode(prefix: str, data: bytes) -> str:
    """Return ``prefix``, separator, ``data`` (words, each 0 to 31) and checksum in lower case."""
    remainder = _remainder(prefix, data + bytes(_CHECKSUM_WORDS)) ^ 1
    checksum = bytes(remainder >> shift & 31 for shift in range(25, -1, -5))
    return f"{prefix}1{(data + checksum).translate(_WORD_TO_TEXT).decode('ascii')}"


def decode(text: str) -> tuple[str, bytes]:
    """Return prefix and words of ``text``, lower or upper case; ``InvoiceError`` names the position."""
    prefix, written = split(text)
    return prefix, words(prefix, written)


def split(text: str) -> tuple[str, str]:
    """Return what stands before the separator, and what after it, in lower case; neither is checked yet."""
    if len(text) > _LONGEST:
        raise _refusal("bech32_too_long", f"at most {_LONGEST} characters", f"{len(text)}", 0)
    if not text.isascii():
        at = next(i for i, c in enumerate(text) if not c.isascii())
        raise _refusal("bech32_character", "ASCII", "another character", at)
    lower = text.lower()
    if text not in (lower, text.upper()):
        mixed = next(i for i, c in enumerate(text) if c.isalpha() and c.islower() != text[0].islower())
        raise _refusal("bech32_mixed_case", "one case throughout", "both cases", mixed)
    separator = lower.rfind("1")
    if separator < 1:
        raise _refusal("bech32_separator", "a prefix and the separator 1", "none", 0)
    return lower[:separator], lower[separator + 1 :]


def words(prefix: str, written: str) -> bytes:
    """Return the words that were written behind ``prefix``, without the checksum, which has to fit."""
    start = len(prefix) + 1
    found = written.encode("ascii").translate(_TEXT_TO_WORD)
    if _NOT_A_WORD in found:
        at = found.index(_NOT_A_WORD)
        raise _refusal(
            "bech32_character", "a character of the bech32 alphabet", repr(written[at]), start + at
        )
    if len(found) < _CHECKSUM_WORDS:
        raise _refusal("bech32_too_short", "a checksum of six characters", f"{len(found)}", start)
    if _remainder(prefix, found) != 1:
        at = start + len(found) - _CHECKSUM_WORDS
        raise _refusal("bech32_checksum", "a checksum that fits the text", "another one", at)
    return found[:-_CHECKSUM_WORDS]


def _remainder(prefix: str, data: bytes) -> int:
    codes = prefix.encode("ascii")
    check = 1
    for word in bytes(code >> 5 for code in codes) + b"\x00" + bytes(code & 31 for code in codes) + data:
        check = (check & 0x1FFFFFF) << 5 ^ word ^ _FEEDBACK[check >> 25]
    return check


def _refusal(reason: str, expected: str, seen: str, at: int) -> InvoiceError:
    remedy = "Copy the whole invoice again; none of it may be altered."
    return InvoiceError(reason, expected, seen, f"invoice character {at}", remedy)
