"""Where the rehearsals and the starters are that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest_l402


def shipped(folder: str) -> Path:
    """Return `rehearsals` or `starters`: a wheel has them inside of the package, a clone beside it."""
    package = Path(pytest_l402.__file__).parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
