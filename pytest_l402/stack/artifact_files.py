"""Decides how an artifact reaches the disk: whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_document(path: Path, document: Mapping[str, Any]) -> Path:
    """Write one JSON document, indented by two blanks and ending in LF, and return the path."""
    return _replace(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a text as it is, in UTF-8, and return the path."""
    return _replace(path, text)


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write JSON Lines, compact, each ending in LF, and return the path."""
    lines = (json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    return _replace(path, "".join(lines))


def _replace(path: Path, text: str) -> Path:
    """Write to a temporary name in the same folder, flush to the disk, rename, and flush the folder.

    Raises `OSError`; the file that was there before is then untouched and no temporary one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp gives 0600; an artifact is there to be read by others.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # A file system that cannot flush a folder has done what it can.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path
