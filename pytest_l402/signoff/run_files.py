"""Decides how what attests a run is called, and where runs and their records lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

EVIDENCE: Final = "evidence"
"""The folder of a run that holds what its tests left."""

PREVIOUS: Final = "previous"
"""The folder beside the run folders that holds the runs before the current one."""

STATEMENT: Final = "statement.json"
"""The run as an in-toto statement; its bytes are what is signed."""

TEST_RESULT: Final = "test-result.json"
"""What became of the tested system, as an in-toto statement; there only if the system is pinned."""

PUBLIC_KEY: Final = "signer.pem"
"""The public half of the key that signed, as SPKI in PEM; there only in a signed run."""


def envelope_of(statement: str) -> str:
    """Return the name of the DSSE envelope of a statement."""
    return statement.replace(".json", ".dsse.json")


def bundle_of(statement: str) -> str:
    """Return the name of the Sigstore bundle of a statement."""
    return statement.replace(".json", ".sigstore.json")


STATEMENTS: Final = (STATEMENT, TEST_RESULT)

ATTESTATIONS: Final = (
    *STATEMENTS,
    *(name(statement) for statement in STATEMENTS for name in (envelope_of, bundle_of)),
    PUBLIC_KEY,
)
"""The files that speak of all the others, and so are no subject of a statement."""

_RECORD: Final = ".verification.json"


def record_of(run_folder: Path) -> Path:
    """Return where the record of a verification lies: beside the folder, which it must not change."""
    place = run_folder.resolve()
    return place.with_name(f"{place.name}{_RECORD}")


_RUN: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(?:\.\d+)?")


def runs_in(folder: Path) -> list[Path]:
    """Return what has the name of a run, the latest first."""
    if not folder.is_dir():
        return []
    entries = sorted(folder.iterdir(), reverse=True)
    return [each for each in entries if _RUN.fullmatch(each.name) and each.is_dir() and not each.is_symlink()]
