"""Decides what counts as a JSON answer of a deployed system, and which requests are asked twice."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from pytest_l402.contract import InputError, parse_json, quoted

from .bounded_transport import ReplyTooLarge, ReplyTooSlow
from .live_error import LiveError

ATTEMPTS: Final = 3
_PAUSES_S: Final = (0.2, 0.8)
_AGAIN: Final = frozenset({502, 503, 504})


class JsonApi:
    """One deployed system that speaks JSON. Reads are tried up to three times, changes exactly once.

    Bodies may hold the system's secret, so neither they nor answers to them are ever shown or logged.
    """

    def __init__(
        self, client: httpx.Client, name: str, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    def read(
        self,
        method: str,
        url: str,
        *,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the document of a request that changes nothing. Raises `LiveError`."""
        for pause_s in _PAUSES_S[: ATTEMPTS - 1]:
            try:
                return self._exchange(method, url, json, headers)
            except LiveError as error:
                if not _is_passing(error.code):
                    raise
                self._sleep(pause_s)
        return self._exchange(method, url, json, headers)

    def change(
        self,
        method: str,
        url: str,
        *,
        json: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the document of a request that changes something; it is sent once. Raises `LiveError`."""
        return self._exchange(method, url, json, headers)

    def where(self, url: str) -> str:
        """Return how a URL is named in messages: without user part and query."""
        parts = urlsplit(url)
        return f"{self._name} {parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def _exchange(
        self, method: str, url: str, json: Mapping[str, Any] | None, headers: Mapping[str, str] | None
    ) -> Any:
        where = self.where(url)
        try:
            response = self._client.request(method, url, json=json, headers=dict(headers or {}))
        except httpx.RequestError as error:
            raise _unreachable(where, error) from None
        if response.is_redirect:
            target = urlsplit(response.headers.get("location", "")).hostname or "another path"
            raise LiveError(
                where,
                code="redirected",
                expected="an answer from this host",
                seen=f"a redirect ({response.status_code}) to {quoted(target, 80)}",
                remedy="check the URL; redirects are never followed, because credentials would go along",
            )
        if not response.is_success:
            raise LiveError(
                where,
                code=f"status_{response.status_code}",
                expected="status 2xx",
                seen=f"{response.status_code}{_error_code(response)}",
                remedy=_REMEDIES.get(response.status_code, "see the system's own log for this request"),
            )
        return _document(where, response)


_REMEDIES: Final = {
    401: "check OA_LIGHTNING_OPS_SECRET or the ops token",
    403: "check OA_LIGHTNING_OPS_SECRET or the ops token",
    404: "check the URL: this path is not served there",
}


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
            seen=f"{len(response.content)} bytes of {quoted(kind or 'unknown type', 60)} that are none",
            remedy="check the URL: a web page or a proxy may answer in the system's place",
        ) from None


def _error_code(response: httpx.Response) -> str:
    """The code of an error answer, in one of the known forms; never its text, which may echo a body."""
    try:
        document = parse_json(response.content.decode("utf-8"), "error answer")
    except (UnicodeDecodeError, InputError):
        return ""
    error = document.get("error") if isinstance(document, dict) else None
    code = error.get("code") if isinstance(error, dict) else error
    is_code = isinstance(code, str) and len(code) <= 60 and code.replace("_", "").isalnum() and code.isascii()
    return f" {code}" if is_code else ""


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
    return "unreachable", type(error).__name__


def _is_passing(code: str) -> bool:
    return code in {"unreachable", "timeout"} or code in {f"status_{status}" for status in _AGAIN}
