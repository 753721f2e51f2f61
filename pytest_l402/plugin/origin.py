"""Decides which state of the project a run is pinned to."""

from __future__ import annotations

from pathlib import Path


def commit_of(folder: Path) -> str | None:
    """Return "git:<commit>" of a clean working tree; None without git, a repository, or with changes.

    A module that is in no commit is a change: pytest imports whatever lies there.
    A changed tree has no name, and a commit that was not what ran would be worse than none.
    """
    import subprocess

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--verify", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
        added = git("ls-files", "--others", "--exclude-standard", "--", "*.py")
        return None if changed or added else f"git:{commit}"
    except (OSError, subprocess.SubprocessError):
        return None
