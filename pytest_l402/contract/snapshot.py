"""Decides what a snapshot of observability records is."""

from __future__ import annotations

from pytest_l402.contract.camel_document import CamelDocument
from pytest_l402.contract.record import ObservabilityRecord
from pytest_l402.contract.scalars import EpochMs


class Snapshot(CamelDocument):
    """The records that were known at one time, in epoch milliseconds."""

    generated_at_ms: EpochMs
    records: tuple[ObservabilityRecord, ...]
