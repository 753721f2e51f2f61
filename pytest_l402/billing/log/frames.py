"""Decides what one record of the log is on the disk: a frame that proves by its CRC that it is whole."""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import Final, TypeAlias

__all__ = ["MAGIC", "MOST_BODY_BYTES", "Frame", "frame", "frames_in", "later_frame"]

VERSION: Final = 1
MAGIC: Final = b"L402LOG" + bytes([VERSION, 255 - VERSION])
"""What every segment begins with; the last two bytes are the version, and prove each other."""

MOST_BODY_BYTES: Final = 1 << 16
"""A longer body is refused when written, and taken for damage when read."""

Frame: TypeAlias = tuple[int, int, bytes, int]
"""Sequence, epoch, body, and where it ends. A plain tuple: a million of them are read at a start."""

# The CRC-32 of all that follows; then the length of the body, sequence, epoch, and the body.
_HEAD: Final = struct.Struct("<IIQI")
_CRC_BYTES: Final = 4
_SIZE: Final = _HEAD.size
_TOLD: Final = _SIZE - _CRC_BYTES


def frame(sequence: int, epoch: int, body: bytes) -> bytes:
    """The bytes of one record. Raises `ValueError` for a body above `MOST_BODY_BYTES`."""
    if len(body) > MOST_BODY_BYTES:
        raise ValueError(f"log record: expected at most {MOST_BODY_BYTES} bytes, saw {len(body)}; split it")
    told = _HEAD.pack(0, len(body), sequence, epoch)[_CRC_BYTES:] + body
    return zlib.crc32(told).to_bytes(_CRC_BYTES, "little") + told


def frames_in(data: bytes, at: int = 0, shift: int = 0) -> tuple[list[Frame], int]:
    """The whole frames from an offset on, up to the first that is not, and where the last of them ends.

    The frames are told where they end in a file of which the data begins `shift` bytes after its begin.
    """
    crc32, head = zlib.crc32, _HEAD.unpack_from
    found: list[Frame] = []
    keep, end = found.append, at
    # A million are read at a start: the end of the data is an exception here, and no question to each.
    with contextlib.suppress(struct.error):
        while True:
            crc, length, sequence, epoch = head(data, end)
            told = data[end + _CRC_BYTES : (end := end + _SIZE + length)]
            if crc32(told) != crc:
                break
            keep((sequence, epoch, told[_TOLD:], end + shift))
    if found and found[-1][3] - shift > len(data):
        # What is missing of it happens to have the right CRC.
        found.pop()
    return found, found[-1][3] - shift if found else at


def later_frame(data: bytes, at: int, epoch: int) -> int | None:
    """Where, beyond a place that is no frame, a whole frame of the epoch begins: then that place is damage.

    Without one it is a torn tail, which a crash leaves.
    """
    # Looked up by the epoch, which is the same in each frame of a segment, and not tried byte by byte.
    mark, found = struct.pack("<I", epoch), at + _SIZE - 4
    while (found := data.find(mark, found + 1)) >= 0:
        start = found - (_SIZE - 4)
        _, length, _, _ = _HEAD.unpack_from(data, start) if start + _SIZE <= len(data) else (0, 1 << 32, 0, 0)
        end = start + _SIZE + length
        if end <= len(data) and length <= MOST_BODY_BYTES and frames_in(data[start:end])[0]:
            return start
    return None
