"""Who plays a role in a system: the class of the object, the package it came with, and what pins that."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
    requires,
)
from inspect import getattr_static
from pathlib import Path
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, Final, TypeGuard, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest_l402
from pytest_l402.boundary.cleaning import CleanedWhenWritten

OURS: Final = "pytest-l402"
_PYTHON: Final = "python"
_BUILT: Final = "__pycache__"
_UNCHECKED: Final = b"\1\0\0\0"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_SEPARATORS: Final = re.compile(r"[-_.]+")
_MOST: Final = 50
"""How many objects one role is followed through: a wrapper can declare a new one for ever."""
_LEADING_ON: Final = (type, ModuleType, FunctionType, MethodType)
_NO_INSTANCE: Final = (type, ModuleType)
_NO_STRANGERS: Final = (pytest_l402.__name__, "builtins", "functools")
_INSTALLED_IN: Final = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Part:
    """Who plays a role: `name` is its class, or its host when it is reached over a network.

    `distribution` is None for what is in no installed package; then `file` says where it is written, if that
    is known. `ours` means that it is pytest-l402's, with no method replaced. `held_by` names the part that it
    was found in. `requests` says how often it was asked for something, as the system counts; None where it
    does not.
    """

    role: CleanedWhenWritten
    name: CleanedWhenWritten
    distribution: CleanedWhenWritten | None = None
    version: CleanedWhenWritten | None = None
    ours: bool = False
    file: CleanedWhenWritten | None = None
    held_by: CleanedWhenWritten | None = None
    requests: int | None = None


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return each part once, in order, with the most requests of all times at which it was looked at."""
    found: dict[Part, Part] = {}
    for part in parts:
        key = replace(part, requests=None)
        known = found.setdefault(key, part).requests
        found[key] = replace(part, requests=max(filter(_is_counted, (known, part.requests)), default=None))
    return tuple(found.values())


def _is_counted(requests: int | None) -> TypeGuard[int]:
    return requests is not None


def parts_of(role: str, player: object) -> tuple[Part, ...]:
    """Return who plays `role`: the class of `player`, then what it is made of.

    A wrapper says what it wraps by its attribute `wraps`: an object, a class, a module, or a tuple.
    One that is in no installed package and says nothing is looked into: its base classes and what its
    attributes hold, as far as that comes from somebody's package. One of ours is looked into as well: what it
    holds of anybody else's makes it not ours. A wrapper of our own is not listed.
    """
    return tuple(dict.fromkeys(_parts(role, player, None, set())))


def _parts(role: str, player: object, holder: str | None, seen: set[int]) -> Iterator[Part]:
    if id(player) in seen or len(seen) == _MOST:
        return
    seen.add(id(player))
    part = _part(role, player, holder)
    wrapped = _wrapped_by(player)
    if wrapped is not None:
        each = wrapped if isinstance(wrapped, tuple | list) else (wrapped,)
        inside = [found for one in each for found in _parts(role, one, part.name, seen)]
    elif part.distribution is None:
        inside = list(dict.fromkeys(_found_in(role, player, part.name)))
    else:
        inside = []
    strangers = list(_strangers_in(role, player, part.name)) if part.distribution == OURS else []
    inside += [stranger for stranger in strangers if stranger not in inside]
    if strangers and wrapped is None:
        part = replace(part, ours=False)
    if not (part.ours and inside):
        yield part
    yield from inside


def _wrapped_by(player: object) -> object:
    """What it declares; an attribute that `__getattr__` makes up for any name at all declares nothing."""
    if _class_attribute(type(player), "wraps") is None and "wraps" not in _attributes(player):
        return None
    try:
        return getattr(player, "wraps", None)
    except Exception:  # anybody's property
        return None


def _found_in(role: str, player: object, holder: str) -> Iterator[Part]:
    bases = () if _is(player, ModuleType) else _kind(player).__mro__[1:]
    for one in (*bases, *_attributes(player).values()):
        found = _part(role, one, holder)
        if found.distribution not in (None, _PYTHON, OURS):
            yield found


