"""Decides where segments lie and what reaches the disk when: a folder of the system, or one in memory."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, Protocol

__all__ = ["Disk", "Folder", "Images", "Segments", "segment_name"]

_NAME: Final = re.compile(r"(\d{8})\.log")


def segment_name(epoch: int) -> str:
    """The name of the file that holds an epoch."""
    return f"{epoch:08d}.log"


class Segments(Protocol):
    """What a reader needs: which segments there are, and their bytes."""

    def epochs(self) -> list[int]:
        """The epochs that have a segment, in order."""

    def open(self, epoch: int) -> BinaryIO:
        """A segment, to be read from its begin."""


class Disk(Segments, Protocol):
    """What a writer needs besides; each method is one call of the system, and raises `OSError`."""

    def create(self, epoch: int) -> int:
        """Make a segment that is not there yet, and return a descriptor; else `FileExistsError`."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Append bytes and return how many were taken; it may be fewer."""

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""

    def sync_epoch(self, epoch: int) -> None:
        """Return when all of another writer's segment is on the disk."""

    def cut(self, descriptor: int, size: int) -> None:
        """Take away what lies beyond a size."""

    def sync_folder(self) -> None:
        """Return when the names of the segments are on the disk."""

    def has(self, epoch: int) -> bool:
        """Whether a segment is there."""

    def close(self, descriptor: int) -> None:
        """Let go of a segment."""


class Folder:
    """Segments in a folder of the file system; other files in it are not looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def epochs(self) -> list[int]:
        """The epochs that have a segment, in order."""
        names = (path.name for path in self.path.iterdir())
        return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))

    def open(self, epoch: int) -> BinaryIO:
        """A segment, to be read from its begin."""
        return (self.path / segment_name(epoch)).open("rb", buffering=0)

    def create(self, epoch: int) -> int:
        """Make a segment that is not there yet."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.path / segment_name(epoch), flags, 0o600)

    def write(self, descriptor: int, data: bytes) -> int:
        """Append bytes and return how many were taken."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""
        os.fdatasync(descriptor)

    def sync_epoch(self, epoch: int) -> None:
        """Return when all of another writer's segment is on the disk."""
        with self.open(epoch) as file:
            os.fdatasync(file.fileno())

    def cut(self, descriptor: int, size: int) -> None:
        """Take away what lies beyond a size."""
        os.ftruncate(descriptor, size)

    def sync_folder(self) -> None:
        """Return when the names of the segments are on the disk."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def has(self, epoch: int) -> bool:
        """Whether a segment is there."""
        return (self.path / segment_name(epoch)).exists()

    def close(self, descriptor: int) -> None:
        """Let go of a segment."""
        with contextlib.suppress(OSError):
            os.close(descriptor)


class Images:
    """Segments as bytes in memory, such as a crash may have left them."""

    def __init__(self, images: Mapping[int, bytes]) -> None:
        self._images = images

    def epochs(self) -> list[int]:
        """The epochs that have a segment, in order."""
        return sorted(self._images)

    def open(self, epoch: int) -> BinaryIO:
        """A segment, to be read from its begin."""
        return BytesIO(self._images[epoch])
