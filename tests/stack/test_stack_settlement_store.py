"""Each payment is settled once, and nothing that contradicts what is stored gets in."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_l402.contract import hosted_proof_reference
from pytest_l402.contract.settlement_event import settlement_id_of
from pytest_l402.harness.harness import Harness
from pytest_l402.protocol import Preimage
from pytest_l402.stack import (
    InvalidPreimage,
    SettlementConflict,
    SettlementEvent,
    SettlementStore,
)
from pytest_l402.stack.faults import SettlementDelayed, SettlementLost, SettlementProofMismatch

PREIMAGE = Preimage(bytes(range(32)))
PROOF = hosted_proof_reference(PREIMAGE.hex())
HASH = str(PREIMAGE.payment_hash)


def event(**changes: Any) -> SettlementEvent:
    values: dict[str, Any] = {
        "settlement_id": settlement_id_of(HASH),
        "payment_hash": HASH,
        "preimage": PREIMAGE,
        "amount_msats": 21_000,
        "paywall_id": "pw_premium",
        "owner_id": "owner_premium",
        "request_id": "req_1",
        "task_id": "task_1",
        "route_id": "route_premium",
    }
    return SettlementEvent(**{**values, **changes})


class Books:
    def __init__(self, path: Any = ":memory:") -> None:
        harness = Harness()
        self.clock, self.journal, self.faults = harness.clock, harness.journal, harness.faults
        self.seen: list[tuple[str, bool]] = []
        self.store = SettlementStore(
            harness,
            lambda row, event, existed: self.seen.append((row["settlementId"], existed)),
            path,
        )

    def records(self) -> tuple[dict[str, Any], ...]:
        return self.journal.rows("records")


@pytest.fixture
def books() -> Any:
    books = Books()
    yield books
    books.store.close()


def test_a_settlement_is_stored_with_its_invoice(books: Books) -> None:
    books.store.invoice_opened(HASH, "inv_1", 21_000, "pw_premium", "owner_premium", "req_0")

    outcome = books.store.ingest(event())

    assert (outcome.existed, outcome.proof_reference) == (False, PROOF)
    (row,) = books.store.rows("settlements")
    assert row == {
        "settlementId": settlement_id_of(HASH),
        "invoiceId": "inv_1",
        "paymentHash": HASH,
        "paywallId": "pw_premium",
        "ownerId": "owner_premium",
        "amountMsats": 21_000,
        "paymentProofRef": PROOF,
        "requestId": "req_1",
        "taskId": "task_1",
        "routeId": "route_premium",
        "occurredAtMs": row["occurredAtMs"],
    }
    (invoice,) = books.store.rows("invoices")
    assert (invoice["status"], invoice["settledAtMs"]) == ("settled", row["occurredAtMs"])
    assert books.seen == [(settlement_id_of(HASH), False)]


def test_the_record_says_what_the_contract_wants_of_a_settlement(books: Books) -> None:
    books.store.ingest(event())

    (record,) = books.records()
    told = {key: record[key] for key in ("quotedCostMsats", "capAppliedMsats", "paidAmountMsats")}
    assert set(told.values()) == {21_000}
    assert (record["plane"], record["executor"], record["executionPath"]) == (
        "settlement",
        "gateway",
        "hosted-node",
    )
    assert record["endpoint"] == "/api/lightning/paywalls/pw_premium/settlements"
    assert (record["userId"], record["cacheHit"], record["paymentProofRef"]) == (
        "owner_premium",
        False,
        PROOF,
    )
    assert record["observedAtMs"] >= books.store.rows("settlements")[0]["occurredAtMs"]


def test_a_replay_is_observed_and_nothing_is_added(books: Books) -> None:
    books.store.ingest(event())

    replay = books.store.ingest(event(request_id="req_2", task_id="task_2"))

    assert replay.existed
    (row,) = books.store.rows("settlements")
    assert (row["requestId"], row["taskId"]) == ("req_1", "task_1")
    second = books.records()[1]
    assert (second["requestId"], second["cacheHit"], second["paymentProofRef"]) == ("req_2", True, PROOF)
    assert books.seen[1] == (settlement_id_of(HASH), True)


def test_a_preimage_that_does_not_hash_to_the_payment_is_refused(books: Books) -> None:
    with pytest.raises(InvalidPreimage):
        books.store.ingest(event(preimage=Preimage(bytes(32))))

    assert books.store.rows("settlements") == ()
    (record,) = books.records()
    assert (record["denyReason"], record["paymentProofRef"], record["paidAmountMsats"]) == (
        "invalid_preimage",
        None,
        None,
    )
    assert books.seen == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount_msats": 1}, "amountMsats"),
        ({"owner_id": "owner_other"}, "ownerId"),
        ({"paywall_id": "pw_other"}, "paywallId"),
        ({"settlement_id": "set_other"}, "settlementId"),
    ],
)
def test_a_contradiction_is_refused_kept_and_changes_nothing(
    books: Books, changes: dict[str, Any], field: str
) -> None:
    books.store.invoice_opened(HASH, "inv_1", 21_000, "pw_premium", "owner_premium", "req_0")
    books.store.ingest(event())
    before = books.store.rows("settlements"), books.store.rows("invoices")

    with pytest.raises(SettlementConflict) as refused:
        books.store.ingest(event(request_id="req_2", **changes))

    assert refused.value.field == field
    assert (books.store.rows("settlements"), books.store.rows("invoices")) == before
    (conflict,) = books.store.rows("conflicts")
    assert conflict["field"] == field
    assert books.records()[-1]["denyReason"] == "settlement_conflict"
    assert len(books.seen) == 1


def test_another_payment_under_a_known_settlement_id_is_refused(books: Books) -> None:
    books.store.ingest(event())
    other = Preimage(bytes(32))

    with pytest.raises(SettlementConflict, match="paymentHash"):
        books.store.ingest(event(preimage=other, payment_hash=str(other.payment_hash)))

    assert len(books.store.rows("settlements")) == 1


def test_a_first_settlement_must_fit_its_invoice(books: Books) -> None:
    books.store.invoice_opened(HASH, "inv_1", 21_000, "pw_premium", "owner_premium", "req_0")

    with pytest.raises(SettlementConflict, match="amountMsats"):
        books.store.ingest(event(amount_msats=20_999))

    assert books.store.rows("settlements") == ()
    assert books.store.rows("invoices")[0]["status"] == "open"


def test_an_invoice_is_opened_once_and_a_contradicting_one_is_refused(books: Books) -> None:
    for _ in range(2):
        books.store.invoice_opened(HASH, "inv_1", 21_000, "pw_premium", "owner_premium", "req_0")
    assert len(books.store.rows("invoices")) == 1

    with pytest.raises(SettlementConflict, match="amountMsats"):
        books.store.invoice_opened(HASH, "inv_1", 1, "pw_premium", "owner_premium", "req_0")

    assert books.store.rows("invoices")[0]["amountMsats"] == 21_000
    assert len(books.store.rows("conflicts")) == 1


def test_a_closed_invoice_is_settled_by_its_payment_and_a_settled_one_stays_so(books: Books) -> None:
    books.store.invoice_opened(HASH, "inv_1", 21_000, "pw_premium", "owner_premium", "req_0")

    assert books.store.invoice_closed(HASH, "expired")
    assert not books.store.invoice_closed(HASH, "canceled")
    books.store.ingest(event())
    assert not books.store.invoice_closed(HASH, "expired")
    assert not books.store.invoice_closed("00" * 32, "expired")

    assert books.store.rows("invoices")[0]["status"] == "settled"
    with pytest.raises(ValueError, match="canceled or expired"):
        books.store.invoice_closed(HASH, "settled")


def test_a_lost_settlement_leaves_no_trace(books: Books) -> None:
    with books.faults.inject(SettlementLost()):
        outcome = books.store.ingest(event())

    assert (outcome.existed, outcome.proof_reference) == (False, PROOF)
    assert books.store.rows("settlements") == books.records() == ()
    assert books.seen == []
    assert not books.store.ingest(event()).existed


def test_a_delayed_settlement_arrives_when_it_is_released(books: Books) -> None:
    with books.faults.inject(SettlementDelayed(), request_id="req_1"):
        assert not books.store.ingest(event()).existed
    assert (books.store.rows("settlements"), books.store.delayed()) == ((), 1)

    books.clock.advance(60_000)
    assert books.store.release_delayed() == 1

    (row,) = books.store.rows("settlements")
    assert row["occurredAtMs"] >= books.clock.now_ms() - 10
    assert (books.store.delayed(), len(books.records())) == (0, 1)


def test_a_refused_release_keeps_what_is_queued_behind_it(books: Books) -> None:
    books.store.ingest(event())
    other = Preimage(bytes(32))
    fine = event(
        preimage=other,
        payment_hash=str(other.payment_hash),
        settlement_id=settlement_id_of(str(other.payment_hash)),
    )
    with books.faults.inject(SettlementDelayed()):
        books.store.ingest(event(amount_msats=1))
        books.store.ingest(fine)

    with pytest.raises(SettlementConflict):
        books.store.release_delayed()

    assert books.store.release_delayed() == 1
    assert len(books.store.rows("settlements")) == 2


def test_a_mismatching_proof_has_the_form_of_a_real_one_and_contradicts_the_replay(books: Books) -> None:
    with books.faults.inject(SettlementProofMismatch()):
        assert books.store.ingest(event()).proof_reference == PROOF
        stored = books.store.rows("settlements")[0]["paymentProofRef"]
        assert books.store.ingest(event()).existed
    assert stored != PROOF
    assert len(stored) == len(PROOF)
    assert books.records()[0]["paymentProofRef"] == stored

    with pytest.raises(SettlementConflict, match="paymentProofRef"):
        books.store.ingest(event(request_id="req_2"))


def test_the_mismatch_does_not_rewrite_a_settlement_that_is_there(books: Books) -> None:
    books.store.ingest(event())
    with books.faults.inject(SettlementProofMismatch()):
        assert books.store.ingest(event(request_id="req_2")).existed
    assert books.store.rows("settlements")[0]["paymentProofRef"] == PROOF


def test_the_read_side_finds_by_request_payment_and_proof(books: Books) -> None:
    books.store.ingest(event())
    books.store.ingest(event(request_id="req_2"))

    row = books.store.rows("settlements")[0]
    assert books.store.rows("settlements", requestId="req_1") == (row,)
    assert books.store.rows("settlements", requestId="req_2") == ()
    assert books.store.rows("settlements", paymentHash=HASH, paymentProofRef=PROOF) == (row,)
    with pytest.raises(KeyError):
        books.store.rows("nonsense")


def test_a_file_outlives_the_process(tmp_path: Any) -> None:
    first = Books(tmp_path / "settlements.sqlite")
    first.store.ingest(event())
    first.store.close()

    second = Books(tmp_path / "settlements.sqlite")
    assert second.store.ingest(event(request_id="req_2")).existed
    assert len(second.store.rows("settlements")) == 1
    second.store.close()


def test_the_schema_itself_refuses_a_second_row_of_a_payment(books: Books) -> None:
    books.store.ingest(event())
    row = {**books.store.rows("settlements")[0], "settlementId": "set_other"}
    with pytest.raises(sqlite3.IntegrityError):
        books.store._books._insert("settlements", **row, bookedKey=1)
    assert len(books.store.rows("settlements")) == 1


def test_no_secret_is_in_a_row_a_log_or_a_message(books: Books) -> None:
    books.store.ingest(event())
    with pytest.raises(SettlementConflict) as refused:
        books.store.ingest(event(amount_msats=1))
    seen = repr(
        (books.records(), books.journal.rows("logs"), books.store.rows("settlements"), event(), refused.value)
    )
    assert PREIMAGE.hex() not in seen
    assert PREIMAGE.hex()[:25] not in seen


CHANGES = st.sampled_from(
    [
        {},
        {"amount_msats": 1},
        {"owner_id": "o"},
        {"paywall_id": "p"},
        {"settlement_id": "s"},
        {"request_id": "r"},
    ]
)
PREIMAGES = st.sampled_from([PREIMAGE, Preimage(bytes(32)), Preimage(b"\x01" * 32)])


@settings(max_examples=40)
@given(st.lists(st.tuples(PREIMAGES, CHANGES), max_size=12))
def test_whatever_arrives_each_payment_is_stored_once_and_never_changes(
    stream: list[tuple[Preimage, dict[str, Any]]],
) -> None:
    books = Books()
    first: dict[str, dict[str, Any]] = {}
    for preimage, changes in stream:
        payment_hash = str(preimage.payment_hash)
        values = {"settlement_id": settlement_id_of(payment_hash), **changes}
        with contextlib.suppress(SettlementConflict):
            books.store.ingest(event(preimage=preimage, payment_hash=payment_hash, **values))
        for row in books.store.rows("settlements"):
            assert first.setdefault(row["paymentHash"], row) == row
        assert len(first) == len(books.store.rows("settlements"))
    accepted = [record for record in books.records() if record["denyReason"] is None]
    refused = [record for record in books.records() if record["denyReason"] == "settlement_conflict"]
    assert len(accepted) + len(refused) == len(stream)
    assert len(books.store.rows("conflicts")) >= len(refused)
    assert sum(record["cacheHit"] is False for record in accepted) == len(first)
    books.store.close()
