"""Decides what `SHA256SUMS` lists: every file of a run folder, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pytest_l402.boundary.text_safety import printable

MANIFEST: Final = "SHA256SUMS"
APPROVALS: Final = "approvals"
"""The folder of a run that holds what people put their names to after it; no manifest lists it."""

_CHUNK: Final = 1 << 16
_ESCAPES: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"))
_SPECIAL: Final = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class ManifestError(ValueError):
    """A run folder that cannot be listed, or a manifest that is not in the form of `sha256sum`; one line."""


class Contents(NamedTuple):
    """What a folder holds: the paths of its files below it, sorted, and one sentence for all else."""

    files: tuple[str, ...]
    strangers: tuple[str, ...]


def file_digest(path: str | Path) -> tuple[str, int]:
    """Return the SHA-256 (lower hex) and the size in bytes of a file; raises `OSError`."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(path):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def read_file(path: Path) -> bytes:
    """Return what is in a file; raises `OSError`, also for what is no file."""
    return b"".join(_chunks(path))


def _chunks(path: str | Path) -> Iterator[bytes]:
    # Not blocking: a pipe that was put in a file's place has nobody at its other end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"what lies there is no file: {printable(Path(path).name)}")
        # Most files of a run are smaller than that: one read has all of them.
        while chunk := os.read(descriptor, _CHUNK):
            yield chunk
            if len(chunk) < _CHUNK:
                break
    finally:
        os.close(descriptor)


def contents(folder: Path) -> Contents:
    """Return every file of a folder, at any depth, and what cannot be evidence of a run: links, pipes,
    sockets, devices, folders that cannot be read.

    What a link points to is not of this run, and what is read from a pipe is gone.
    """
    files: list[str] = []
    strangers: list[str] = []
    pending = [("", os.fspath(folder))]
    while pending:
        prefix, place = pending.pop()
        try:
            entries = list(os.scandir(place))
        except OSError as error:
            strangers.append(
                f"{printable(prefix or place)}: expected a readable folder, saw: {error.strerror or error}"
            )
            continue
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{path}/", entry.path))
            elif entry.is_file(follow_symlinks=False):
                files.append(path)
            else:
                strangers.append(f"{shown_path(path)}: expected a file or a folder, saw {_kind(entry)}")
    return Contents(tuple(sorted(files)), tuple(sorted(strangers)))


def digests_of(run_folder: Path, pending: Mapping[str, bytes] | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file of a run folder that a manifest lists, by its path.

    `pending` holds files that are about to be written, by name: they count as they will be. What is
    neither file nor folder does not: see `contents`. Raises `ManifestError` for a file that cannot be read.
    """
    pending = pending or {}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in pending.items()}
    for name in _listable(contents(run_folder).files):
        if name not in pending:
            digests[name] = _digest(run_folder, name)
    return digests


def manifest_bytes(run_folder: Path) -> bytes:
    """Return the manifest of a run folder as it is; raises `ManifestError` for a file that cannot be read."""
    return manifest_of(digests_of(run_folder))


def manifest_of(digests: Mapping[str, str]) -> bytes:
    """Return the manifest that lists these digests by path, sorted; the manifest itself is not in it."""
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
        text = read_file(file).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ManifestError(
            f"{file}: expected a readable manifest, saw: {error.strerror or error}"
        ) from error
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
            raise ManifestError(f"{file}:{number}: expected each path once, saw {shown_path(name)} again")
        listed[name] = digest
    return listed


def check_manifest(run_folder: Path) -> tuple[str, ...]:
    """Return one sentence for all that is missing, changed or not listed, and for what no manifest can list;
    empty if the folder is as it was.

    Raises `ManifestError` if there is no manifest to compare with.
    """
    found = contents(run_folder)
    listed = read_manifest(run_folder)
    present = set(_listable(found.files))
    faults = []
    for name, digest in sorted(listed.items()):
        if name not in present:
            faults.append(f"{shown_path(name)}: listed but not there")
        elif _digest(run_folder, name) != digest:
            faults.append(f"{shown_path(name)}: changed since it was listed")
    faults.extend(f"{shown_path(name)}: there but not listed" for name in sorted(present - listed.keys()))
    return (*faults, *found.strangers)


def is_text(name: str) -> bool:
    """Whether a name is Unicode text, and so can stand in a document."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_approval(name: str) -> bool:
    """Whether a path of a run folder is that of a signature that somebody put to the run after its end."""
    folder, _, file = name.partition("/")
    return folder == APPROVALS and file.endswith(".sig") and "/" not in file


def shown_path(path: str) -> str:
    """Return a path of a run folder as it can be told: on one line, bytes that are no text as `\\xff`."""
    # Backslashes of the name itself are doubled, so that two names never look the same.
    doubled = path.replace("\\", "\\\\")
    return printable(os.fsencode(doubled).decode("utf-8", "backslashreplace"), limit=4096)


def _listable(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name != MANIFEST and not is_approval(name))


def _digest(run_folder: Path, name: str) -> str:
    try:
        return file_digest(f"{os.fspath(run_folder)}/{name}")[0]
    except OSError as error:
        raise ManifestError(
            f"{shown_path(name)}: expected a readable file, saw: {error.strerror or error}"
        ) from error


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return "something that cannot be looked at"
    return next((name for is_kind, name in _SPECIAL if is_kind(mode)), "something else")


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
