"""Which state of their project the rehearsals of a run are pinned to, and what speaks against any."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.signoff.document import ProjectPin

if TYPE_CHECKING:
    from pytest_l402.plugin.settings import Settings

_READ_BY_PYTEST: Final = ("*.py", "*.toml", "*.ini", "*.cfg")
"""What pytest imports or may take its options from, wherever in the project it lies."""


def used_files(config: pytest.Config, settings: Settings, nodeids: Iterable[str]) -> tuple[Path, ...]:
    """Return the files of the project on which the run certainly rested, each as an absolute path.

    The ini file, the catalogue, the waivers, every module of these tests and each conftest.py above it.
    """
    root = config.rootpath
    modules = {root / nodeid.partition("::")[0] for nodeid in nodeids}
    folders = {folder for module in modules for folder in module.parents if folder.is_relative_to(root)}
    named = (config.inipath, settings.catalogue, settings.waivers)
    conftests = (folder / "conftest.py" for folder in folders)
    return tuple(
        sorted({path for path in (*named, *modules, *conftests) if path is not None and path.is_file()})
    )


def pin_of(folder: Path, files: Iterable[Path]) -> ProjectPin:
    """Return the commit of a working tree that is as it was committed, else why no commit names it.

    A file that is in no commit is a change, whether git ignores it or not, if pytest reads it: `files`, and
    whatever else lies there that pytest may import or take options from. A commit that was not what ran would
    be worse than none.
    """

    def git(place: Path, *arguments: str) -> list[str]:
        done = subprocess.run(
            ["git", "-C", str(place), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.split("\0")[:-1] if "-z" in arguments else done.stdout.splitlines()

    here = folder.resolve()
    try:
        top = Path(*git(here, "rev-parse", "--show-toplevel"))
        (commit,) = git(here, "rev-parse", "--verify", "HEAD")
        changed = [entry[3:] for entry in git(top, "status", "--porcelain", "-z", "--untracked-files=no")]
        added = git(here, "ls-files", "-z", "--others", "--exclude-standard", "--", *_READ_BY_PYTEST)
        known = {top / name for name in git(top, "ls-files", "-z")}
    except FileNotFoundError:
        return ProjectPin(None, "git is not installed")
    except (OSError, ValueError, subprocess.SubprocessError):
        return ProjectPin(None, "no git commit holds them")
    strangers = {here / name for name in added} | {path.resolve() for path in files} - known
    for what, names in (
        ("changed since the commit", changed),
        ("in no commit", sorted(_shown(path, here) for path in strangers)),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return ProjectPin(None, f"{what}: {names[0]}{more}")
    return ProjectPin(f"git:{commit}")


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
