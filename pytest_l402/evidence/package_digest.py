"""What pins a package as it is installed here: the content of its files, not what an index once said."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest_l402

_BUILT = "__pycache__"


@cache
def own_digest() -> str:
    """Return what pins pytest-l402 as it runs here; read once a process."""
    return package_digest(Path(pytest_l402.__file__).parent)


def package_digest(folder: Path) -> str:
    """Return "sha256:" and 64 hex digits over name and content of every file below `folder`.

    Bytecode is left out, as Python makes it anew from the rest. A file that was changed, added or taken away
    since the installation gives another digest. Raises `OSError`.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_files(os.fspath(folder), "")):
        # Unbuffered: the files are many and small.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            content = file.readall()
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"


def _files(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            if entry.name != _BUILT:
                yield from _files(entry.path, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.path
