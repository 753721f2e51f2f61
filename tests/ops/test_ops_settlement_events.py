"""What a reported event must be before anything is stored, and what a refusal may show of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_world import BASE_MS, PREIMAGES, Event, lifecycle, payment_hash, proof, settlement

from pytest_l402.contract.settlement_event import InvoiceFact, SettlementFact
from pytest_l402.ops.settlement.events import Refusal, batch_order, decode_event
from pytest_l402.protocol import encode_invoice

SECRET = PREIMAGES[1].hex()


def invoice(number: int = 0, amount_msats: int | None = 1_000) -> str:
    return encode_invoice(
        private_key=b"\x07" * 32,
        payment_hash=PREIMAGES[number].payment_hash,
        amount_msats=amount_msats,
        timestamp_s=BASE_MS // 1000,
        description="a test",
        payment_secret=b"\x01" * 32,
    )


def faults(event: object) -> set[tuple[str, str]]:
    found = decode_event(event, 4)
    assert isinstance(found, tuple), found
    assert {fault.event for fault in found} == {4}
    return {(fault.field, str(fault.code)) for fault in found}


def test_an_invoice_event_becomes_a_fact() -> None:
    event = lifecycle(
        0,
        "settled",
        5,
        paymentHash=payment_hash().upper(),
        paymentProofRef=proof(),
        requestId="r",
        settledAtMs=BASE_MS + 2,
        metadata={"dropped": True},
    )
    assert decode_event(event, 0) == InvoiceFact(
        at_ms=BASE_MS + 5,
        invoice_id="inv_0",
        paywall_id="pw_0",
        owner_id="owner_0",
        amount_msats=1_000,
        status="settled",
        payment_hash=payment_hash(),
        proof_reference=proof(),
        request_id="r",
        settled_at_ms=BASE_MS + 2,
    )


def test_a_settlement_event_becomes_a_fact_with_the_hash_of_its_preimage() -> None:
    event = settlement(
        0,
        5,
        paymentProofValue=f" {PREIMAGES[0].hex().upper()}\n",
        paymentHash=payment_hash(1),
        invoiceId="inv_0",
        taskId="t",
        routeId=None,
        requestId="  ",
    )
    assert decode_event(event, 0) == SettlementFact(
        at_ms=BASE_MS + 5,
        settlement_id="set_0",
        payment_hash=payment_hash(),
        proof_reference=proof(),
        amount_msats=1_000,
        paywall_id="pw_0",
        owner_id="owner_0",
        invoice_id="inv_0",
        task_id="t",
        claimed_hash=payment_hash(1),
    )


@pytest.mark.parametrize("value", [None, [], "settlement", 3])
def test_what_is_no_object_is_no_event(value: object) -> None:
    assert faults(value) == {("", "invalid_event")}


@pytest.mark.parametrize("kind", [None, "", "Settlement", ["settlement"], {}, 1])
def test_an_unknown_kind_is_refused(kind: object) -> None:
    assert faults({**settlement(), "kind": kind}) == {("kind", "invalid_event")}


REQUIRED = {
    "lifecycle": (
        lifecycle,
        ("occurredAtMs", "invoiceId", "paywallId", "ownerId", "amountMsats", "status"),
    ),
    "settlement": (
        settlement,
        ("occurredAtMs", "settlementId", "paywallId", "ownerId", "amountMsats", "paymentProofType"),
    ),
}


@pytest.mark.parametrize("kind", REQUIRED)
def test_every_required_key_is_missed_at_once(kind: str) -> None:
    make, keys = REQUIRED[kind]
    event = make()
    for key in keys:
        del event[key]
    assert faults(event) == {(key, "invalid_event") for key in keys}


def test_a_settlement_without_a_preimage_is_refused_by_its_own_code() -> None:
    event = settlement()
    del event["paymentProofValue"]
    assert faults(event) == {("paymentProofValue", "invalid_preimage")}


@pytest.mark.parametrize("amount", [-1, 1.5, "1", True, None, 2**53, float("nan")])
def test_an_amount_is_whole_msats(amount: object) -> None:
    assert faults(settlement(amountMsats=amount)) == {("amountMsats", "invalid_event")}


@pytest.mark.parametrize("time", [-1, 1.5, "1", True, None, 2**53])
def test_a_time_is_whole_milliseconds(time: object) -> None:
    assert faults({**lifecycle(), "occurredAtMs": time}) == {("occurredAtMs", "invalid_event")}
    assert ("settledAtMs", "invalid_event") in faults(lifecycle(0, "settled", settledAtMs=time or "x"))


@pytest.mark.parametrize("value", ["", "  ", " a", "a\nb", "a\x1b[2J", "x" * 257])
@pytest.mark.parametrize("key", ["settlementId", "paywallId", "ownerId"])
def test_an_id_can_stand_in_a_log_line(key: str, value: str) -> None:
    assert faults(settlement(**{key: value})) == {(key, "invalid_event")}


@pytest.mark.parametrize("key", ["requestId", "taskId", "routeId", "invoiceId"])
def test_an_optional_id_is_blank_or_usable(key: str) -> None:
    assert isinstance(decode_event(settlement(**{key: " "}), 0), SettlementFact)
    assert isinstance(decode_event(settlement(**{key: "x" * 256}), 0), SettlementFact)
    assert faults(settlement(**{key: "a\nb"})) == {(key, "invalid_event")}
    assert faults(settlement(**{key: "x" * 257})) == {(key, "invalid_event")}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "abc",
        "a" * 63,
        "a" * 65,
        "a" * 128,
        "g" * 64,
        "0x" + "a" * 62,
        "\N{FULLWIDTH DIGIT ONE}" * 64,
        7,
        None,
        ["a" * 64],
    ],
)
def test_a_preimage_is_exactly_64_hex_digits(value: object) -> None:
    assert faults(settlement(paymentProofValue=value)) == {("paymentProofValue", "invalid_preimage")}


def test_another_proof_type_is_refused_by_its_own_code() -> None:
    (fault,) = decode_event(settlement(paymentProofType="keysend"), 0)  # type: ignore[misc]
    assert isinstance(fault, Refusal)
    assert (fault.field, fault.code) == ("paymentProofType", "invalid_payment_proof_type")
    assert (fault.expected, fault.seen) == ("lightning_preimage", '"keysend"')


@pytest.mark.parametrize("value", ["hash_smoke_1", "a" * 63, "g" * 64])
def test_a_payment_hash_is_64_hex_digits(value: str) -> None:
    for make in (lifecycle, settlement):
        assert faults(make(paymentHash=value)) == {("paymentHash", "invalid_event")}


@pytest.mark.parametrize("value", ["preimage:" + "a" * 16, "lightning_preimage:" + "a" * 64, "a" * 64])
def test_a_proof_reference_has_the_hosted_form(value: str) -> None:
    assert faults(lifecycle(paymentProofRef=value)) == {("paymentProofRef", "invalid_event")}


def test_nothing_has_a_settlement_time_before_it_is_settled() -> None:
    assert faults(lifecycle(settledAtMs=BASE_MS)) == {("settledAtMs", "invalid_event")}


def test_an_unknown_status_is_refused() -> None:
    assert faults(lifecycle(status="paid")) == {("status", "invalid_event")}


def test_a_payment_request_tells_the_payment_hash() -> None:
    for amount in (1_000, None):
        fact = decode_event(lifecycle(paymentRequest=invoice(0, amount)), 0)
        assert isinstance(fact, InvoiceFact)
        assert fact.payment_hash == payment_hash()


@pytest.mark.parametrize(
    "event",
    [
        lifecycle(paymentRequest="lnbc1smokepaymentrequest1"),
        lifecycle(paymentRequest=invoice(0, 2_000)),
        lifecycle(paymentRequest=invoice(1), paymentHash=payment_hash(0)),
    ],
)
def test_a_payment_request_must_be_an_invoice_of_this_event(event: Event) -> None:
    assert faults(event) == {("paymentRequest", "invalid_event")}


SECRET_PLACES = [
    settlement(1, paymentProofValue=SECRET + "0"),
    settlement(1, paymentProofValue=[SECRET]),
    settlement(1, paymentProofValue=PREIMAGES[1].value),
    settlement(1, amountMsats=None),
    settlement(1, paymentProofType="preimage=" + SECRET),
    lifecycle(1, paymentProofRef=SECRET),
    lifecycle(1, paymentProofRef="lightning_preimage:" + SECRET),
    lifecycle(1, paymentHash=SECRET + "0"),
    {**settlement(1), "kind": SECRET},
]


@pytest.mark.parametrize("event", SECRET_PLACES)
def test_no_refusal_shows_a_preimage(event: Event) -> None:
    found = decode_event(event, 0)
    assert isinstance(found, tuple)
    shown = repr(found) + "".join(map(str, found)) + repr([fault.to_row() for fault in found])
    assert SECRET[:25] not in shown
    assert repr(PREIMAGES[1].value) not in shown


def test_a_refusal_names_place_field_and_subject() -> None:
    (fault,) = decode_event(settlement(paymentProofValue="abc"), 7)  # type: ignore[misc]
    assert isinstance(fault, Refusal)
    assert str(fault) == (
        'events[7].paymentProofValue ("set_0"): expected 64 hex digits of a 32-byte preimage, '
        "saw text of 3 characters [invalid_preimage]"
    )
    assert fault.to_row() == {
        "event": 7,
        "subjectId": "set_0",
        "code": "invalid_preimage",
        "field": "paymentProofValue",
        "expected": "64 hex digits of a 32-byte preimage",
        "seen": "text of 3 characters",
    }


def test_a_batch_is_ordered_by_time_then_invoices_then_rank() -> None:
    events = [
        lifecycle(0, "open", 1),
        lifecycle(1, "open", 2),
        lifecycle(0, "canceled", 2),
        lifecycle(0, "settled", 2),
        settlement(0, 2),
        settlement(1, 2),
        lifecycle(0, "open", 3),
    ]
    facts: list[Any] = [decode_event(event, place) for place, event in enumerate(events)]
    for first in range(len(facts)):
        assert sorted(facts[first:] + facts[:first], key=batch_order) == facts


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from(sorted({*settlement(), *lifecycle(), "paymentHash", "requestId", "paymentRequest"}))


@given(st.sampled_from([settlement(), lifecycle()]), st.dictionaries(KEYS, ANY, min_size=1, max_size=3))
def test_whatever_an_event_holds_it_is_a_fact_or_refused(event: Event, changes: Event) -> None:
    found = decode_event({**event, **changes}, 0)
    if isinstance(found, tuple):
        assert found
        assert all(str(fault).isprintable() for fault in found)
    else:
        assert found.amount_msats == {**event, **changes}["amountMsats"]
