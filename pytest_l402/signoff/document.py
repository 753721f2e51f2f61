"""Decides what `signoff.json` says: the one versioned record from which every other report of a run is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_l402.signoff.verdict import SignOff


@dataclass(frozen=True, slots=True)
class SystemUnderRehearsal:
    """What was rehearsed. `digest` pins it ("sha256:<hex>", a commit); None is said plainly as "not pinned"."""

    name: str
    mode: str
    version: str
    digest: str | None = None


SignOffDocument = Any  # becomes the pydantic model; attributes: kind, verdict, reasons, run, rehearsals, waivers


def build_document(sign_off: SignOff, *, system: SystemUnderRehearsal, versions: Mapping[str, str]) -> SignOffDocument:
    """Return the document of a judged run; every text in it is redacted and printable."""
    raise NotImplementedError


def read_signoff(path: Path) -> SignOffDocument:
    """Read and check `signoff.json` (or `refusal.json`, `drill.json`); `path` may be the run folder."""
    raise NotImplementedError
