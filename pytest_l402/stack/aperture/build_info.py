"""What Go's linker wrote into a program about how it was built, read from its bytes alone."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAGIC: Final = b"\xff Go buildinf:"
_ALIGNMENT: Final = 16
_HEADER: Final = 32
_INLINE: Final = 2
"""The flag of Go 1.18 and later: the texts stand behind the header, each after its length."""
_AROUND: Final = 16
_LONGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """Which module a program was built of, in which version, by which Go; texts as the linker wrote them.

    A program of no module has its path in place of one, and no version.
    """

    go: str
    module: str
    version: str

    def __str__(self) -> str:
        return f"{self.module} {self.version}".rstrip() + f", built by {self.go}"


def build_info(program: Path) -> BuildInfo | None:
    """Return what a Go program says of its own build; None for a program that says nothing of it.

    Source: Go, debug/buildinfo. Raises `OSError` when it cannot be read.
    """
    with program.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _found(data)


def _found(data: mmap.mmap) -> BuildInfo | None:
    at = data.find(_MAGIC)
    while at >= 0 and at % _ALIGNMENT:
        at = data.find(_MAGIC, at + 1)
    if at < 0 or at + _HEADER > len(data) or not data[at + 15] & _INLINE:
        return None
    try:
        go, at = _text(data, at + _HEADER)
        module, _ = _text(data, at)
    except IndexError:
        return None
    # Marks stand around it, by which tools find it in a core dump.
    lines = module[_AROUND:-_AROUND].decode("utf-8", "replace").splitlines()
    told = {key: values for key, *values in (line.split("\t") for line in lines) if key in ("path", "mod")}
    name, version = (*told.get("mod", told.get("path", ())), "", "")[:2]
    return BuildInfo(go.decode("utf-8", "replace"), name, version)


def _text(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    """Return the text at a place, and where the next one is."""
    length = shift = 0
    while True:
        byte = data[at]
        at, length, shift = at + 1, length | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            break
    if length > _LONGEST or at + length > len(data):
        raise IndexError(at)
    return data[at : at + length], at + length
