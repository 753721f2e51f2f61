"""Decides how an artifact is written: JSON for people, JSON Lines for programs, text as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_l402.boundary.whole_files import write_whole


def write_document(path: Path, document: Mapping[str, Any]) -> Path:
    """Write one JSON document, indented by two blanks and ending in LF, and return the path."""
    return write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a text as it is, in UTF-8, and return the path."""
    write_whole(path, text.encode())
    return path


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write JSON Lines, compact, each ending in LF, and return the path."""
    lines = (json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    return write_text(path, "".join(lines))
