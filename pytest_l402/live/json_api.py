"""Decides what counts as a JSON answer of a deployed system, and which requests are asked twice."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import httpx

from pytest_l402.boundary import InputError, parse_json, quoted
from pytest_l402.live.bounded_transport import Bounds, ReplyTooLarge, ReplyTooSlow
from pytest_l402.live.live_error import LiveError

Json: TypeAlias = Mapping[str, Any] | None
Headers: TypeAlias = Mapping[str, str] | None

_AGAIN: Final = frozenset({"unreachable", "timeout", "status_502", "status_503", "status_504"})
_CODE: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_CODE_LIMIT: Final = 60
# As with credentials of roles: what is shorter may be a word of any answer.
_SECRET_LENGTH: Final = 16


class JsonApi:
    """One deployed system that speaks JSON. Reads are tried again after each pause, changes never.

    Bodies may hold the system's secret, so neither they nor answers to them are ever shown or logged.
    `secrets` are not even shown where a system echoes them as an error code. `change_client` sends the
    changes, where these may take longer than reads.
    """

    def __init__(
        self,
        client: httpx.Client,
        name: str,
        *,
        secrets: Collection[str] = (),
        change_client: httpx.Client | None = None,
        pauses_s: Sequence[float] = Bounds().pauses_s,
    ) -> None:
        self._client = client
        self._change_client = change_client if change_client is not None else client
        self._name = name
        self._secrets = tuple(secret.lower() for secret in secrets)
        self._pauses_s = tuple(pauses_s)

    def read(self, method: str, url: str, *, json: Json = None, headers: Headers = None) -> Any:
        """Return the document of a request that changes nothing. Raises `LiveError`."""
        for pause_s in self._pauses_s:
            try:
                return self._exchange(self._client, method, url, json, headers)
            except LiveError as error:
                if error.code not in _AGAIN:
                    raise
                time.sleep(pause_s)
        return self._exchange(self._client, method, url, json, headers)

    def change(self, method: str, url: str, *, json: Json, headers: Headers = None) -> Any:
        """Return the document of a request that changes something; it is sent once. Raises `LiveError`."""
        return self._exchange(self._change_client, method, url, json, headers)

    def where(self, url: str) -> str:
        """Return how a URL is named in messages: without user part and query."""
        parts = urlsplit(url)
        return f"{self._name} {parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def shown_code(self, error: object) -> str | None:
        """Return the stable code of an error answer if it may be shown; texts may echo what was sent."""
        code = error.get("code") if isinstance(error, dict) else error
        if not isinstance(code, str) or len(code) > _CODE_LIMIT or _CODE.fullmatch(code) is None:
            return None
        return None if any(secret in code or code in secret for secret in self._secrets) else code

    def _exchange(self, client: httpx.Client, method: str, url: str, json: Json, headers: Headers) -> Any:
        where = self.where(url)
        try:
            response = client.request(method, url, json=json, headers=dict(headers or {}))
        except httpx.RequestError as error:
            raise _unreachable(where, error) from None
        if response.is_redirect:
            raise LiveError(
                where,
                code="redirected",
                expected="an answer from this host",
                seen=f"a redirect ({response.status_code}) to {_target(response)}",
                remedy="check the URL; redirects are never followed, because credentials would go along",
            )
        if not response.is_success:
            raise LiveError(
                where,
                code=f"status_{response.status_code}",
                expected="status 2xx",
                seen=f"{response.status_code}{self._error_code(response)}",
                remedy=_REMEDIES.get(response.status_code, "see the system's own log for this request"),
            )
        if any(secret in response.text.lower() for secret in self._secrets if len(secret) >= _SECRET_LENGTH):
            # What it holds would reach messages and artifacts.
            raise LiveError(
                where,
                code="secret_repeated",
                expected="an answer of the system",
                seen="one with a secret of ours in it",
                remedy="check the URL: something there repeats what it is sent",
            )
        return _document(where, response)

    def _error_code(self, response: httpx.Response) -> str:
        """The code of an error answer, in one of the known forms."""
        try:
            document = parse_json(response.content.decode("utf-8"), "error answer")
        except (UnicodeDecodeError, InputError):
            return ""
        code = self.shown_code(document.get("error")) if isinstance(document, dict) else None
        return f" {code}" if code else ""


_REMEDIES: Final = {
    401: "check OA_LIGHTNING_OPS_SECRET or the ops token",
    403: "check OA_LIGHTNING_OPS_SECRET or the ops token",
    404: "check the URL: this path is not served there",
}


def _target(response: httpx.Response) -> str:
    location = response.headers.get("location")
    if not location:
        return "a place it does not name"
    try:
        return quoted(urlsplit(location).hostname or "another path")
    except ValueError:
        return "no place that is a URL"


def _document(where: str, response: httpx.Response) -> Any:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        text = response.content.decode("utf-8")
        return parse_json(text, where)
    except (UnicodeDecodeError, InputError):
        raise LiveError(
            where,
            code="not_json",
            expected="a JSON document",
            seen=f"{len(response.content)} bytes of {quoted(kind or 'unknown type')} that are none",
            remedy="check the URL: a web page or a proxy may answer in the system's place",
        ) from None


def _unreachable(where: str, error: httpx.RequestError) -> LiveError:
    code, seen = _kind_of(error)
    return LiveError(
        where,
        code=code,
        expected="an answer",
        seen=seen,
        remedy="check the URL and whether the system is up"
        if code != "tls"
        else "check its certificate and the URL",
    )


def _kind_of(error: httpx.RequestError) -> tuple[str, str]:
    if isinstance(error, ReplyTooLarge):
        return "reply_too_large", f"a reply of {error}"
    if isinstance(error, ReplyTooSlow):
        return "timeout", f"a reply that was {error}"
    if isinstance(error, httpx.TimeoutException):
        return "timeout", "none in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls", f"a TLS error ({cause.reason or 'no reason given'})"
        cause = cause.__cause__ or cause.__context__
    return "unreachable", f"none ({type(error).__name__})"
