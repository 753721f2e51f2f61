"""Decides which program `--l402-gateway` names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

KIND: Final = "aperture"


class UnusableProgramError(ValueError):
    """A program that cannot play: what was expected of it, and what to do; or one line that says so."""

    def __init__(self, expected: str, remedy: str, said: str = "") -> None:
        super().__init__(said or f"--l402-gateway: expected {expected}, saw none; {remedy}")
        self.expected = expected
        self.remedy = remedy


def program_named(text: str, base: Path) -> Path:
    """Return the program that `aperture:PATH` names, from the folder `base`; `aperture` is the shell's.

    Raises:
        UnusableProgramError: it is not there, is no file, or may not be run.
    """
    kind, colon, name = text.partition(":")
    if kind != KIND or (colon and not name.strip()):
        raise UnusableProgramError(f"{KIND}, or {KIND}:PATH", "name the program that is to play the gateway")
    found = shutil.which(KIND) if not colon else None
    if not colon and found is None:
        raise UnusableProgramError(f"a program {KIND} in PATH", f"install it, or write {KIND}:PATH")
    path = Path(os.path.abspath(base / Path(found or name).expanduser()))  # noqa: PTH100 - a link may be the name
    if not path.is_file():
        raise UnusableProgramError("a program that is there", "correct the path")
    if not os.access(path, os.X_OK):
        raise UnusableProgramError("a program that may be run", "make it executable: chmod +x")
    return path
