"""Decides what `SHA256SUMS` lists: every file of a run folder, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

MANIFEST: Final = "SHA256SUMS"
_CHUNK: Final = 1 << 20
_ESCAPES: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"))


class ManifestError(ValueError):
    """A run folder that cannot be listed, or a manifest that is not in the form of `sha256sum`; one line."""


def file_digest(path: Path) -> tuple[str, int]:
    """Return the SHA-256 (lower hex) and the size in bytes of a file; raises `OSError`."""
    digest, size = hashlib.sha256(), 0
    # Unbuffered: the files of a run are many and small, and each is read in one piece.
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def manifest_bytes(run_folder: Path, pending: Mapping[str, bytes] | None = None) -> bytes:
    """Return the manifest of a run folder, sorted by path; the manifest itself is not in it.

    `pending` holds files that are about to be written, by name: they are listed as they will be. Raises
    `ManifestError` for anything but a file or a folder: what a link points to is not evidence of this run.
    """
    digests = {name: file_digest(run_folder / name)[0] for name in _files(run_folder)}
    digests |= {name: hashlib.sha256(data).hexdigest() for name, data in (pending or {}).items()}
    lines = []
    for name, digest in sorted(digests.items()):
        escaped = name
        for char, replacement in _ESCAPES:
            escaped = escaped.replace(char, replacement)
        lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def read_manifest(run_folder: Path) -> dict[str, str]:
    """Return path to digest as `SHA256SUMS` has it; raises `ManifestError` if it is missing or malformed."""
    file = run_folder / MANIFEST
    try:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise _unreadable(file, "manifest", error) from error
    listed: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        escaped = line.startswith("\\")
        digest, separator, name = line[escaped:].partition("  ")
        if not separator or len(digest) != 64 or set(digest) - set("0123456789abcdef") or not name:
            raise ManifestError(
                f"{file}:{number}: expected '<64 hex>  <path>' as sha256sum writes it, saw another form"
            )
        name = _unescape(name) if escaped else name
        if name in listed:
            raise ManifestError(f"{file}:{number}: expected each path once, saw {name!r} again")
        listed[name] = digest
    return listed


def check_manifest(run_folder: Path) -> tuple[str, ...]:
    """Return one sentence for each file that is missing, changed or not listed; empty if the folder is as
    it was.

    Raises `ManifestError` if there is no manifest to compare with.
    """
    listed = read_manifest(run_folder)
    present = set(_files(run_folder))
    faults = []
    for name, digest in sorted(listed.items()):
        if name not in present:
            faults.append(f"{name}: listed but not there")
        elif file_digest(run_folder / name)[0] != digest:
            faults.append(f"{name}: changed since it was listed")
    faults.extend(f"{name}: there but not listed" for name in sorted(present - listed.keys()))
    return tuple(faults)


def _files(run_folder: Path) -> Iterator[str]:
    yield from (name for name in _below(run_folder, "") if name != MANIFEST)


def _below(folder: str | Path, prefix: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise _unreadable(folder, "folder", error) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield prefix + entry.name
        else:
            raise ManifestError(
                f"{entry.path}: expected only files and folders in a run folder, saw a link or a device"
            )


def _unreadable(place: str | Path, what: str, error: OSError) -> ManifestError:
    return ManifestError(f"{place}: expected a readable {what}, saw: {error.strerror or error}")


def _unescape(name: str) -> str:
    unescaped, rest = "", name
    while rest:
        for char, escape in _ESCAPES:
            if rest.startswith(escape):
                unescaped, rest = unescaped + char, rest[len(escape) :]
                break
        else:
            unescaped, rest = unescaped + rest[0], rest[1:]
    return unescaped
