"""A batch is booked whole or not at all; every contradiction is found, named and kept."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from settlement_world import (
    BASE_MS,
    PREIMAGES,
    Office,
    lifecycle,
    office,
    payment_hash,
    proof,
    settlement,
    terms,
)

from pytest_l402.evidence import Evidence, run_check, settlement_conflict
from pytest_l402.ops.settlement.events import decode_event
from pytest_l402.ops.settlement.ingest import IngestRefused, ingest_settlements
from pytest_l402.ops.settlement.smoke import smoke_events
from pytest_l402.protocol import format_credential, parse_challenges, preferred
from pytest_l402.stack import SettlementConflict, SettlementEvent, Stack
from pytest_l402.stack.faults import SettlementDelayed, SettlementLost, SettlementProofMismatch


@pytest.fixture
def desk() -> Any:
    with office() as opened:
        yield opened


def invoice(desk: Office, number: int = 0) -> dict[str, Any]:
    (row,) = [row for row in desk.store.rows("invoices") if row["invoiceId"] == f"inv_{number}"]
    return row


def refused(desk: Office, *events: Any) -> IngestRefused:
    """Send a batch that must be refused, and see that it changed nothing."""
    before = desk.store.rows("invoices"), desk.store.rows("settlements")
    with pytest.raises(IngestRefused) as error:
        ingest_settlements(desk.store, events)
    assert (desk.store.rows("invoices"), desk.store.rows("settlements")) == before
    return error.value


# The summary


def test_the_smoke_gives_the_documented_answer(desk: Office) -> None:
    smoke_proof = "lightning_preimage:" + "a" * 24
    stored = {
        "settlementId": "set_smoke_1",
        "paywallId": "pw_weather",
        "ownerId": "owner_weather",
        "invoiceId": "inv_smoke_1",
        "amountMsats": 2_500,
        "requestId": "req_smoke_1",
        "paymentProofRef": smoke_proof,
    }
    weather = {"invoiceId": "inv_smoke_1", "paywallId": "pw_weather", "ownerId": "owner_weather"}
    reference = {
        "settlementId": "set_smoke_1",
        "paymentProofRef": smoke_proof,
        "requestId": "req_smoke_1",
        "taskId": "task_smoke_1",
        "routeId": "route_weather",
    }
    summary = ingest_settlements(desk.store, smoke_events()).to_row()
    assert summary == {
        "ok": True,
        "processed": 5,
        "invoiceTransitions": [
            {**weather, "status": "open", "requestId": "req_smoke_1", "updatedAtMs": BASE_MS},
            {**weather, "status": "settled", "requestId": "req_smoke_1", "updatedAtMs": BASE_MS + 200},
            {
                "invoiceId": "inv_smoke_2",
                "paywallId": "pw_news",
                "ownerId": "owner_news",
                "status": "expired",
                "requestId": "req_smoke_2",
                "updatedAtMs": BASE_MS + 300,
            },
        ],
        "settlements": [{**stored, "existed": False}, {**stored, "existed": True}],
        "settlementIds": ["set_smoke_1", "set_smoke_1"],
        "paymentProofRefs": [smoke_proof, smoke_proof],
        "correlationRefs": [reference, reference],
    }
    assert list(summary) == [
        "ok",
        "processed",
        "invoiceTransitions",
        "settlements",
        "settlementIds",
        "paymentProofRefs",
        "correlationRefs",
    ]


def test_unknown_ids_are_left_out_of_the_summary(desk: Office) -> None:
    summary = ingest_settlements(desk.store, [settlement(), lifecycle(1)]).to_row()
    assert summary["settlements"] == [
        {"settlementId": "set_0", **terms(0), "paymentProofRef": proof(), "existed": False}
    ]
    assert summary["correlationRefs"] == [{"settlementId": "set_0", "paymentProofRef": proof()}]
    assert "requestId" not in summary["invoiceTransitions"][0]


def test_a_replay_is_told_as_stored_with_task_and_route_of_its_own(desk: Office) -> None:
    ingest_settlements(desk.store, [settlement(requestId="r1", taskId="t1", routeId="x1")])
    again = ingest_settlements(desk.store, [settlement(at=9, requestId="r2", taskId="t2", routeId="x2")])
    (told,) = again.to_row()["correlationRefs"]
    assert told == {
        "settlementId": "set_0",
        "paymentProofRef": proof(),
        "requestId": "r1",
        "taskId": "t2",
        "routeId": "x2",
    }
    assert again.settlements[0].existed


def test_an_empty_batch_is_a_batch(desk: Office) -> None:
    assert ingest_settlements(desk.store, []).processed == 0
    assert desk.journal.rows("ingest_batches")[0]["events"] == 0


# The books


def test_events_are_booked_in_the_order_in_which_they_happened(desk: Office) -> None:
    told = ingest_settlements(
        desk.store,
        [lifecycle(at=3, requestId="late"), settlement(at=2), lifecycle(at=1, requestId="first")],
    )
    assert [item.status for item in told.invoice_transitions] == ["open", "open"]
    assert invoice(desk)["requestId"] == "first"
    assert invoice(desk)["createdAtMs"] == BASE_MS + 1


@pytest.mark.parametrize(
    ("statuses", "end"),
    [
        (("open", "expired"), "expired"),
        (("expired", "open"), "expired"),
        (("canceled", "expired"), "canceled"),
        (("expired", "canceled"), "expired"),
        (("open", "expired", "canceled"), "expired"),
        (("expired", "settled"), "settled"),
        (("settled", "canceled", "open"), "settled"),
    ],
)
def test_only_a_higher_rank_replaces_a_status(desk: Office, statuses: Sequence[str], end: str) -> None:
    for at, status in enumerate(statuses):
        ingest_settlements(desk.store, [lifecycle(status=status, at=at)])
    assert invoice(desk)["status"] == end


def test_a_settlement_settles_the_invoice_it_names_and_makes_it_known(desk: Office) -> None:
    ingest_settlements(desk.store, [settlement(at=4, invoiceId="inv_0", requestId="r1")])
    assert invoice(desk) == {
        "invoiceId": "inv_0",
        "paymentHash": payment_hash(),
        **terms(0),
        "status": "settled",
        "requestId": None,
        "createdAtMs": BASE_MS + 4,
        "settledAtMs": BASE_MS + 4,
    }


def test_a_settlement_finds_its_invoice_by_payment_hash(desk: Office) -> None:
    ingest_settlements(desk.store, [lifecycle(paymentHash=payment_hash())])
    ingest_settlements(desk.store, [settlement(at=4)])
    assert (invoice(desk)["status"], invoice(desk)["settledAtMs"]) == ("settled", BASE_MS + 4)
    assert desk.store.rows("settlements")[0]["invoiceId"] == "inv_0"


def test_an_invoice_finds_its_settlement_by_payment_hash(desk: Office) -> None:
    ingest_settlements(desk.store, [settlement(at=4)])
    assert desk.store.rows("settlements")[0]["invoiceId"] is None
    ingest_settlements(desk.store, [lifecycle(at=9, paymentHash=payment_hash())])
    assert desk.store.rows("settlements")[0]["invoiceId"] == "inv_0"
    assert (invoice(desk)["status"], invoice(desk)["settledAtMs"]) == ("settled", BASE_MS + 4)
    assert invoice(desk)["createdAtMs"] == BASE_MS + 4


def test_the_time_of_settlement_is_the_earliest_that_is_known(desk: Office) -> None:
    ingest_settlements(desk.store, [lifecycle(status="settled", at=9, settledAtMs=BASE_MS + 3)])
    assert invoice(desk)["settledAtMs"] == BASE_MS + 3
    ingest_settlements(desk.store, [settlement(at=5, invoiceId="inv_0")])
    assert invoice(desk)["settledAtMs"] == BASE_MS + 3


def test_an_invoice_is_as_old_as_the_earliest_that_is_known_of_it(desk: Office) -> None:
    ages = []
    for event in (
        lifecycle(at=9),
        settlement(at=2, invoiceId="inv_0"),
        lifecycle(at=5),
        lifecycle(status="settled", at=8, settledAtMs=BASE_MS + 1),
        lifecycle(at=4),
    ):
        ingest_settlements(desk.store, [event])
        ages.append(invoice(desk)["createdAtMs"] - BASE_MS)
    assert ages == [9, 2, 2, 1, 1]


# What the gateway saw itself


def test_an_invoice_that_the_gateway_gave_up_stays_given_up_as_it_said(desk: Office) -> None:
    desk.store.invoice_opened(payment_hash(), "inv_0", 1_000, "pw_0", "owner_0", "req_seen")
    desk.store.invoice_closed(payment_hash(), "expired")
    ingest_settlements(desk.store, [lifecycle(status="canceled", at=-99)])
    assert invoice(desk)["status"] == "expired"


def test_a_report_settles_what_the_gateway_opened_and_changes_nothing_else_of_it(desk: Office) -> None:
    desk.store.invoice_opened(payment_hash(), "inv_0", 1_000, "pw_0", "owner_0", "req_seen")
    opened = invoice(desk)
    ingest_settlements(
        desk.store, [lifecycle(at=-50, requestId="req_told"), settlement(at=-40, paymentHash=payment_hash())]
    )
    assert invoice(desk) == {**opened, "status": "settled", "settledAtMs": BASE_MS - 40}


def test_a_report_of_what_the_gateway_settled_is_a_replay(desk: Office) -> None:
    event = SettlementEvent(
        "set_0", payment_hash(), PREIMAGES[0], 1_000, "pw_0", "owner_0", "req_seen", "task_seen", "route"
    )
    desk.store.invoice_opened(payment_hash(), "inv_0", 1_000, "pw_0", "owner_0", "req_seen")
    desk.store.ingest(event)
    before = desk.books()
    told = ingest_settlements(desk.store, [settlement(at=-99, requestId="a", invoiceId="inv_0")])
    assert told.settlements[0].existed
    assert desk.books() == before


def test_what_a_report_told_first_the_gateway_sees_again(desk: Office) -> None:
    ingest_settlements(desk.store, [settlement(at=7, invoiceId="inv_0", requestId="req_told")])
    desk.store.invoice_opened(payment_hash(), "inv_0", 1_000, "pw_0", "owner_0", "req_seen")
    outcome = desk.store.ingest(
        SettlementEvent("set_0", payment_hash(), PREIMAGES[0], 1_000, "pw_0", "owner_0", "req_seen")
    )
    assert outcome.existed
    assert (invoice(desk)["requestId"], invoice(desk)["status"]) == ("req_seen", "settled")
    assert desk.store.rows("settlements")[0]["requestId"] == "req_told"
    desk.store.invoice_opened(payment_hash(), "inv_0", 1_000, "pw_0", "owner_0", "a_later_one")
    assert invoice(desk)["requestId"] == "req_seen"


def test_a_purchase_reported_in_a_batch_is_known_already() -> None:
    with Stack(7) as stack, stack.online():
        answer = stack.client.get("/premium")
        challenge = preferred(parse_challenges(answer.headers.get_list("WWW-Authenticate")))
        assert challenge is not None
        payment = stack.wallet.pay_invoice(challenge.invoice)
        credential = format_credential(challenge.macaroon_base64, payment.preimage)
        assert stack.client.get("/premium", headers={"Authorization": credential}).status_code == 200
        (stored,) = stack.settlement_store.rows("settlements")
        event = {
            **settlement(),
            **{key: stored[key] for key in ("settlementId", "paywallId", "ownerId", "amountMsats")},
            "paymentProofValue": payment.preimage.hex(),
            "paymentHash": stored["paymentHash"],
        }
        assert ingest_settlements(stack.settlement_store, [event]).settlements[0].existed
        assert stack.settlement_store.rows("settlements") == (stored,)
        assert stack.tables()["ingest_batches"][0]["outcome"] == "accepted"


# Contradictions

BOOKED = (lifecycle(paymentHash=payment_hash()), settlement(invoiceId="inv_0", at=1))
CONFLICTS = {
    "settlement-amount": (settlement(amountMsats=1), "amountMsats", "1000", "1"),
    "settlement-owner": (settlement(ownerId="o"), "ownerId", "owner_0", "o"),
    "settlement-paywall": (settlement(paywallId="p"), "paywallId", "pw_0", "p"),
    "settlement-invoice": (settlement(invoiceId="inv_9"), "invoiceId", "inv_0", "inv_9"),
    "settlement-other-payment": (
        settlement(paymentProofValue=PREIMAGES[1].hex()),
        "paymentHash",
        payment_hash(0),
        payment_hash(1),
    ),
    "payment-under-another-id": (settlement(settlementId="set_9"), "settlementId", "set_0", "set_9"),
    "invoice-amount": (lifecycle(amountMsats=1), "amountMsats", "1000", "1"),
    "invoice-owner": (lifecycle(ownerId="o"), "ownerId", "owner_0", "o"),
    "invoice-paywall": (lifecycle(paywallId="p"), "paywallId", "pw_0", "p"),
    "invoice-hash": (lifecycle(paymentHash=payment_hash(1)), "paymentHash", payment_hash(), payment_hash(1)),
    "invoice-proof": (lifecycle(paymentProofRef=proof(1)), "paymentProofRef", proof(), proof(1)),
    "hash-under-another-invoice": (
        lifecycle(invoiceId="inv_9", paymentHash=payment_hash()),
        "invoiceId",
        "inv_0",
        "inv_9",
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_a_contradiction_with_the_books_is_refused_named_and_kept(desk: Office, name: str) -> None:
    event, field, kept, offered = CONFLICTS[name]
    ingest_settlements(desk.store, BOOKED)
    error = refused(desk, event)
    (refusal,) = error.refusals
    subject = event.get("settlementId") or event["invoiceId"]
    assert (refusal.field, refusal.expected, refusal.seen) == (field, kept, offered)
    assert (refusal.subject_id, str(refusal.code)) == (subject, "settlement_conflict")
    (row,) = desk.store.rows("conflicts")
    assert (row["settlementId"], row["field"], row["kept"], row["refused"]) == (subject, field, kept, offered)
    assert error.to_row()["failureCode"] == error.code == "settlement_conflict"


def test_a_first_settlement_must_fit_its_invoice_in_everything(desk: Office) -> None:
    ingest_settlements(desk.store, [lifecycle(paymentHash=payment_hash(1), paymentProofRef=proof(1))])
    error = refused(desk, settlement(invoiceId="inv_0", amountMsats=1, ownerId="o", paywallId="p"))
    assert {refusal.field for refusal in error.refusals} == {
        "paymentHash",
        "amountMsats",
        "ownerId",
        "paywallId",
    }
    assert len(desk.store.rows("conflicts")) == 4


def test_a_proof_that_an_invoice_was_told_must_be_that_of_its_settlement(desk: Office) -> None:
    ingest_settlements(desk.store, [lifecycle(paymentProofRef=proof(1))])
    assert refused(desk, settlement(invoiceId="inv_0")).refusals[0].field == "paymentProofRef"
    ingest_settlements(desk.store, [settlement()])
    late = lifecycle(paymentHash=payment_hash())
    assert refused(desk, late).refusals[0].field == "paymentProofRef"


@pytest.mark.parametrize("changes", [{"amountMsats": 1}, {"ownerId": "o"}, {"paywallId": "p"}])
def test_an_invoice_that_comes_late_must_fit_its_settlement(desk: Office, changes: dict[str, Any]) -> None:
    ingest_settlements(desk.store, [settlement()])
    error = refused(desk, lifecycle(paymentHash=payment_hash(), **changes))
    assert {refusal.field for refusal in error.refusals} == set(changes)


def test_a_named_invoice_must_not_be_another_than_that_of_the_hash(desk: Office) -> None:
    ingest_settlements(desk.store, [lifecycle(paymentHash=payment_hash())])
    assert refused(desk, settlement(invoiceId="inv_9")).refusals[0].field == "invoiceId"


def test_a_preimage_of_another_hash_is_refused_and_kept(desk: Office) -> None:
    error = refused(desk, settlement(paymentHash=payment_hash(1), requestId="r1"))
    assert error.code == "invalid_preimage"
    (row,) = desk.store.rows("conflicts")
    assert (row["field"], row["kept"], row["refused"]) == ("paymentHash", payment_hash(1), payment_hash(0))
    (record,) = desk.records()
    assert (record["denyReason"], record["requestId"], record["paymentProofRef"]) == (
        "invalid_preimage",
        "r1",
        None,
    )


def test_one_bad_event_keeps_the_whole_batch_out(desk: Office) -> None:
    error = refused(desk, lifecycle(1), settlement(1), settlement(0, paymentProofValue="abc"))
    assert (error.code, error.refusals[0].event) == ("invalid_preimage", 2)
    assert desk.records() == []
    assert desk.journal.rows("projection") == ()
    assert ingest_settlements(desk.store, [lifecycle(1), settlement(1)]).settlements[0].existed is False


def test_a_refusal_names_the_place_in_the_batch_as_it_came(desk: Office) -> None:
    ingest_settlements(desk.store, BOOKED)
    error = refused(desk, settlement(1, at=9), settlement(at=1, ownerId="o"), lifecycle(2, at=5))
    assert [refusal.event for refusal in error.refusals] == [1]


def test_every_reason_is_given_at_once(desk: Office) -> None:
    error = refused(
        desk, settlement(amountMsats=-1), "no event", lifecycle(status="paid"), lifecycle(paymentHash="x"), 5
    )
    assert [refusal.event for refusal in error.refusals] == [0, 1, 2, 3, 4]
    assert "and 2 more" in str(error)
    assert "nothing was stored" in str(error)
    assert "more;" not in str(refused(desk, 1, 2, 3))
    assert "\n" not in str(error)
    row = error.to_row()
    assert (row["ok"], row["processed"], len(row["refusals"])) == (False, 0, 5)
    assert row["settlementIds"] == row["correlationRefs"] == row["invoiceTransitions"] == []


# Evidence


def test_records_and_projection_tell_what_the_books_hold(desk: Office) -> None:
    ingest_settlements(
        desk.store, [settlement(requestId="r1", taskId="t1"), settlement(at=1, requestId="r2")]
    )
    for plane in ("settlement", "ui"):
        told = [
            (row["requestId"], row["cacheHit"], row["paymentProofRef"]) for row in desk.records(plane=plane)
        ]
        assert told == [("r1", False, proof()), ("r2", True, proof())]
    (first, _) = desk.records(plane="settlement")
    assert {first[key] for key in ("quotedCostMsats", "capAppliedMsats", "paidAmountMsats")} == {1_000}
    assert [row["line"].split("oa_req=")[1] for row in desk.journal.rows("logs")] == [
        "r1 settlement=set_0 stored",
        "r2 settlement=set_0 replayed",
    ]
    assert [row["status"] for row in desk.journal.rows("projection")] == ["paid", "cached"]


def test_each_batch_leaves_a_row(desk: Office) -> None:
    ingest_settlements(desk.store, [settlement()], request_id="batch-1")
    refused(desk, settlement(ownerId="o"))
    accepted, refusal = desk.journal.rows("ingest_batches")
    assert accepted == {
        "requestId": "batch-1",
        "events": 1,
        "outcome": "accepted",
        "refusals": [],
        "atMs": accepted["atMs"],
    }
    assert desk.clock.now_ms() >= refusal["atMs"] > accepted["atMs"]
    assert (refusal["requestId"], refusal["outcome"]) == ("smoke:settlement", "refused")
    assert refusal["refusals"][0]["field"] == "ownerId"


def test_the_tables_hold_no_preimage(desk: Office) -> None:
    ingest_settlements(desk.store, smoke_events())
    refused(desk, *({**event, "amountMsats": 1} for event in smoke_events()))
    refused(desk, {**smoke_events()[1], "paymentProofValue": "a" * 65})
    shown = repr([desk.journal.rows(table) for table in desk.journal.table_names()]) + repr(desk.books())
    assert "a" * 25 not in shown


def test_the_evidence_satisfies_the_check_for_a_conflict(desk: Office) -> None:
    ingest_settlements(desk.store, BOOKED)
    refused(desk, settlement(amountMsats=1))
    tables = {name: desk.store.rows(name) for name in ("settlements", "conflicts", "invoices")}
    result = run_check(settlement_conflict("set_0", "amountMsats"), Evidence(tables))
    assert not result.violations
    assert all(mutant.killed for mutant in result.mutants)


def test_faults_of_the_delivery_do_not_touch_a_batch(desk: Office) -> None:
    with (
        desk.faults.inject(SettlementLost()),
        desk.faults.inject(SettlementDelayed()),
        desk.faults.inject(SettlementProofMismatch()),
    ):
        ingest_settlements(desk.store, [settlement()])
    assert desk.store.rows("settlements")[0]["paymentProofRef"] == proof()


# Interrupted


class Interrupting(list[Any]):
    """Facts of which the last is never reached."""

    def __iter__(self) -> Any:
        yield from super().__iter__()
        raise KeyboardInterrupt


def test_an_interrupted_batch_leaves_nothing_and_can_be_sent_again(desk: Office) -> None:
    facts = [decode_event(event, place) for place, event in enumerate(BOOKED)]
    with pytest.raises(KeyboardInterrupt):
        desk.store.ingest_batch(Interrupting(facts))
    assert desk.books() == ()
    assert desk.records() == []
    assert not ingest_settlements(desk.store, BOOKED).settlements[0].existed


def test_a_batch_whose_process_is_killed_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    script = """
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        from settlement_world import Office, lifecycle, settlement
        from pytest_l402.ops.settlement.events import decode_event
        from pytest_l402.ops.settlement.ingest import ingest_settlements

        class Killing(list):
            def __iter__(self):
                yield from super().__iter__()
                os.kill(os.getpid(), signal.SIGKILL)

        desk = Office(sys.argv[1])
        ingest_settlements(desk.store, [lifecycle(1)])
        desk.store.ingest_batch(Killing([decode_event(e, 0) for e in (lifecycle(0), settlement(0))]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    with office(path) as reopened:
        assert [row["invoiceId"] for row in reopened.store.rows("invoices")] == ["inv_1"]
        assert reopened.store.rows("settlements") == ()
        assert not ingest_settlements(reopened.store, BOOKED).settlements[0].existed


def test_two_processes_on_one_file_keep_one_set_of_books(tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    with office(path) as one, office(path) as other:
        ingest_settlements(one.store, BOOKED)
        assert ingest_settlements(other.store, BOOKED).settlements[0].existed
        assert one.books() == other.books()
        with pytest.raises(SettlementConflict):
            other.store.invoice_opened(payment_hash(), "inv_9", 1_000, "pw_0", "owner_0", None)
        refused(one, settlement(amountMsats=1))
