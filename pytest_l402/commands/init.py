"""`init`: write a folder of rehearsals where it is called, and never over anything that is there."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pytest_l402.commands.bad_input import BadInput, Failed, shown
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out
from pytest_l402.commands.starters import ABOUT, known_runbooks, rehearsal_files, starter_files

FOLDER: Final = "rehearsals"
_ALL: Final = "all"
_REPLACE: Final = {
    "client": "put your client in the place of StarterClient: rehearsals/conftest.py",
    "gateway": "put your gateway in the place of StarterGateway: rehearsals/conftest.py",
    "own": "put your system in the place of Theatre, and your runbook's lines into the catalogue: "
    "rehearsals/conftest.py, rehearsals/catalogue.yaml",
    _ALL: "put a part of yours in with a conftest.py, and take what is not about you out of "
    "rehearsals/catalogue.yaml",
}
"""What is to be done next, by what was written."""

_EXIT_CODES: Final = """\
exit codes:
  0  it was written
  1  it could not be written to the end; nothing of it is left
  2  nothing was written: there is a folder of rehearsals already, or the arguments cannot be used
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Write the folder `rehearsals` into this folder: a starter for a client, for a gateway or for a\n"
        "system of your own, with a part that passes at once and waits to be replaced by yours; or all\n"
        "rehearsals of the five runbooks. What is there already is never touched."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "what", nargs="?", default=_ALL, metavar="WHAT", help=f"{', '.join(ABOUT)}, or {_ALL} (default)"
    )
    parser.add_argument(
        "--runbook",
        action="append",
        default=[],
        metavar="NAME",
        help="with all: the rehearsals of this runbook alone; may be given more than once",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Write the folder, tell what is in it, and return the exit code."""
    return carry_out(
        "init", lambda: _init(given.what, given.runbook, Path(FOLDER)), as_json=given.json, text=_text
    )


def _init(what: str, runbooks: Sequence[str], folder: Path) -> Outcome:
    from pytest_l402.boundary.text_safety import suggestion

    choices = (*ABOUT, _ALL)
    if what not in choices:
        raise BadInput(
            f"expected one of {', '.join(choices)}, saw {shown(what)}{suggestion(what, choices)}",
            "invalid_arguments",
        )
    if runbooks and what != _ALL:
        raise BadInput(f"--runbook: expected {_ALL}, saw {what}; leave one of them out", "invalid_arguments")
    known = known_runbooks()
    for name in runbooks:
        if name not in known:
            raise BadInput(
                f"--runbook: expected one of {', '.join(known)}, saw {shown(name)}{suggestion(name, known)}",
                "invalid_arguments",
            )
    if folder.is_symlink() or folder.exists():
        raise BadInput(
            f"expected no {folder} in this folder, saw one, and nothing is written over it; move it away, or "
            "call init in another folder",
            "already_there",
        )
    files = rehearsal_files(runbooks) if what == _ALL else starter_files(what)
    _write(files, folder)
    return Outcome(
        {
            "ok": True,
            "what": what,
            "files": [f"{folder}/{path}" for path in files],
            "run": "pytest -m rehearsal",
            "next": _REPLACE[what],
        }
    )


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write all of it under another name first: half a folder of rehearsals would be no rehearsal."""
    try:
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
        try:
            for path, content in files.items():
                file = staged / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            staged.chmod(0o755)
            # A folder that somebody made meanwhile is replaced only if it is empty.
            staged.rename(folder)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    except OSError as error:
        raise Failed(
            f"{folder}: expected a folder that can be written, saw {error.strerror or error}; nothing "
            "is left of it",
            "not_written",
        ) from None


def _text(command: str, outcome: Outcome) -> str:
    document = outcome.document
    lines = [f"wrote {len(document['files'])} files:", *(f"  {file}" for file in document["files"])]
    return "\n".join([*lines, f"now:  {document['run']}", f"then: {document['next']}"])
