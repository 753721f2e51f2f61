"""How an API that speaks JSON answers: which function is called, and what is said when none can be."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from pytest_l402.boundary import parse_json
from pytest_l402.harness.network import REQUEST_ID_HEADER, Request, Response

MAX_BODY_BYTES = 1 << 20
"""A longer body is refused with 413, as the loopback server refuses it."""

Document = dict[str, Any]
Answer = Callable[..., Document]


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """A request is answered with an error: an HTTP status, and a stable code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Fields:
    """The values of a JSON object; one that is missing or of another kind raises `refusal(key)`."""

    values: Mapping[str, Any]
    refusal: Callable[[str], Refused] = lambda key: Refused(422, f"missing_{key}")

    def text(self, key: str) -> str:
        """Return text that is not empty."""
        value = self.optional_text(key)
        if value is None:
            raise self.refusal(key)
        return value

    def optional_text(self, key: str) -> str | None:
        """Return text that is not empty, or None when the key is absent or null."""
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.refusal(key)
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.refusal(key)
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refusal(key)
        return value


@dataclass(frozen=True)
class Call:
    """One request on its way to a function, under the id by which its answer is known."""

    request: Request
    request_id: str
    malformed: Refused = field(default_factory=lambda: Refused(400, "invalid_json"))

    @cached_property
    def body(self) -> Document:
        """The body, one strict JSON object.

        Raises:
            Refused: it is none (400, with the app's own code), or longer than `MAX_BODY_BYTES` (413).
        """
        if len(self.request.body) > MAX_BODY_BYTES:
            raise Refused(413, "body_too_large")
        try:
            document = parse_json(self.request.body.decode("utf-8"), "request body")
        except ValueError:
            raise self.malformed from None
        if not isinstance(document, dict):
            raise self.malformed
        return document

    @property
    def fields(self) -> Fields:
        """The values of the body."""
        return Fields(self.body)


@dataclass(frozen=True)
class Route:
    """A function for one method and path: `answer(call, *values)` returns the document of a 200.

    Each `{name}` in the path stands for one segment, handed over percent-decoded. `method` None is any.
    """

    method: str | None
    path: str
    answer: Answer
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        literals = map(re.escape, re.split(r"\{\w+\}", self.path))
        object.__setattr__(self, "_pattern", re.compile("([^/]+)".join(literals)))

    def values_in(self, path: str) -> tuple[str, ...] | None:
        """Return the segments that the path has for the names, or None when it is another path."""
        match = self._pattern.fullmatch(path)
        return None if match is None else tuple(map(unquote, match.groups()))


def told_by_code(refused: Refused) -> tuple[int, Document]:
    """Return status and document of a refusal: `{"error": {"code": …}}`."""
    return refused.status, {"error": {"code": refused.code}}


@dataclass(frozen=True)
class JsonApp:
    """Routes, tried in order. What no function answers is 404 `not_found` or 405 `method_not_allowed`.

    `guard` hears of each request first, and may raise `Refused`. `succeeded` and `refused` give the answers
    their form; `malformed` is the code of a body that is no object. With `id_of` every answer carries that
    `x-oa-request-id`; without, the client's own is passed to the functions, and none is answered.
    """

    routes: tuple[Route, ...]
    guard: Callable[[Request], None] = lambda request: None
    succeeded: Callable[[Document], Document] = lambda document: document
    refused: Callable[[Refused], tuple[int, Document]] = told_by_code
    malformed: str = "invalid_json"
    id_of: Callable[[Request], str] | None = None

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        headers = [("Content-Type", "application/json")]
        if self.id_of is None:
            request_id = request.header(REQUEST_ID_HEADER) or ""
        else:
            request_id = self.id_of(request)
            headers.append((REQUEST_ID_HEADER, request_id))
        try:
            self.guard(request)
            call = Call(request, request_id, Refused(400, self.malformed))
            status, document = 200, self.succeeded(self._called(call))
        except Refused as refused:
            status, document = self.refused(refused)
        return Response(status, tuple(headers), json.dumps(document, separators=(",", ":")).encode() + b"\n")

    def _called(self, call: Call) -> Document:
        is_known_path = False
        for route in self.routes:
            values = route.values_in(call.request.path)
            if values is not None:
                if route.method in (None, call.request.method):
                    return route.answer(call, *values)
                is_known_path = True
        raise Refused(405, "method_not_allowed") if is_known_path else Refused(404, "not_found")


def presents(request: Request, token: str) -> bool:
    """Return whether the request carries `token` as its bearer; compared in constant time."""
    return is_secret(request.header("Authorization"), f"Bearer {token}")


def is_secret(presented: object, secret: str) -> bool:
    """Return whether what was presented is the secret; compared in constant time."""
    return isinstance(presented, str) and hmac.compare_digest(presented.encode(), secret.encode())
