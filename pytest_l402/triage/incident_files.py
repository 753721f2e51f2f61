"""Decides which files an on-call means, and what comes out of one: packed or not, in whatever encoding."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import os
import select
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from pytest_l402.boundary import InputError
from pytest_l402.boundary.input_files import open_input
from pytest_l402.triage.line_feed import ReadsBytes

STANDARD_INPUT: Final = "-"
PIPE_PATIENCE_S: Final = 10.0
"""How long a named pipe may stay silent, in seconds, before it is given up."""

_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".json-seq", ".log", ".gz", ".zst")
_ENCODINGS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


@dataclass(slots=True)
class Source:
    """One file to read; `in_folder` if only its folder was named: then it need not hold records.

    Once it is open, `is_plain` says that it is a file of `size` bytes and is read as it is.
    """

    name: str
    in_folder: bool = False
    size: int = 0
    is_plain: bool = False
    notes: list[str] = field(default_factory=list)


def sources(names: tuple[str, ...]) -> Iterator[Source | InputError]:
    """Yield what the names stand for: files, `-`, the matches of a pattern, the files of a folder."""
    for name in names:
        if name == STANDARD_INPUT:
            yield Source(name)
        elif Path(name).is_dir():
            yield from _of_folder(name)
        elif glob.has_magic(name) and not Path(name).exists():
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - a pattern with any root
            yield from (Source(match) for match in matches if not Path(match).is_dir())
            if not matches:
                yield InputError.at(
                    name,
                    expected="files that the pattern matches",
                    seen="none",
                    remedy="check the path",
                )
        else:
            yield Source(name)


def _of_folder(name: str) -> Iterator[Source | InputError]:
    try:
        files = sorted(path for path in Path(name).rglob("*") if path.is_file())
    except OSError as error:
        yield InputError.at(name, expected="a folder that can be read", seen=error.strerror or "none")
        return
    wanted = [path for path in files if path.name.endswith(_ENDINGS)]
    yield from (Source(str(path), in_folder=True) for path in wanted)
    if not wanted:
        yield InputError.at(
            name,
            expected=f"a folder with files of records ({', '.join(_ENDINGS)})",
            seen=f"a directory with {len(files)} other files" if files else "a directory that is empty",
            remedy="name the files, or the folder that holds them",
        )


@contextmanager
def opened(source: Source) -> Iterator[ReadsBytes]:
    """Open a source and yield what is in it as UTF-8, unpacked; what had to be done is noted on it.

    Raises:
        InputError: it cannot be opened, stays silent, or is packed in a way that cannot be undone here.
    """
    with _raw(source) as stream:
        head = stream.peek(4096)[:4096]
        try:
            if head.startswith(b"\x1f\x8b"):
                source.notes.append("unpacked from gzip")
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    yield _recoded(io.BufferedReader(unpacked), source)
            elif head.startswith(_ZSTD):
                source.notes.append("unpacked from zstd")
                yield _recoded(io.BufferedReader(_zstd(stream, source.name)), source)
            else:
                text = _recoded(stream, source)
                source.is_plain = text is stream and source.size > 0
                yield text
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError.at(
                source.name,
                expected="a whole gzip file",
                seen=f"one that is damaged or cut off ({error})",
                remedy="get it again; what came before the damage is judged",
            ) from None
        except UnicodeError:
            raise InputError.at(
                source.name,
                expected="text in the encoding that its byte order mark names",
                seen="other bytes",
                remedy="write it anew as UTF-8",
            ) from None


@contextmanager
def _raw(source: Source) -> Iterator[io.BufferedReader[Any]]:
    if source.name == STANDARD_INPUT:
        piped_in = io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))
        yield piped_in
        piped_in.detach()
        return
    if _is_pipe(source.name):
        descriptor = os.open(source.name, os.O_RDONLY | os.O_NONBLOCK)
        with io.BufferedReader(_PatientPipe(descriptor, source.name)) as piped:
            yield piped
        return
    with open_input(source.name) as stream:
        source.size = size = os.fstat(stream.fileno()).st_size
        if not size:  # a device, or nothing at all
            yield cast("io.BufferedReader[Any]", stream)
            return
        with io.BufferedReader(_UpTo(stream, size), 1 << 20) as bounded:
            yield bounded
        if os.fstat(stream.fileno()).st_size > size:
            source.notes.append("was written to while it was read: what came later is not in here")


class _UpTo(io.RawIOBase):
    """A file as long as it was when it was opened: one that grows for ever has an end all the same."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _is_pipe(name: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(name).stat().st_mode)
    except (OSError, ValueError):
        return False


class _PatientPipe(io.RawIOBase):
    """A named pipe that is given up when nobody writes into it for a while."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # Until somebody opens it for writing, poll() says nothing at all.
        if not self._poll.poll(PIPE_PATIENCE_S * 1000):
            raise InputError.at(
                self._name,
                expected=f"a pipe into which somebody writes within {PIPE_PATIENCE_S:.0f} s",
                seen="silence",
                remedy="start what writes into it first, or name a file",
            )
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _zstd(stream: IO[bytes], name: str) -> io.RawIOBase:
    try:
        from compression.zstd import ZstdFile  # type: ignore[import-not-found,unused-ignore]

        return cast(io.RawIOBase, ZstdFile(stream))
    except ImportError:
        pass
    try:
        from backports.zstd import ZstdFile  # type: ignore[import-not-found,unused-ignore,no-redef]

        return cast(io.RawIOBase, ZstdFile(stream))
    except ImportError:
        raise InputError.at(
            name,
            expected="a file that can be unpacked here",
            seen="zstd, for which this Python has no module",
            remedy="install pytest-l402[audit], or unpack it: zstd -dc FILE | pytest-l402 triage -",
        ) from None


def _recoded(stream: io.BufferedReader[Any], source: Source) -> ReadsBytes:
    head = stream.peek(4096)[:4096]
    for mark, encoding in _ENCODINGS:
        if head.startswith(mark):
            source.notes.append(f"read as {encoding.upper()}")
            return _Recoded(stream, encoding)
    if head[:1].strip(b"\0") and head[1:2] == b"\0" and head[3:4] == b"\0":
        source.notes.append("read as UTF-16, although no byte order mark says so")
        return _Recoded(stream, "utf-16-le")
    return stream


class _Recoded:
    """Text in another encoding as UTF-8."""

    def __init__(self, stream: io.BufferedReader[Any], encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="\n")
        self._text.reconfigure(errors="strict")

    def read1(self, size: int = -1, /) -> bytes:
        return self._text.read(size).encode("utf-8", "surrogatepass")
