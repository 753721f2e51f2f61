"""Events about a few payments that all agree with one another, and books to enter them into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.protocol import Preimage
from pytest_l402.stack import Harness, SettlementStore
from pytest_l402.stack.books.projection import Projection

Event = dict[str, Any]
BASE_MS = 1_735_000_000_000
PREIMAGES = tuple(Preimage(bytes([number]) * 32) for number in range(3))


class Office:
    """A settlement store with everything round it."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        harness = Harness()
        self.clock, self.journal, self.faults = harness.clock, harness.journal, harness.faults
        self.projection = Projection(harness)
        self.store = SettlementStore(harness, self.projection.observe, path)

    def books(self) -> tuple[tuple[tuple[str, Any], ...], ...]:
        """What is booked, whatever order it arrived in."""
        rows = [*self.store.rows("invoices"), *self.store.rows("settlements")]
        return tuple(sorted((tuple(row.items()) for row in rows), key=repr))

    def records(self, **wanted: Any) -> list[dict[str, Any]]:
        rows = self.journal.rows("records")
        return [row for row in rows if wanted.items() <= row.items()]


@contextmanager
def office(path: Path | str = ":memory:") -> Iterator[Office]:
    opened = Office(path)
    try:
        yield opened
    finally:
        opened.store.close()


def terms(number: int) -> Event:
    """What every event about one payment must agree on."""
    return {
        "paywallId": f"pw_{number}",
        "ownerId": f"owner_{number}",
        "amountMsats": 1_000 + number,
    }


def lifecycle(number: int = 0, status: str = "open", at: int = 0, **more: Any) -> Event:
    return {
        "kind": "invoice_lifecycle",
        "occurredAtMs": BASE_MS + at,
        "invoiceId": f"inv_{number}",
        **terms(number),
        "status": status,
        **more,
    }


def settlement(number: int = 0, at: int = 0, **more: Any) -> Event:
    return {
        "kind": "settlement",
        "occurredAtMs": BASE_MS + at,
        "settlementId": f"set_{number}",
        **terms(number),
        "paymentProofType": "lightning_preimage",
        "paymentProofValue": PREIMAGES[number].hex(),
        **more,
    }


def payment_hash(number: int = 0) -> str:
    return PREIMAGES[number].payment_hash.hex()


def proof(number: int = 0) -> str:
    return hosted_proof_reference(PREIMAGES[number].hex())


# Few times and names, so that events often meet at one time under different names.
_TIMES = st.integers(0, 3)
_NAMES = st.sampled_from([None, "", "a", "b"])


@st.composite
def agreeing_events(draw: st.DrawFn) -> Event:
    """Draw one event; any number of them agree."""
    number = draw(st.integers(0, 2))
    optional: Event = {"requestId": draw(_NAMES)}
    if draw(st.booleans()):
        optional["paymentHash"] = draw(st.sampled_from([payment_hash(number), payment_hash(number).upper()]))
    at = draw(_TIMES)
    if draw(st.booleans()):
        status = draw(st.sampled_from(["open", "canceled", "expired", "settled"]))
        if status == "settled" and draw(st.booleans()):
            optional["settledAtMs"] = BASE_MS + draw(_TIMES)
        if draw(st.booleans()):
            optional["paymentProofRef"] = proof(number)
        return lifecycle(number, status, at, **optional)
    if draw(st.booleans()):
        optional["invoiceId"] = f"inv_{number}"
    return settlement(number, at, **optional, taskId=draw(_NAMES), routeId=draw(_NAMES))


EVENTS = st.lists(agreeing_events(), max_size=8)
