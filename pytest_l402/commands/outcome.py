"""Decides how the outcome of a command is told: a document, an exit code, one line for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

OK: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2


class Outcome(NamedTuple):
    """What came of a command: the `document` it prints, with `ok` first, and in one line why it failed."""

    document: Mapping[str, Any]
    reason: str | None = None

    @property
    def exit_code(self) -> int:
        """0 only if what was asked for is true."""
        return OK if self.document["ok"] is True else FAILED


def refusal(code: str, message: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the document of a command that could not do its work."""
    told = {"ok": False, "failureCode": code, "error": message}
    return told | {key: value for key, value in (more or {}).items() if key not in told}


def tell(command: str, document: Mapping[str, Any], reason: str | None, *, as_json: bool) -> None:
    """Print a document, and for people one line on standard error if there is a reason to.

    Standard output is JSON on one line, or a line `key=value` for each key, with lists and objects as JSON.
    Raises `OSError` when it cannot be written.
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    if as_json:
        print(_compact(document))
    else:
        for key, value in document.items():
            print(f"{key}={value if isinstance(value, str) and _is_plain(value) else _compact(value)}")
    sys.stdout.flush()
    if reason is not None:
        complain(command, reason)


def complain(command: str, reason: str) -> None:
    """Print one line on standard error, if there is one."""
    if sys.stderr is not None:
        print(f"{f'pytest-l402 {command}'.strip()}: {plain(reason)}", file=sys.stderr)


def plain(text: str) -> str:
    """Return the text on one line, with whatever could colour, hide or turn round what is shown escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _compact(value: object) -> str:
    # ASCII only: no character of a foreign value can colour, hide or turn round what a terminal shows.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable()
