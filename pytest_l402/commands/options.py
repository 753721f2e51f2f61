"""Decides what a command was asked to do: command line and environment, checked before anything is begun."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.modes import MODE_VARIABLE, Mode, resolve_mode
from pytest_l402.commands.outcome import plain

DEFAULT_FOLDER = Path("output")

EXIT_CODES = """\
exit codes:
  0  what was asked for is true
  1  it is not; failureCode says why, and the artifacts show it
  2  arguments, environment, a file or a deployed system cannot be used; nothing was begun
  128 + n  interrupted by signal n; what was begun is undone
"""


class Options(NamedTuple):
    """What every command may be asked; `faults` are for mock mode, `environ` for live mode."""

    command: str
    as_json: bool
    mode: Mode
    artifact_dir: Path
    artifact_dir_given: bool
    allow_live_changes: bool
    faults: tuple[str, ...]
    environ: Mapping[str, str]


def add_shared_arguments(parser: argparse.ArgumentParser, description: str) -> None:
    """Add what every command but triage takes."""
    parser.description = description
    parser.epilog = EXIT_CODES
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of key=value lines"
    )
    parser.add_argument(
        "--mode",
        metavar="MODE",
        help="mock (default), or live; convex, khala and api are names of live "
        f"that say what the control plane speaks [{MODE_VARIABLE}]",
    )
    parser.add_argument(
        "--artifact-dir",
        metavar="DIR",
        help="folder for artifacts (default: output); also filled after a failure",
    )
    parser.add_argument(
        "--allow-live-changes",
        action="store_true",
        help="live mode: also do what changes the deployed system; announced first, undone if it fails",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[:VALUE]",
        help="mock mode: let a part of the stack misbehave, to see the command fail; may be given twice",
    )


def read_options(given: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Options:
    """Check what every command is asked.

    Raises:
        BadInput: a mode that does not exist or contradicts the command's name, a folder that cannot be one, a
            fault in live mode.
    """
    environ = os.environ if environ is None else environ
    mode = resolve_mode(given.mode, environ)
    fixed: Mode | None = given.fixed_mode
    if fixed is not None:
        if given.mode is not None and mode is not fixed:
            raise BadInput(
                f"--mode: expected {fixed} with {given.command}, saw {mode}; leave it out", "unknown_mode"
            )
        mode = fixed
    if given.fault and mode.is_live:
        raise BadInput(
            "--fault: expected --mode mock, saw a live mode; a deployed system has its own", "bad_fault"
        )
    folder = usable_path("--artifact-dir", given.artifact_dir)
    check_folder("--artifact-dir", folder or DEFAULT_FOLDER)
    return Options(
        command=given.command,
        as_json=given.json,
        mode=mode,
        artifact_dir=folder or DEFAULT_FOLDER,
        artifact_dir_given=folder is not None,
        allow_live_changes=given.allow_live_changes,
        faults=tuple(given.fault),
        environ=environ,
    )


def usable_path(origin: str, value: str | None) -> Path | None:
    """Return the path, or None when none was given. Raises `BadInput` when it is blank or no path."""
    if value is None:
        return None
    if not value.strip():
        raise BadInput(f"{origin}: expected a path, saw a blank value; set it, or leave it out")
    if "\0" in value:
        raise BadInput(f"{origin}: expected a path, saw a NUL in it; correct it")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{origin}: expected a path, saw {shown(value)} ({error}); correct it") from None


def check_folder(origin: str, folder: Path) -> None:
    """Refuse a folder that is none and cannot be made, or cannot be written to. Raises `BadInput`."""
    nearest = folder
    try:
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        seen = None if nearest.is_dir() else "which is no folder"
        if seen is None and not os.access(nearest, os.W_OK | os.X_OK):
            seen = "which cannot be written to"
    except OSError as error:
        seen = f"which cannot be used ({error.strerror})"
    if seen is not None:
        raise BadInput(f"{origin}: expected a folder to write to, saw {shown(nearest)}, {seen}; name another")


def shown(value: object) -> str:
    """Return a value from outside as a message may hold it: short and quoted."""
    text = str(value)
    return plain(repr(text if len(text) <= 80 else text[:80] + "..."))
