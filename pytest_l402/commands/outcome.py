"""How the outcome of a command is told: one versioned document, or a text for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pytest_l402.commands.bad_input import plain

OK: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2
SCHEMA_VERSION: Final = "1"


class Outcome(NamedTuple):
    """What came of a command: the document, with `ok` first, and code and reason of each failure in order."""

    document: Mapping[str, Any]
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def exit_code(self) -> int:
        """0 only if what was asked for is true."""
        return OK if self.document["ok"] is True else FAILED


def refusal(code: str, message: str, more: Mapping[str, Any] | None = None) -> Outcome:
    """Return the outcome of a command that could not do its work: a document and no text but the message."""
    told = {"ok": False, "failureCode": code, "error": message}
    return Outcome(told | {key: value for key, value in (more or {}).items() if key not in told})


def diagnosed(document: Mapping[str, Any]) -> str:
    """Return the errors of the compiler that a document tells of, and the paywall where one is to blame."""
    errors = [row for row in document["diagnostics"] if row["severity"] == "error"]
    return ", ".join(
        dict.fromkeys(
            f"{row['code']} of {row['paywallId']}" if row.get("paywallId") else row["code"] for row in errors
        )
    )


def versioned(command: str, document: Mapping[str, Any]) -> str:
    """Return a document as one line of JSON that names its schema: `pytest-l402/`, and the command."""
    schema = f"pytest-l402/{command}".removesuffix("/")
    # ASCII only: no character of a foreign value can colour, hide or turn round what a terminal shows.
    return json.dumps({**document, "schema": schema, "schemaVersion": SCHEMA_VERSION}, separators=(",", ":"))


def complain(command: str, reason: str) -> None:
    """Print one line on standard error, if there is one."""
    if sys.stderr is not None:
        from pytest_l402.boundary import redact_text

        # Before escapes make of a secret something that does not look like one.
        print(f"{f'pytest-l402 {command}'.strip()}: {plain(redact_text(reason))}", file=sys.stderr)


def say_document(command: str, document: Mapping[str, Any]) -> None:
    """Print a document on standard output, without secrets."""
    from pytest_l402.boundary import redact_values

    print(versioned(command, redact_values(document)))


def say(text: str) -> None:
    """Print a text on standard output, without secrets and without what steers a terminal."""
    from pytest_l402.boundary import redact_text
    from pytest_l402.boundary.text_safety import steerless

    print(steerless(redact_text(text)))
