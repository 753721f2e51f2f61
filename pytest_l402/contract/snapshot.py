"""Decides what a snapshot of observability records is."""

from __future__ import annotations

from .camel_document import CamelDocument
from .record import ObservabilityRecord
from .scalars import EpochMs


class Snapshot(CamelDocument):
    """The records that were known at one time, in epoch milliseconds."""

    generated_at_ms: EpochMs
    records: tuple[ObservabilityRecord, ...]
