"""Decides what lies within what a log collector has put around a record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_l402.contract import REQUIRED_KEYS

_REQUIRED: Final = frozenset(REQUIRED_KEYS)
_DEPTH: Final = 12
# In the order in which they are looked at; each with who writes it.
_TEXTS: Final[Mapping[str, str]] = {
    "log": "docker",
    "MESSAGE": "journald",
    "message": "a log collector",
    "@message": "CloudWatch",
    "textPayload": "Cloud Logging",
    "line": "Loki",
    "_raw": "Splunk",
    "msg": "a log collector",
    "body": "OpenTelemetry",
    "stringValue": "OpenTelemetry",
}
_OBJECTS: Final[Mapping[str, str]] = {
    "_source": "Elasticsearch",
    "jsonPayload": "Cloud Logging",
    "hits": "Elasticsearch",
    "events": "CloudWatch",
    "logEvents": "CloudWatch",
    "results": "CloudWatch",
    "result": "Splunk",
    "record": "a log collector",
    "fields": "a log collector",
    "attributes": "a log collector",
    "data": "a log collector",
    "detail": "EventBridge",
    "streams": "Loki",
    "values": "Loki",
    "entries": "a log collector",
}
# `kubectl logs --timestamps`, CRI (`<time> stdout F`), `aws logs tail`, `docker logs -t`, syslog.
_STAMP: Final = re.compile(
    r"(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)"
    r"(?: (?!\{)\S+){0,6}? (?=[{\[])"
)


def is_document(value: Any) -> bool:
    """Whether a parsed object is a record, or holds records itself."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("flows"), list) or isinstance(value.get("records"), list):
        return True
    return "plane" in value or len(_REQUIRED & value.keys()) >= 5


def without_stamp(text: str) -> tuple[str, str | None]:
    """Return a line without the time that a collector has put before its JSON, and who may have."""
    if text[:1] in "{[" or not text:
        return text, None
    match = _STAMP.match(text)
    return (text[match.end() :], "a time stamp before each line") if match else (text, None)


def unwrapped(value: Any, depth: int = _DEPTH) -> Iterator[tuple[Any, str]]:
    """Yield what a collector has wrapped, each with who did: parsed values, or text that looks like a record.

    Nothing for what is no wrapper.
    """
    if depth == 0:
        return
    if isinstance(value, list):
        for each in value:
            yield from ((each, "a list"),) if is_document(each) else unwrapped(each, depth - 1)
        return
    if not isinstance(value, dict):
        if isinstance(value, str) and value.lstrip()[:1] == "{":
            yield from _text(value, "Loki", depth)
        return
    if set(value) <= {"field", "value"} and value.get("field") == "@message":
        yield from _text(value.get("value"), "CloudWatch", depth)
        return
    for key, who in _TEXTS.items():
        if key in value:
            found = [(each, who) for each, _ in _text(value[key], who, depth)]
            if found:
                yield from found
                return
    for key, who in _OBJECTS.items():
        inner = value.get(key)
        if is_document(inner):
            yield inner, who
            return
        if isinstance(inner, dict | list):
            within = list(unwrapped(inner, depth - 1))
            if within:
                yield from ((each, who if by == "a list" else by) for each, by in within)
                return


def _text(value: Any, who: str, depth: int) -> Iterator[tuple[Any, str]]:
    if isinstance(value, list) and value and all(isinstance(each, int) for each in value):
        # journald writes what is not UTF-8, or holds control characters, as bytes.
        value = bytes(each & 0xFF for each in value).decode("utf-8", "replace")
    if isinstance(value, dict):
        if is_document(value):
            yield value, who
        else:
            yield from unwrapped(value, depth - 1)
        return
    if not isinstance(value, str):
        return
    text = without_stamp(value.strip())[0]
    if text[:1] not in ("{", "["):
        return
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        if '"requestId"' in text:
            yield text, who
        return
    if is_document(inner):
        # As text: what repeats a key must be seen.
        yield text, who
    else:
        yield from unwrapped(inner, depth - 1)
