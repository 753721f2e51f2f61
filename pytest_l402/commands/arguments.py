"""What a command was asked to do: command line and environment, checked before anything is begun."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_l402.commands.bad_input import BadInput, shown
from pytest_l402.commands.modes import MODE_VARIABLE, Mode, resolve_mode, silent_mock
from pytest_l402.commands.outcome import complain

DEFAULT_FOLDER: Final = Path("output")
LOCAL_ARTIFACT: Final = "l402-local-node-smoke-artifact.json"

EXIT_CODES: Final = """\
exit codes:
  0  what was asked for is true
  1  it is not; failureCode says why, and the artifacts show it
  2  arguments, environment, a file or a deployed system cannot be used; nothing was begun
  128 + n  interrupted by signal n; what was begun is undone
"""


class Arguments(NamedTuple):
    """What every command may be asked, and what only some are; None is the default of those.

    `faults` are for mock mode, `environ` for live mode; `wait_s` is in seconds. `injected` gets a row for
    each fault, with what became of it, once the command has worked.
    """

    command: str
    mode: Mode
    artifact_dir: Path
    artifact_dir_given: bool
    allow_live_changes: bool
    faults: tuple[str, ...]
    environ: Mapping[str, str]
    injected: list[dict[str, Any]]
    request_id: str | None = None
    image_digest: str | None = None
    state_dir: Path | None = None
    wait_s: float = 0.0
    local_artifact: Path | None = None
    allow_missing_local_artifact: bool = False


_SHARED: Final = (
    (
        "--mode MODE",
        "mock (default), or live; convex, khala and api are names of live that say what the control plane "
        f"speaks [{MODE_VARIABLE}]",
    ),
    ("--artifact-dir DIR", "folder for artifacts (default: output); also filled after a failure"),
)
_DEPLOYS: Final = "reconcile"
_DEPLOY: Final = (
    ("--request-id ID", "id of the run: 1 to 128 ASCII characters, no blanks"),
    ("--image-digest DIGEST", "image the gateway has to run: sha256: and 64 hex digits"),
    (
        "--state-dir DIR",
        "folder for the history of deployments and the lock (mock: in memory; live: <artifact "
        "dir>/lightning-ops/state)",
    ),
)


def add_values(parser: argparse.ArgumentParser, options: Iterable[tuple[str, str]]) -> None:
    """Add options that take a value: each as `--name METAVAR`, and its help."""
    for option, text in options:
        flag, metavar = option.split(" ", 1)
        parser.add_argument(flag, metavar=metavar, help=text)


def add_faults(parser: argparse.ArgumentParser, text: str) -> None:
    """Add `--fault`, which may be given more than once."""
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[:VALUE]", help=text)


def add_shared_arguments(parser: argparse.ArgumentParser, description: str) -> None:
    """Add what every command but triage and serve takes."""
    parser.description = description
    parser.epilog = EXIT_CODES
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_values(parser, _SHARED)
    parser.add_argument(
        "--allow-live-changes",
        action="store_true",
        help="live mode: also do what changes the deployed system; announced first, undone if it fails",
    )
    add_faults(parser, "mock mode: let a part of the stack misbehave, to see the command fail; see below")


def add_deploy_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be ordered of a deploy."""
    add_values(parser, _DEPLOY)
    parser.add_argument(
        "--wait", metavar="SECONDS", type=_seconds, default=0.0, help="wait for another reconcile to end"
    )


def add_local_artifact_arguments(parser: argparse.ArgumentParser) -> None:
    """Add with what a full flow compares the hosted path."""
    parser.add_argument(
        "--local-artifact",
        metavar="FILE",
        help="local-node artifact to compare with by key (default: "
        f"<artifact dir>/{LOCAL_ARTIFACT} if there is one, else the one of this run, by value)",
    )
    parser.add_argument(
        "--allow-missing-local-artifact",
        action="store_true",
        help="go on without that file; other checks stay",
    )


def read_arguments(given: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Arguments:
    """Check what a command is asked; what it does not take has its default.

    Raises:
        BadInput: a mode that does not exist or contradicts the command's name, a folder that cannot be one, a
            fault in live mode, a request id with a secret in it, a reconcile of which nobody knows what it is
            to touch.
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
    folder = _usable_folder("--artifact-dir", given.artifact_dir)
    if folder is None:
        _usable_folder("--artifact-dir", str(DEFAULT_FOLDER))
    others = vars(given)
    _refuse_secret("--request-id", others.get("request_id"))
    if fixed is None and (meant := silent_mock(given.mode, environ)):
        _tell_of_mock(given.command, meant)
    return Arguments(
        command=given.command,
        mode=mode,
        artifact_dir=folder or DEFAULT_FOLDER,
        artifact_dir_given=folder is not None,
        allow_live_changes=given.allow_live_changes,
        faults=tuple(given.fault),
        environ=environ,
        injected=[],
        request_id=others.get("request_id"),
        image_digest=others.get("image_digest"),
        state_dir=_usable_folder("--state-dir", others.get("state_dir")),
        wait_s=others.get("wait", 0.0),
        local_artifact=usable_path("--local-artifact", others.get("local_artifact")),
        allow_missing_local_artifact=others.get("allow_missing_local_artifact", False),
    )


def _tell_of_mock(command: str, meant: str) -> None:
    """Say what a run without a mode does not touch. Raises `BadInput` for one that is to deploy."""
    if command == _DEPLOYS:
        raise BadInput(
            f"--mode: expected one of two ways, as {meant} is set: --mode live --allow-live-changes deploys "
            "to the system that the environment names, --mode mock rehearses on the stand-in stack; saw none",
            "mode_missing",
        )
    complain(
        command,
        f"{meant} is set, but no --mode: this is the stand-in stack, nothing deployed is touched; "
        "--mode live is the deployed system",
    )


def _refuse_secret(origin: str, value: str | None) -> None:
    """Raise `BadInput` for an id that holds a secret: it would be in every record, and name a folder."""
    from pytest_l402.boundary import redact_text

    if value is not None and redact_text(value) != value:
        raise BadInput(f"{origin}: expected an id, saw a secret in it; leave it out")


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


def _usable_folder(origin: str, value: str | None) -> Path | None:
    """Return a folder that is there or can be made. Raises `BadInput` when it cannot be written to."""
    folder = usable_path(origin, value)
    if folder is None:
        return None
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
    return folder


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 600:
        raise argparse.ArgumentTypeError(f"expected 0 to 600 seconds, saw {text[:40]!r}")
    return value
