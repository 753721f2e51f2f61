"""Decides how a file reaches the disk: whole or not at all, JSON for people and JSON Lines for programs."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


class Staged:
    """A file that is whole and on the disk, under a name that nobody looks for."""

    def __init__(self, temporary: Path, path: Path) -> None:
        self._temporary = temporary
        self._path = path

    def name_it(self) -> None:
        """Give the file its own name, in place of what had it before; raises `OSError`."""
        self._temporary.replace(self._path)


@contextlib.contextmanager
def staged_whole(path: Path, data: bytes) -> Iterator[Staged]:
    """Write `data` to a temporary name in the folder of `path`, which must be there, and flush it.

    A file that was not named when the block ends is removed. Raises `OSError`, and leaves no temporary file.
    """
    # Not after the name of the file: that may be as long as a name can be.
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp gives 0600; these files are there to be read by others.
        temporary.chmod(0o644)
        yield Staged(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to a temporary name in the same folder, flush, rename, flush the folder; makes the folder.

    Raises `OSError`, and then leaves what was there before, and no temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged_whole(path, data) as staged:
        staged.name_it()
    flush_folder(path.parent)


def write_document(path: Path, document: Mapping[str, Any]) -> Path:
    """Write one JSON document, indented by two blanks and ending in LF, and return the path."""
    return write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a text as it is, in UTF-8, and return the path."""
    write_whole(path, text.encode())
    return path


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write JSON Lines, compact, each ending in LF, and return the path."""
    lines = (json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    return write_text(path, "".join(lines))


def flush_folder(folder: Path) -> None:
    """Put the names of a folder on the disk; a file system that cannot do that has done what it can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
