"""Decides how a deployed billing service is asked, and the books of its owner: each with a time-out."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pytest_l402.harness.child_process import ChildProcess, ChildProcessFailed

__all__ = ["Books", "DeployedBillingError", "ServiceAtUrl", "document_of", "values_of"]

_WAIT_S: Final = 5.0
_COUNT_S: Final = 30.0
_MOST_BYTES: Final = 1 << 20
_MOST_DIGITS: Final = 18
_MOST_LINES: Final = 5


class DeployedBillingError(RuntimeError):
    """Something that a drill needs of a deployed service is not there; one line that says what."""


class ServiceAtUrl:
    """A service at a URL, and the token of its administrator, which stands in `variable`.

    Raises:
        DeployedBillingError: there is no such token.
    """

    def __init__(self, url: str, variable: str | None, environment: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self.token = None if variable is None else environment.get(variable)
        if variable is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise DeployedBillingError(
                f"billing drill: expected the token of an administrator in {variable}, saw "
                f"{'one that is no header' if self.token else 'none'}; set it"
            )

    @property
    def host(self) -> str:
        """Host and port."""
        return self._url.netloc

    def ask(
        self, method: str, path: str, document: object = None, *, token: str | None = None
    ) -> tuple[int, str]:
        """Ask once, with a token or without; returns the status, 0 for no answer, and up to 1 MiB of body."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = kind(self._url.netloc, timeout=_WAIT_S)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, self._url.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(_MOST_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException, UnicodeError):
            # The last of them for a host that is no name.
            return 0, ""
        finally:
            connection.close()


class Books:
    """The owner's own count of effects: a command that is given an id, and prints how often it had one."""

    def __init__(self, command: str | None) -> None:
        self._command = command if command is not None and command.strip() else None

    @property
    def are_there(self) -> bool:
        """Whether there is a command."""
        return self._command is not None

    def expect(self) -> str:
        """Return the command. Raises `DeployedBillingError` if there is none."""
        if self._command is None:
            raise DeployedBillingError(
                "billing drill: expected --l402-count-cmd=CMD, which prints how often an id had its effect, "
                "saw none; only your own books can say it"
            )
        return self._command

    def count(self, name: str) -> int:
        """Ask for an id; raises `DeployedBillingError` for anything but one whole number and exit code 0."""
        try:
            words = shlex.split(self.expect())
            with ChildProcess([*words, name], env=dict(os.environ), name=words[0]) as process:
                line = process.line(_COUNT_S)
                with contextlib.suppress(ChildProcessFailed):
                    # Up to its end: what stands below a number may say that it is none.
                    for _ in range(_MOST_LINES):
                        line += f" {process.line(_COUNT_S)}"
                line = line.strip()
                ended = process.stop(_COUNT_S)
        except (ChildProcessFailed, ValueError) as error:
            raise DeployedBillingError(f"billing drill: --l402-count-cmd: {error}") from None
        if not (line.isascii() and line.isdigit() and len(line) <= _MOST_DIGITS) or ended.exit_code != 0:
            raise DeployedBillingError(
                f"billing drill: expected --l402-count-cmd to print one whole number and exit with 0, saw "
                f"{line[:80]!r} and {ended}; mend {words[0]}"
            )
        return int(line)


def document_of(text: str) -> dict[str, Any]:
    """The JSON object of a text, or an empty one."""
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(document := json.loads(text), dict):
            return document
    return {}


def values_of(text: str) -> dict[str, float]:
    """The samples without labels of OpenMetrics or Prometheus text.

    What is no finite number is left out, and what is told twice and not alike.
    """
    found: dict[str, set[float]] = {}
    for line in text.splitlines():
        words = line.split()
        if words and not line.startswith("#"):
            found.setdefault(words[0], set()).add(_number(words[1] if len(words) > 1 else ""))
    return {name: min(told) for name, told in found.items() if len(told) == 1 and abs(min(told)) < 1e300}


def _number(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
