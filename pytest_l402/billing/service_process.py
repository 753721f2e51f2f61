"""Decides how an instance of the service runs and is asked: a process of its own, reached only by HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from pytest_l402.billing.processes import ForkedProcess, Zygote
from pytest_l402.billing.settings import ServiceSettings
from pytest_l402.harness.deadline import now_s

__all__ = ["Answer", "ServiceProcess"]

Row = dict[str, Any]
_ADMIN = "ADMIN_TOKEN"


class Answer:
    """What a request was answered: the status, 0 if there was none, and the document."""

    def __init__(self, status: int, document: Row, text: str, elapsed_ms: float) -> None:
        self.status, self.document, self.text, self.elapsed_ms = status, document, text, elapsed_ms

    @property
    def code(self) -> str | None:
        """The code of an error."""
        code = self.document.get("error")
        return code if isinstance(code, str) else None


class ServiceProcess:
    """One instance; `secrets` are its admin tokens by name, `told` hears of each request and its answer."""

    process: ForkedProcess

    def __init__(
        self,
        settings: ServiceSettings,
        treasury: str,
        secrets: Mapping[str, str],
        told: Callable[[str, str, str, Answer], None],
        *,
        treasury_elsewhere: str | None = None,
    ) -> None:
        self.settings, self._secrets, self._told = settings, secrets, told
        elsewhere = treasury_elsewhere or treasury
        self._environment = {"TREASURY_ADDRESS": treasury, "FINN_TREASURY_ADDRESS": elsewhere, **secrets}

    @property
    def instance(self) -> str:
        """What this instance is called."""
        return self.settings.instance

    def start(self, zygote: Zygote) -> Self:
        """Start it; returns when it answers. Raises `ChildProcessFailed`."""
        self.process, self.url = zygote.instance(self.settings, self._environment)
        return self

    def get(self, path: str, *, token: str | None = _ADMIN) -> Answer:
        """Ask by GET."""
        return self._ask("GET", path, None, token)

    def post(
        self, path: str, document: Mapping[str, Any] | None = None, *, token: str | None = _ADMIN
    ) -> Answer:
        """Ask by POST."""
        return self._ask("POST", path, document or {}, token)

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None, token: str | None) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10.0)
        headers = {"Content-Type": "application/json"}
        if token is not None and "/admin/" in path:
            headers["Authorization"] = f"Bearer {self._secrets.get(token, token)}"
        begun = now_s()
        status, text = 0, ""
        try:
            connection.request(method, path, None if document is None else json.dumps(document), headers)
            response = connection.getresponse()
            status, text = response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            text = ""
        finally:
            connection.close()
        answer = Answer(status, _document(text), text, (now_s() - begun) * 1000)
        self._told(self.instance, method, path, answer)
        return answer


def _document(text: str) -> Row:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
