"""How a worker reaches the seller, the wallet and the log of points: one kept connection a thread."""

from __future__ import annotations

import http.client
import json
import os
import threading
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from pytest_l402.protocol import Preimage, format_credential, parse_challenges, preferred


class MadeToFail(RuntimeError):  # noqa: N818 - the name of the condition
    """The drill wants this body to fail at this point."""


class OutsideClient:
    """The outside at a base URL; what it raises is an error of the step that called it."""

    def __init__(self, url: str, identity: dict[str, Any]) -> None:
        self._address = urlsplit(url).netloc
        self._identity = identity
        self._kept = threading.local()

    def at(self, point: str, workflow_id: str, **more: Any) -> None:
        """Say that this worker is at a point, and wait until told to go on.

        Raises:
            MadeToFail: the drill wants this body to fail here.
        """
        call = {"workflowID": workflow_id, "point": point, "pid": os.getpid(), **self._identity, **more}
        if self._json("POST", "/points", call)["do"] == "fail":
            raise MadeToFail(f"made to fail at {point}")

    def ask(self) -> tuple[str, str]:
        """Ask for the goods without a credential; return macaroon and invoice of the challenge."""
        status, headers, _ = self._exchange("GET", "/premium", None, {})
        if status != 402:
            raise RuntimeError(f"GET /premium: expected 402, saw {status}; see what the seller sells")
        challenge = preferred(parse_challenges(headers.get_all("WWW-Authenticate", [])))
        return challenge.macaroon_base64, challenge.invoice

    def pay(self, key: str | None, workflow_id: str, macaroon: str, invoice: str) -> dict[str, str]:
        """Have the wallet pay, or find what it paid under this key before."""
        body = {"key": key, "workflowID": workflow_id, "macaroon": macaroon, "invoice": invoice}
        return self._json("POST", "/wallet/payments", body)

    def fetch(self, paid: dict[str, str]) -> str:
        """Ask for the goods with the credential; return the SHA-256 of what was delivered."""
        credential = format_credential(paid["macaroon"], Preimage.from_hex(paid["preimage"]))
        status, _, body = self._exchange("GET", "/premium", None, {"Authorization": credential})
        if status != 200:
            raise RuntimeError(f"GET /premium with a credential: expected 200, saw {status}; see the payment")
        return sha256(body).hexdigest()

    def _json(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        status, _, answer = self._exchange(method, path, json.dumps(body), headers)
        if status != 200:
            raise RuntimeError(f"{method} {path}: expected 200, saw {status}; see the drill")
        document: dict[str, Any] = json.loads(answer)
        return document

    def _exchange(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            # Without a timeout: who is held waits until the drill lets it go on.
            connection = self._kept.connection = http.client.HTTPConnection(self._address)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except OSError:
            connection.close()
            self._kept.connection = None
            raise
