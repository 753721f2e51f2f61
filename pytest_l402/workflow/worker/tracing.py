"""Decides what a span of a step says: whose workflow, which step, which attempt."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

_EXPORT_EVERY_MS = "50"
_ON: list[bool] = []
_REACH_S = 2.0


class TracesUnreachable(RuntimeError):  # noqa: N818 - the name of the condition
    """Spans are wanted, and there is nobody who takes them."""


def turn_on(endpoint: str) -> None:
    """Have spans exported to an endpoint, which must answer now.

    Raises:
        TracesUnreachable: it is not named, or does not take an empty export.
    """
    where = urlsplit(endpoint)
    seen = "none named"
    if where.hostname is not None:
        connection = http.client.HTTPConnection(where.netloc, timeout=_REACH_S)
        try:
            connection.request("POST", where.path, b"", {"Content-Type": "application/x-protobuf"})
            status = connection.getresponse().status
            seen = f"status {status}"
        except OSError as error:
            status, seen = 0, str(error)
        finally:
            connection.close()
        if 200 <= status < 300:
            os.environ["OTEL_BSP_SCHEDULE_DELAY"] = _EXPORT_EVERY_MS
            _ON.append(True)
            return
    raise TracesUnreachable(
        f"traces endpoint ({endpoint or 'empty'}): expected one that takes spans (runbook section 1), saw "
        f"{seen}; start the collector, or set DBOS_ENABLE_OTLP=false"
    )


@contextmanager
def traced(step: str, attributes: Mapping[str, Any]) -> Iterator[None]:
    """Make a span of one attempt of a step; the engine has one for all attempts together."""
    if not _ON:
        yield
        return
    from opentelemetry import trace

    with trace.get_tracer("pytest-l402").start_as_current_span(str(step), attributes=dict(attributes)):
        yield


def context_of(intent_id: str) -> Any:
    """Return the trace that every life of a run belongs to; it follows from the root intent alone."""
    from opentelemetry import trace

    digest = sha256(intent_id.encode()).digest()
    context = trace.SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:24]),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context))
