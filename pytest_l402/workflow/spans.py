"""Reads the spans out of what a tracer exports over OTLP/HTTP, with the standard library alone."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

from pytest_l402.harness.network import Request, Response

Row = dict[str, Any]

_MOST_VARINT_BITS = 63


class SpansUnreadable(ValueError):  # noqa: N818 - the name of the condition
    """The body is no protobuf of an export request, or is cut off."""


class SpanCollector:
    """An OTLP/HTTP endpoint for traces: keeps what it could decode, and answers 400 to anything else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Row] = []

    @property
    def spans(self) -> list[Row]:
        """Every span that was exported so far."""
        with self._lock:
            return [dict(span) for span in self._spans]

    def handle(self, request: Request) -> Response:
        """Answer one export."""
        body = request.body
        try:
            if request.header("Content-Encoding") == "gzip":
                body = zlib.decompress(body, 31)
            spans = list(read_spans(body))
        except (SpansUnreadable, zlib.error, UnicodeDecodeError):
            return Response(400, (("Content-Type", "application/x-protobuf"),), b"")
        with self._lock:
            self._spans.extend(spans)
        return Response(200, (("Content-Type", "application/x-protobuf"),), b"")


def read_spans(body: bytes) -> Iterator[Row]:
    """Yield the spans of one ExportTraceServiceRequest (opentelemetry-proto, trace/v1).

    Raises `SpansUnreadable` for bytes that are no protobuf.
    """
    for number, resource_spans in _fields(body):
        if number != 1:
            continue
        for inner, scope_spans in _fields(resource_spans):
            if inner == 2:
                yield from (_span(span) for field, span in _fields(scope_spans) if field == 2)


def _span(data: bytes) -> Row:
    row: Row = {"traceID": "", "spanID": "", "parentID": "", "name": "", "attributes": {}}
    for number, value in _fields(data):
        if number in (1, 2, 4):
            row[{1: "traceID", 2: "spanID", 4: "parentID"}[number]] = value.hex()
        elif number == 5:
            row["name"] = value.decode()
        elif number in (7, 8):
            row[{7: "startNs", 8: "endNs"}[number]] = struct.unpack("<Q", value)[0]
        elif number == 9:
            key, attribute = _key_value(value)
            row["attributes"][key] = attribute
    return row


def _key_value(data: bytes) -> tuple[str, Any]:
    found = dict(_fields(data))
    return found.get(1, b"").decode(), _any_value(found.get(2, b""))


def _any_value(data: bytes) -> Any:
    for number, value in _fields(data):
        match number:
            case 1:
                return value.decode()
            case 2:
                return bool(value)
            case 3:
                return value - (1 << 64) if value >> 63 else value
            case 4:
                return struct.unpack("<d", value)[0]
            case 5:
                return [_any_value(item) for field, item in _fields(value) if field == 1]
            case 6:
                return dict(_key_value(item) for field, item in _fields(value) if field == 1)
            case 7:
                return value.hex()
    return None


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field: an integer, or the bytes of it."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise SpansUnreadable("an export is cut off, or is no protobuf")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift <= _MOST_VARINT_BITS:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise SpansUnreadable("a number of an export is cut off")
