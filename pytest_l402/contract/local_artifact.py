"""Decides what the local-node artifact is: what a desktop executor tells about the purchases it ran."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_serializer

from pytest_l402.boundary.redaction import digest_reference, is_digest_reference, redact_values
from pytest_l402.contract.camel_document import CamelDocument
from pytest_l402.contract.record import ObservabilityRecord
from pytest_l402.contract.scalars import AnyText, Count, EpochMs, Text, member_of
from pytest_l402.contract.task_graph import TaskStatus


class LocalFlowKind(StrEnum):
    """How a purchase ended, as its artifact tells it.

    `success` and `blocked` are what the original artifact holds; the others are ends that it cannot show.
    """

    SUCCESS = "success"
    BLOCKED = "blocked"
    CACHED = "cached"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class SellerCall(CamelDocument):
    """One HTTP call to the seller; `authorization` is None, a digest, or in old artifacts the secret."""

    path: Text
    authorization: AnyText | None = Field(repr=False)
    status: Count

    @field_serializer("authorization")
    def _digest(self, value: str | None) -> str | None:
        """Write a digest reference in place of the value."""
        return value if value is None or is_digest_reference(value) else digest_reference(value)


class LocalFlow(CamelDocument):
    """One purchase of the local executor."""

    flow: Annotated[LocalFlowKind, member_of(LocalFlowKind)]
    task_id: Text
    task_status: Annotated[TaskStatus, member_of(TaskStatus)]
    create_request_id: Text
    transition_request_ids: tuple[Text, ...]
    proof_reference: Text | None = None
    payment_id: Text | None = None
    blocked_error_code: Text | None = None
    blocked_reason: Text | None = None
    seller_calls: tuple[SellerCall, ...]
    observability_records: tuple[ObservabilityRecord, ...]

    @property
    def request_ids(self) -> frozenset[str]:
        """Every request id that this purchase is known by: of its creation, transitions and records."""
        recorded = (
            record.request_id for record in self.observability_records if record.request_id is not None
        )
        return frozenset((self.create_request_id, *self.transition_request_ids, *recorded))


class LocalNodeArtifact(CamelDocument):
    """What `l402-local-node-smoke-artifact.json` holds.

    Source: runbook observability, Emission Surfaces and section 2. The time is in epoch milliseconds.
    """

    generated_at_ms: EpochMs
    flows: tuple[LocalFlow, ...]

    def redacted(self) -> Self:
        """Return the artifact without a secret: authorization values as digests, free text redacted."""
        return type(self).decode(self.to_row())

    def to_row(self) -> dict[str, Any]:
        """Return the artifact as it may be written: always redacted, absent optional keys left out."""
        row = super().to_row()
        row["flows"] = [
            {key: value for key, value in flow.items() if value is not None} for flow in row["flows"]
        ]
        redacted: dict[str, Any] = redact_values(row)
        return redacted
