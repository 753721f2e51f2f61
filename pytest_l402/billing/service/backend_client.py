"""Decides what an answer of the backend means: done, not done, not there, or not known."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import quote, urlsplit

__all__ = ["BackendClient"]

_DONE: Final = (200, 409)


class BackendClient:
    """Asks the backend that finalizes and settles; one connection a call, nothing tried twice."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._address = urlsplit(url).netloc
        self._timeout_s = timeout_s

    def reason_against(self, path: str, document: dict[str, Any]) -> str | None:
        """Post something; None if it is done, now or before; else why it is not, or may not be."""
        status = self._ask("POST", path, document)
        return None if status in _DONE else (status if isinstance(status, str) else f"status {status}")

    def has(self, entry: str) -> bool | None:
        """Whether the backend knows an entry; None if it does not say."""
        return {200: True, 404: False}.get(self._ask("GET", f"/entries/{quote(entry, safe='')}"))  # type: ignore[arg-type]

    def is_healthy(self) -> bool:
        """Whether its health endpoint answers 200."""
        return self._ask("GET", "/health") == 200

    def _ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> int | str:
        connection = http.client.HTTPConnection(self._address, timeout=self._timeout_s)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return connection.getresponse().status
        except TimeoutError:
            return "timeout"
        except (OSError, http.client.HTTPException):
            return "refused"
        finally:
            connection.close()
