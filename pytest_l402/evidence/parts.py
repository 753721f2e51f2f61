"""Who plays a role in a system: the class of the object, the package it came with, and what pins that."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest_l402
from pytest_l402.boundary.cleaning import CleanedWhenWritten

OURS: Final = "pytest-l402"
_PYTHON: Final = "python"
_BUILT: Final = "__pycache__"
_INSTALLED_IN: Final = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Part:
    """Who plays a role: `name` is its class, or its host when it is reached over a network.

    `distribution` is None for what is in no installed package; then `file` says where it is written, if that
    is known. `ours` means that it is pytest-l402's, with no method replaced. `held_by` names the part that it
    was found in.
    """

    role: CleanedWhenWritten
    name: CleanedWhenWritten
    distribution: CleanedWhenWritten | None = None
    version: CleanedWhenWritten | None = None
    ours: bool = False
    file: CleanedWhenWritten | None = None
    held_by: CleanedWhenWritten | None = None


def parts_of(role: str, player: object) -> tuple[Part, ...]:
    """Return who plays `role`: the class of `player`, then what it is made of.

    A wrapper says what it wraps by its attribute `wraps`: an object, a class, a module, or a tuple.
    One that is in no installed package and says nothing is looked into: its base classes and what its
    attributes hold, as far as that comes from somebody's package. A wrapper of our own is not listed.
    """
    return tuple(_parts(role, player, None, set()))


def _parts(role: str, player: object, holder: str | None, seen: set[int]) -> Iterator[Part]:
    if id(player) in seen:
        return
    seen.add(id(player))
    part = _part(role, player, holder)
    wrapped = getattr(player, "wraps", None)
    if wrapped is not None:
        each = wrapped if isinstance(wrapped, tuple | list) else (wrapped,)
        inside = [found for one in each for found in _parts(role, one, part.name, seen)]
    elif part.distribution is None:
        inside = list(dict.fromkeys(_found_in(role, player, part.name)))
    else:
        inside = []
    if not (part.ours and inside):
        yield part
    yield from inside


def _found_in(role: str, player: object, holder: str) -> Iterator[Part]:
    bases = () if isinstance(player, ModuleType) else _kind(player).__mro__[1:]
    for one in (*bases, *getattr(player, "__dict__", {}).values()):
        found = _part(role, one, holder)
        if found.distribution not in (None, _PYTHON, OURS):
            yield found


def _part(role: str, player: object, holder: str | None) -> Part:
    if isinstance(player, ModuleType):
        name, module = player.__name__, player.__name__
    else:
        name, module = _kind(player).__name__, _kind(player).__module__
    top = module.partition(".")[0]
    if top == pytest_l402.__name__:
        replaced = sorted(_replaced_in(player))
        name = f"{name} with another {', '.join(replaced)}" if replaced else name
        return Part(role, name, OURS, pytest_l402.__version__, ours=not replaced, held_by=holder)
    if top in sys.stdlib_module_names and top != "__main__":
        return Part(role, name, _PYTHON, platform.python_version(), held_by=holder)
    file = getattr(sys.modules.get(module), "__file__", None)
    installed = None if file is None else _distribution_of(top, file)
    if installed is None:
        return Part(role, name, file=None if file is None else _shown(Path(file)), held_by=holder)
    return Part(role, name, installed.metadata["Name"], installed.version, held_by=holder)


def _replaced_in(player: object) -> Iterator[str]:
    """The methods that this one object has from elsewhere, as after `monkeypatch.setattr(player, ...)`."""
    if not isinstance(player, type | ModuleType):
        for name, value in getattr(player, "__dict__", {}).items():
            if callable(value) and callable(getattr(type(player), name, None)):
                yield name


def _kind(player: object) -> type[Any]:
    return player if isinstance(player, type) else type(player)


@cache
def _distribution_of(package: str, file: str) -> Distribution | None:
    """Return the distribution that installed this very file: a local module may have a package's name."""
    path = Path(file).resolve()
    if not set(_INSTALLED_IN) & set(path.parts):
        return None
    for name in packages_distributions().get(package, ()):
        candidate = distribution(name)
        if any(Path(str(candidate.locate_file(each))).resolve() == path for each in candidate.files or ()):
            return candidate
    return None


def _shown(path: Path) -> str:
    """No machine's own layout belongs in a sign-off: below the working folder, else the last two names."""
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-2:])).as_posix()


@cache
def own_digest() -> str:
    """Return what pins pytest-l402 as it runs here, whatever an index said of it; read once a process."""
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
