"""Tries other versions than those of constraints.txt, in a virtual environment that is thrown away.

    python3 tools/versions.py newest    the newest of everything: the fast tests run
    python3 tools/versions.py floors    the oldest that pyproject.toml allows: the rehearsals run

Prints what differs from constraints.txt, then how pytest ended, whose exit code it returns.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONSTRAINTS = REPOSITORY / "constraints.txt"

_FLOOR = re.compile(r"([\w.-]+)>=([\d.]+)[^;]*(;.*)?")


def floors() -> list[str]:
    """Return each floor of pyproject.toml as a constraint: what it says is enough, and nothing newer."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = chain(project["dependencies"], *project["optional-dependencies"].values())
    found = (_FLOOR.fullmatch(requirement) for requirement in needed)
    return [f"{match[1]}=={match[2]}{match[3] or ''}" for match in found if match]


def versions(lines: Iterable[str]) -> dict[str, str]:
    """Read lines of the form name==version; names compare as package indexes compare them."""
    pairs = (line.strip().partition("==")[::2] for line in lines if "==" in line)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def main(which: str) -> int:
    """Make the environment, print what moved, run the tests in it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        limits, tests = folder / "limits.txt", [REPOSITORY / "tests"]
        limits.write_text("")
        if which == "floors":
            limits.write_text("\n".join(floors()) + "\n")
            tests = ["-m", "rehearsal", f"--l402-artifact-dir={folder / 'output'}"]
        project = f"{REPOSITORY}[all]"
        subprocess.run([python, "-m", "pip", "install", "-q", "-c", limits, "-e", project], check=True)
        listed = [python, "-m", "pip", "list", "--format=freeze"]
        installed = subprocess.run(listed, check=True, stdout=subprocess.PIPE, text=True).stdout
        known = versions(CONSTRAINTS.read_text().splitlines())
        for name, version in sorted(versions(installed.splitlines()).items()):
            if name not in ("pip", "setuptools", "pytest-l402") and version != known.get(name):
                print(f"{name} {known.get(name, '(not in constraints.txt)')} -> {version}", flush=True)
        return subprocess.run([python, "-m", "pytest", *tests], cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:] not in (["newest"], ["floors"]):
        sys.exit(f"expected newest or floors, saw {' '.join(sys.argv[1:]) or 'nothing'}\n{__doc__}")
    sys.exit(main(sys.argv[1]))
