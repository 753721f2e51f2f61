"""The node signs real invoices and releases a preimage once, against payment."""

import pytest

from pytest_l402.harness.clock import StackClock
from pytest_l402.harness.harness import Harness
from pytest_l402.protocol import decode_invoice
from pytest_l402.stack.faults import ChallengeFailure
from pytest_l402.stack.gateway.lightning_node import (
    InvoiceClosed,
    InvoiceStatus,
    LightningNode,
    NodeUnavailable,
    TooLittlePaid,
    UnknownInvoice,
)


def node(clock=None, **arguments):
    return LightningNode(Harness(1, clock=clock), **arguments)


def test_an_invoice_says_what_was_asked_for_and_is_signed_by_the_node():
    clock = StackClock(1_700_000_000_999)
    seller = node(clock, expiry_s=60)
    invoice = seller.create_invoice(21_000, "L402", "req-1")
    decoded = decode_invoice(invoice.bolt11)
    assert (decoded.amount_msats, decoded.description, decoded.prefix) == (21_000, "L402", "lnbcrt")
    assert (decoded.timestamp_s, decoded.expires_at_s) == (1_700_000_000, invoice.expires_at_s)
    assert decoded.payment_hash == invoice.payment_hash
    assert decoded.payee.hex() == seller.node_id
    assert seller.request_id_of(invoice.payment_hash) == "req-1"


@pytest.mark.parametrize(
    ("network", "prefix"),
    [("bitcoin", "lnbc"), ("testnet", "lntb"), ("signet", "lntbs"), ("regtest", "lnbcrt")],
)
def test_each_network_has_its_prefix(network, prefix):
    assert decode_invoice(node(network=network).create_invoice(1_000).bolt11).prefix == prefix


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match="'mars'"):
        node(network="mars")


def test_a_settled_invoice_gives_its_preimage_once():
    seller = node()
    invoice = seller.create_invoice(1_000)
    assert seller.lookup(invoice.payment_hash) is InvoiceStatus.OPEN
    assert seller.settle(invoice.payment_hash).payment_hash == invoice.payment_hash
    assert seller.lookup(invoice.payment_hash) is InvoiceStatus.SETTLED
    with pytest.raises(InvoiceClosed, match="settled"):
        seller.settle(invoice.payment_hash)


def test_an_expired_invoice_cannot_be_settled_but_a_settled_one_stays_so():
    clock = StackClock(0)
    seller = node(clock, expiry_s=10)
    paid, unpaid = seller.create_invoice(1_000), seller.create_invoice(1_000)
    seller.settle(paid.payment_hash)
    clock.advance(9_999)
    assert seller.lookup(unpaid.payment_hash) is InvoiceStatus.OPEN
    clock.advance(1)
    assert seller.lookup(unpaid.payment_hash) is InvoiceStatus.EXPIRED
    with pytest.raises(InvoiceClosed, match="expired"):
        seller.settle(unpaid.payment_hash)
    assert seller.lookup(paid.payment_hash) is InvoiceStatus.SETTLED


def test_an_unknown_payment_hash_is_refused():
    seller = node()
    for call in (seller.lookup, seller.settle):
        with pytest.raises(UnknownInvoice):
            call("ab" * 32)
    assert seller.request_id_of("ab" * 32) is None


def test_the_fault_hits_the_request_it_is_meant_for():
    harness = Harness(1)
    seller, faults = LightningNode(harness), harness.faults
    with faults.inject(ChallengeFailure(), "req-1"):
        with pytest.raises(NodeUnavailable):
            seller.create_invoice(1_000, request_id="req-1")
        assert seller.create_invoice(1_000, request_id="req-2")


@pytest.mark.parametrize("amount", [0, -1])
def test_an_invoice_asks_for_something(amount):
    with pytest.raises(ValueError, match="positive amount"):
        node().create_invoice(amount)


def test_the_same_seed_signs_the_same_invoices():
    first, second = node(), node()
    assert [first.create_invoice(1_000).bolt11 for _ in range(3)] == [
        second.create_invoice(1_000).bolt11 for _ in range(3)
    ]
    assert node(private_key=b"\x01" * 32).node_id != first.node_id


def test_no_repr_holds_a_secret():
    seller = node(private_key=b"\x01" * 32)
    invoice = seller.create_invoice(1_000)
    preimage = seller.settle(invoice.payment_hash).hex()
    shown = repr(seller) + repr(invoice) + repr(seller.__dict__["_held"])
    assert preimage not in shown


def test_the_book_has_every_invoice_and_what_arrived_for_it():
    clock = StackClock(1_700_000_000_000)
    seller = node(clock)
    open_one = seller.create_invoice(1_000, request_id="request-1")
    paid = seller.create_invoice(2_000)
    clock.advance(5)
    seller.settle(paid.payment_hash, 2_001)
    made_ms = clock.now_ms() - 5
    assert seller.book() == [
        {
            "paymentHash": open_one.payment_hash,
            "requestId": "request-1",
            "amountMsats": 1_000,
            "receivedMsats": None,
            "createdAtMs": made_ms,
            "settledAtMs": None,
        },
        {
            "paymentHash": paid.payment_hash,
            "requestId": None,
            "amountMsats": 2_000,
            "receivedMsats": 2_001,
            "createdAtMs": made_ms,
            "settledAtMs": clock.now_ms(),
        },
    ]


def test_too_little_is_not_taken():
    seller = node()
    invoice = seller.create_invoice(2_000)
    with pytest.raises(TooLittlePaid, match="expected 2000 msats, 1999 arrived"):
        seller.settle(invoice.payment_hash, 1_999)
    assert seller.lookup(invoice.payment_hash) is InvoiceStatus.OPEN
