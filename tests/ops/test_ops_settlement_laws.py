"""The order and number of deliveries show nowhere in the books; a contradiction changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settlement_world import EVENTS, Event, lifecycle, office, payment_hash, settlement

from pytest_l402.ops.settlement.ingest import IngestRefused, ingest_settlements


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[Event], list[Event], int]:
    """Draw agreeing events, another order of them, and a place to part that order at."""
    events = draw(EVENTS)
    return events, draw(st.permutations(events)), draw(st.integers(0, len(events)))


@settings(max_examples=50)
@given(shuffled())
def test_the_order_of_a_batch_shows_neither_in_the_books_nor_in_the_summary(
    drawn: tuple[list[Event], list[Event], int],
) -> None:
    events, other, _ = drawn
    with office() as first, office() as second:
        told, told_again = (
            ingest_settlements(first.store, events),
            ingest_settlements(second.store, other),
        )
        assert told == told_again
        assert first.store.rows("invoices") == second.store.rows("invoices")
        assert first.store.rows("settlements") == second.store.rows("settlements")


@settings(max_examples=50)
@given(shuffled())
def test_a_stream_in_two_deliveries_of_any_order_gives_the_books_of_one(
    drawn: tuple[list[Event], list[Event], int],
) -> None:
    events, other, place = drawn
    with office() as first, office() as second:
        ingest_settlements(first.store, events)
        ingest_settlements(second.store, other[:place])
        ingest_settlements(second.store, other[place:])
        assert first.books() == second.books()


@settings(max_examples=25)
@given(shuffled())
def test_event_by_event_gives_the_books_of_one_batch(drawn: tuple[list[Event], list[Event], int]) -> None:
    events, other, _ = drawn
    with office() as first, office() as second:
        ingest_settlements(first.store, events)
        for event in other:
            ingest_settlements(second.store, [event])
        assert first.books() == second.books()


@settings(max_examples=40)
@given(shuffled())
def test_any_part_that_is_sent_again_changes_nothing(drawn: tuple[list[Event], list[Event], int]) -> None:
    events, other, place = drawn
    with office() as desk:
        ingest_settlements(desk.store, events)
        before = desk.store.rows("invoices"), desk.store.rows("settlements")
        again = ingest_settlements(desk.store, other[:place])
        assert (desk.store.rows("invoices"), desk.store.rows("settlements")) == before
        assert all(item.existed for item in again.settlements)


ALTERED = st.sampled_from(
    [
        ({"amountMsats": 7}, "amountMsats"),
        ({"ownerId": "owner_other"}, "ownerId"),
        ({"paywallId": "pw_other"}, "paywallId"),
        ({"paymentHash": payment_hash(1)}, "paymentHash"),
        ({"paymentHash": "0" * 64}, "paymentHash"),
    ]
)


@settings(max_examples=40)
@given(EVENTS, ALTERED, st.sampled_from(["settlement", "invoice"]), st.booleans(), st.integers(0, 3))
def test_a_contradicting_event_changes_nothing_and_takes_its_batch_with_it(
    events: list[Event], altered: tuple[Event, str], kind: str, in_one_batch: bool, at: int
) -> None:
    changes, field = altered
    first = [
        lifecycle(0, paymentHash=payment_hash(0)),
        settlement(0, invoiceId="inv_0"),
    ]
    # The altered event comes last, so that it is the one that contradicts.
    liar = settlement(0, 100, **changes) if kind == "settlement" else lifecycle(0, at=100, **changes)
    innocent = settlement(2, at, invoiceId="inv_2")
    with office() as desk:
        ingest_settlements(desk.store, [*events, *first])
        before = desk.books()
        records = len(desk.records())
        batch = [innocent, liar] if in_one_batch else [liar]
        with pytest.raises(IngestRefused) as refused:
            ingest_settlements(desk.store, batch)
        assert desk.books() == before
        assert field in {item["field"] for item in desk.store.rows("conflicts")}
        assert {item.event for item in refused.value.refusals} == {len(batch) - 1}
        # Nothing was told of the innocent event, and of the other only that it was refused.
        told = desk.records()[records:]
        assert [row["denyReason"] for row in told] == ([refused.value.code] if kind == "settlement" else [])


@settings(max_examples=25)
@given(shuffled(), ALTERED)
def test_a_batch_that_contradicts_itself_is_refused_alike_in_any_order(
    drawn: tuple[list[Event], list[Event], int], altered: tuple[Event, str]
) -> None:
    events, other, place = drawn
    pair = [settlement(0, 10, invoiceId="inv_0"), settlement(0, 10, **altered[0])]
    kept: list[Any] = []
    for batch in ([*events, *pair], [*other[:place], pair[1], *other[place:], pair[0]]):
        with office() as desk:
            with pytest.raises(IngestRefused):
                ingest_settlements(desk.store, batch)
            assert desk.books() == ()
            kept.append([{**row, "atMs": None} for row in desk.store.rows("conflicts")])
    assert kept[0] == kept[1] != []
