"""Which state of their project the rehearsals of a run are pinned to, and what speaks against any."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.signoff.document import ProjectPin

if TYPE_CHECKING:
    from pytest_l402.plugin.settings import Settings

_CONFTEST: Final = "conftest.py"
_READ_BY_PYTEST: Final = (".py", ".toml", ".ini", ".cfg")
"""How the files end that pytest imports or may take its options from, wherever in the project they lie."""
_ELSEWHERE: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""What would let git speak of another repository than the one that the project lies in."""
_PATIENCE_S: Final = 10


def used_files(config: pytest.Config, settings: Settings, nodeids: Iterable[str]) -> tuple[Path, ...]:
    """Return the files of the project on which the run certainly rested, each as an absolute path.

    The ini file, the catalogue, the waivers, every module of these tests, each conftest.py above it, and
    each that pytest has loaded here, wherever it lies.
    """
    root = config.rootpath
    modules = {root / nodeid.partition("::")[0] for nodeid in nodeids}
    folders = {folder for module in modules for folder in module.parents if folder.is_relative_to(root)}
    named = (config.inipath, settings.catalogue, settings.waivers)
    loaded = (getattr(plugin, "__file__", None) for plugin in config.pluginmanager.get_plugins())
    conftests = {
        *(folder / _CONFTEST for folder in folders),
        *(Path(file) for file in loaded if isinstance(file, str) and file.endswith(_CONFTEST)),
    }
    return tuple(
        sorted({path for path in (*named, *modules, *conftests) if path is not None and path.is_file()})
    )


def pin_of(folder: Path, files: Iterable[Path]) -> ProjectPin:
    """Return the commit of a working tree that is as it was committed, else why no commit names it.

    A file that is in no commit is a change, whether git ignores it or not, if pytest reads it: `files`, and
    whatever else lies in the whole working tree that pytest may import or take options from. A commit that
    was not what ran would be worse than none.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}

    def git(place: Path, *arguments: str) -> list[str]:
        done = subprocess.run(
            ["git", "-C", str(place), *arguments],
            capture_output=True,
            # The name of a file need not be text.
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_PATIENCE_S,
            check=True,
            env=environment,
        )
        return done.stdout.split("\0")[:-1] if "-z" in arguments else done.stdout.splitlines()

    here = folder.resolve()
    try:
        (shown_top,) = git(here, "rev-parse", "--show-toplevel")
        top = Path(shown_top)
        (commit,) = git(here, "rev-parse", "--verify", "HEAD")
        status = git(top, "status", "--porcelain", "-z", "--untracked-files=no", "--ignore-submodules=none")
        others = git(top, "ls-files", "-z", "--others", "--exclude-standard")
        tracked = [entry.split(" ", 1) for entry in git(top, "ls-files", "-v", "-z")]
    except FileNotFoundError:
        return ProjectPin(None, "git is not installed")
    except subprocess.CalledProcessError:
        return ProjectPin(None, "no git commit holds them")
    except subprocess.TimeoutExpired:
        return ProjectPin(None, f"git gave no answer within {_PATIENCE_S} seconds")
    except (OSError, ValueError) as error:
        return ProjectPin(None, f"git could not be asked ({type(error).__name__})")
    known = {top / name for _, name in tracked}
    # Lower case is "assume unchanged", S is "skip the worktree"; a sparse checkout leaves such files out.
    hidden = [name for tag, name in tracked if (tag.islower() or tag == "S") and (top / name).exists()]
    # A folder among them is a repository of its own, whose files git does not list.
    added = {top / name for name in others if name.endswith((*_READ_BY_PYTEST, "/"))}
    strangers = added | ({path.resolve() for path in files} - known)
    for what, names in (
        ("changed since the commit", [entry[3:] for entry in status]),
        ("changes are hidden from git", hidden),
        ("in no commit", sorted(_shown(path, here) for path in strangers)),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return ProjectPin(None, f"{what}: {_text(names[0])}{more}")
    return ProjectPin(f"git:{commit}")


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