def _strangers_in(role: str, player: object, holder: str) -> Iterator[Part]:
    """What one of ours holds of anybody else's; what pytest-l402 itself requires is no stranger."""
    if _is(player, type) or _is(player, ModuleType):
        return
    methods = _methods(cast("Hashable", type(player)))
    for name, one in _attributes(player).items():
        # What Python itself brings is no stranger; a method that was replaced is told as such.
        if type(one).__module__ == "builtins" and not isinstance(one, _LEADING_ON):
            continue
        if name in methods:
            continue
        one = one.__self__ if isinstance(one, MethodType) else one
        if _is_ours_unaltered(one):
            continue
        found = _part(role, one, holder)
        if found.ours or found.distribution == _PYTHON:
            continue
        if found.distribution is None or _normal(found.distribution) not in _required():
            yield found


def _is_ours_unaltered(player: object) -> bool:
    # What nearly every attribute is; to name each as a part would take most of the time of a look.
    kind = type(player)
    return (
        kind.__module__.partition(".")[0] == pytest_l402.__name__
        and not issubclass(kind, _NO_INSTANCE)
        and next(_replaced_in(player, kind.__module__), None) is None
    )


def _part(role: str, player: object, holder: str | None) -> Part:
    if _is(player, ModuleType):
        name = module = str(_attributes(player).get("__name__"))
    elif isinstance(player, FunctionType):
        name, module = player.__name__, str(player.__module__)
    else:
        name, module = _kind(player).__name__, str(_kind(player).__module__)
    replaced = sorted({*_replaced_in(player, module), *_altered_in(_kind(player))})
    name = f"{name} with another {', '.join(replaced)}" if replaced else name
    top = module.partition(".")[0]
    if top == pytest_l402.__name__:
        return Part(role, name, OURS, pytest_l402.__version__, ours=not replaced, held_by=holder)
    file = getattr(sys.modules.get(module), "__file__", None)
    package, version = _came_from(module, file)
    shown = _shown(Path(file)) if package is None and file is not None else None
    return Part(role, name, package, version, file=shown, held_by=holder)


@cache
def _came_from(module: str, file: str | None) -> tuple[str | None, str | None]:
    """Return the distribution that a module came with, and its version; (None, None) for none."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__" and _came_with_python(module, file):
        return _PYTHON, platform.python_version()
    installed = None if file is None else _distribution_of(top, file)
    return (None, None) if installed is None else (installed.metadata["Name"], installed.version)


def _replaced_in(player: object, module: str) -> Iterator[str]:
    """The methods that this one object has from elsewhere, as after `monkeypatch.setattr(player, ...)`.

    What another package's own code puts into its own object is its own business.
    """
    if _is(player, type) or _is(player, ModuleType) or isinstance(player, FunctionType):
        return
    package = module.partition(".")[0]
    held = _attributes(player)
    for name in held.keys() & _methods(cast("Hashable", type(player))):
        value = held[name]
        if callable(value):
            origin = str(getattr_static(value, "__module__", None)).partition(".")[0]
            if package == pytest_l402.__name__ or origin != package:
                yield name


def _altered_in(kind: type[Any]) -> Iterator[str]:
    """The methods that a class of ours has from elsewhere, as after `monkeypatch.setattr(Gateway, ...)`."""
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] != pytest_l402.__name__:
            continue
        for name, value in vars(base).items():
            method = getattr(value, "__func__", getattr(value, "fget", value))
            # What Python makes for a class has such a name, and comes from anywhere.
            if callable(method) and not name.startswith("__"):
                told = method if isinstance(method, FunctionType) else type(method)
                if str(told.__module__).partition(".")[0] not in _NO_STRANGERS:
                    yield name


def _attributes(player: object) -> dict[str, Any]:
    """What the object itself holds, in its `__dict__` and in slots, without asking its `__getattr__`."""
    try:
        found = dict(object.__getattribute__(player, "__dict__"))
    except AttributeError:
        found = {}
    for name, slot in _slots(cast("Hashable", type(player))):
        try:
            found[name] = slot.__get__(player)
        except AttributeError:  # a slot without a value
            continue
    return found


@lru_cache(maxsize=512)
def _slots(kind: Hashable) -> tuple[tuple[str, MemberDescriptorType], ...]:
    assert isinstance(kind, type)
    members = ((name, member) for base in kind.__mro__ for name, member in vars(base).items())
    return tuple((name, member) for name, member in members if isinstance(member, MemberDescriptorType))


@lru_cache(maxsize=512)
def _methods(kind: Hashable) -> frozenset[str]:
    """Return the names under which a class or one of its bases has something that can be called."""
    assert isinstance(kind, type)
    names = dict.fromkeys(name for base in kind.__mro__ for name in vars(base))
    return frozenset(name for name in names if callable(_class_attribute(kind, name)))


def _class_attribute(kind: type[Any], name: str) -> object:
    """Return what a class or one of its bases has under a name, without asking any descriptor."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def _is(player: object, kind: type[Any]) -> bool:
    """Say of what kind it is, whatever its `__class__` pretends: a mock may have a spec."""
    return issubclass(type(player), kind)


