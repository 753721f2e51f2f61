"""Decides how files from outside are read: in bounded memory, as UTF-8, every obstacle named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from pytest_l402.boundary.input_error import InputError

MAX_BYTES = 64 * 1024 * 1024
"""The longest line of a JSON Lines file, and the largest JSON document, in bytes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> str:
    """Return the text of the file at `path`, UTF-8 and not empty; a byte order mark is dropped.

    Raises:
        InputError: missing, unreadable, a directory, empty, larger than `limit` bytes, or not UTF-8.
    """
    with open_input(path) as stream:
        data = read_bytes(stream, limit + 1, path)
    if len(data) > limit:
        raise InputError.at(
            path,
            expected=f"a JSON document of at most {limit} bytes",
            seen="a larger one",
            remedy="write the records as JSON Lines, one a line",
        )
    text = decode_utf8(data.removeprefix(_BYTE_ORDER_MARK), path)
    if not text.strip():
        raise InputError.at(path, expected="a JSON document", seen="an empty file")
    return text


def read_lines(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield line number (from 1) and bytes of each line that is not blank, holding one line at a time.

    Raises:
        InputError: missing, unreadable, a directory, or a line longer than `limit` bytes.
    """
    with open_input(path) as stream:
        yield from lines_of(stream, path, limit)


class ReadsLines(Protocol):
    """A stream of bytes that can be read line by line."""

    def readline(self, size: int, /) -> bytes:
        """Return the next line, or its first `size` bytes; nothing at the end."""


def lines_of(
    stream: ReadsLines, source: str | os.PathLike[str], limit: int = MAX_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield what `read_lines` yields from a stream that is already open."""
    number = 0
    while True:
        try:
            data = stream.readline(limit + 1)
        except OSError as error:
            raise _unreadable(source, error) from None
        if not data:
            return
        number += 1
        if len(data) > limit and not data.endswith(b"\n"):
            raise InputError.at(
                source,
                line=number,
                expected=f"lines of at most {limit} bytes",
                seen="a longer one",
                remedy="write the records as JSON Lines, one a line (jq -c '.[]')",
            )
        if number == 1:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        if data.strip():
            yield number, data


def open_input(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open the file at `path` for reading bytes.

    Raises:
        InputError: missing, a directory, not permitted, or a name that no file can have.
    """
    try:
        if Path(path).is_dir():
            raise InputError.at(path, expected="a file", seen="a directory", remedy="name the file in it")
        return Path(path).open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError.at(
            path, expected="the name of a file", seen="a name with a null character"
        ) from None


def read_bytes(stream: IO[bytes], size: int, source: str | os.PathLike[str]) -> bytes:
    """Return at most `size` bytes from an open stream.

    Raises:
        InputError: the system cannot read it.
    """
    try:
        return stream.read(size)
    except OSError as error:
        raise _unreadable(source, error) from None


def decode_utf8(data: bytes, source: str | os.PathLike[str], line: int = 1) -> str:
    """Return `data` as text; `line` is the number of its first line.

    Raises:
        InputError: naming the line and the byte that is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        at = line + data.count(b"\n", 0, error.start)
        raise InputError.at(
            source,
            line=at,
            expected="UTF-8 text",
            seen=f"byte 0x{data[error.start]:02x} at offset {error.start}",
        ) from None


def _unreadable(path: str | os.PathLike[str], error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError.at(path, expected="a file", seen="nothing of that name", remedy="check the path")
    if isinstance(error, PermissionError):
        return InputError.at(path, expected="a readable file", seen="no permission to read it")
    return InputError.at(path, expected="a readable file", seen=error.strerror or type(error).__name__)