def _kind(player: object) -> type[Any]:
    return player if isinstance(player, type) and _is(player, type) else type(player)


def _came_with_python(module: str, file: str | None) -> bool:
    """Say whether a module is the standard library's: a local file may have such a name, as `profile.py`."""
    if file is None:
        return module in sys.builtin_module_names
    path = Path(file).resolve()
    stdlib = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    return any(path.is_relative_to(folder) for folder in stdlib) and not set(_INSTALLED_IN) & set(path.parts)


@cache
def _required() -> frozenset[str]:
    """The distributions that pytest-l402 cannot run without, by their normal names."""
    needed = (text for text in requires(OURS) or () if "extra ==" not in text)
    return frozenset(_normal(_NAME.findall(text)[0]) for text in needed)


def _normal(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it: a requirement may write it otherwise."""
    return _SEPARATORS.sub("-", name).lower()


def _distribution_of(package: str, file: str) -> Distribution | None:
    """Return the distribution that installed this very file: a local module may have a package's name."""
    path = Path(file).resolve()
    for name in _may_have_brought(package):
        try:
            candidate = distribution(name)
        except (PackageNotFoundError, ValueError):
            continue
        editable = _edited_in(candidate)
        if editable is not None and path.is_relative_to(editable):
            return candidate
        if not set(_INSTALLED_IN) & set(path.parts):
            continue
        alike = (each for each in candidate.files or () if each.name == path.name)
        if any(Path(str(candidate.locate_file(each))).resolve() == path for each in alike):
            return candidate
    return None


def _may_have_brought(package: str) -> Iterator[str]:
    """Yield the names of distributions, its own first: who brings what is in the metadata of all of them."""
    yield package
    yield from packages_distributions().get(package, ())


def _edited_in(installed: Distribution) -> Path | None:
    """Return where the source lies that `pip install -e` installed, by PEP 610's direct_url.json."""
    try:
        told = json.loads(installed.read_text("direct_url.json") or "{}")
        if told.get("dir_info", {}).get("editable"):
            return Path(url2pathname(urlsplit(told["url"]).path)).resolve()
    except (ValueError, KeyError, AttributeError):  # an installer's file, of another form than it says
        pass
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

    Bytecode is left out where Python compares it with its source by time and size, and taken in where Python
    runs it unasked (PEP 552, unchecked). A file that was changed, added or taken away since the installation
    gives another digest. Raises `OSError`.
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
            yield from _files(entry.path, f"{prefix}{entry.name}/")
        elif not prefix.endswith(f"{_BUILT}/") or _is_unchecked(entry.path):
            yield prefix + entry.name, entry.path


def _is_unchecked(bytecode: str) -> bool:
    with open(bytecode, "rb", buffering=0) as file:  # noqa: PTH123
        return file.read(8)[4:] == _UNCHECKED
