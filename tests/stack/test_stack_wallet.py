"""The wallet pays each payment hash once, at most the cap, and says how every call went."""

import pytest
from stack_shop import HOST, Shop

from pytest_l402.contract.payment import PaymentError
from pytest_l402.harness.harness import Harness
from pytest_l402.protocol import encode_invoice
from pytest_l402.stack.buyer.wallet import (
    AmountOverCap,
    InvoiceNotPayable,
    PaymentAlreadyMade,
    PaymentFailed,
    PaymentPendingError,
    PreimageNotReturned,
    Wallet,
    WalletIsLocked,
)
from pytest_l402.stack.faults import (
    PaymentFailure,
    PaymentPending,
    PaymentSlow,
    PreimageMissing,
    WalletLocked,
)
from pytest_l402.stack.gateway.lightning_node import InvoiceStatus, LightningNode


@pytest.fixture
def shop():
    return Shop()


def statuses(shop):
    return [row["status"] for row in shop.journal.rows("payments")]


def assert_nothing_moved(shop, invoice):
    assert shop.wallet.balance_msats == 100_000_000
    assert shop.node.lookup(invoice.payment_hash) is InvoiceStatus.OPEN


def test_a_payment_brings_the_preimage_moves_the_money_and_leaves_a_row(shop):
    invoice = shop.node.create_invoice(21_000)
    payment = shop.wallet.pay_invoice(invoice.bolt11, max_msats=21_000, host=HOST)
    preimage = payment.preimage.hex()
    assert payment.preimage.payment_hash == payment.payment_hash == invoice.payment_hash
    assert payment.amount_msats == 21_000
    assert shop.wallet.balance_msats == 100_000_000 - 21_000
    assert shop.journal.rows("payments") == (
        {
            "paymentHash": invoice.payment_hash,
            "amountMsats": 21_000,
            "feeMsats": 0,
            "wallet": "wallet",
            "host": HOST,
            "status": "succeeded",
            "preimageReleased": True,
            "proofReference": f"lightning_preimage:{preimage[:24]}",
            "atMs": shop.clock.now_ms(),
        },
    )
    assert payment.proof_reference == f"lightning_preimage:{preimage[:24]}"
    assert payment.local_proof_reference == f"preimage:{preimage[:16]}"
    assert preimage not in repr(payment) + repr(shop.wallet)


def test_a_payment_hash_is_paid_once(shop):
    invoice = shop.node.create_invoice(21_000)
    shop.wallet.pay_invoice(invoice.bolt11)
    with pytest.raises(PaymentAlreadyMade, match="succeeded already"):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert shop.wallet.balance_msats == 100_000_000 - 21_000
    assert statuses(shop) == ["succeeded", "duplicate"]
    assert shop.journal.rows("payments")[1]["preimageReleased"] is False


def test_a_second_wallet_cannot_pay_the_same_invoice(shop):
    invoice = shop.node.create_invoice(21_000)
    shop.wallet.pay_invoice(invoice.bolt11)
    other = Wallet(shop.harness, shop.node)
    with pytest.raises(PaymentFailed, match="refused"):
        other.pay_invoice(invoice.bolt11)
    assert other.balance_msats == 100_000_000


def test_an_amount_over_the_cap_is_not_paid_and_the_cap_itself_is(shop):
    invoice = shop.node.create_invoice(21_000)
    with pytest.raises(AmountOverCap, match="21000 msats, the cap is 20999 msats"):
        shop.wallet.pay_invoice(invoice.bolt11, max_msats=20_999)
    assert_nothing_moved(shop, invoice)
    assert statuses(shop) == ["failed"]
    shop.wallet.pay_invoice(invoice.bolt11, max_msats=21_000)


def test_what_the_wallet_does_not_have_it_does_not_pay(shop):
    invoice = shop.node.create_invoice(100_000_001)
    with pytest.raises(PaymentFailed, match="balance"):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert_nothing_moved(shop, invoice)


def test_an_expired_invoice_is_not_paid(shop):
    invoice = shop.node.create_invoice(21_000)
    shop.clock.advance(3_600_000)
    with pytest.raises(InvoiceNotPayable, match="expired"):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert shop.wallet.balance_msats == 100_000_000


def test_an_invoice_of_another_network_is_not_paid(shop):
    other = LightningNode(Harness(2), network="bitcoin")
    with pytest.raises(InvoiceNotPayable, match="lnbcrt, saw one of lnbc"):
        shop.wallet.pay_invoice(other.create_invoice(1_000).bolt11)


def test_an_invoice_of_an_unknown_node_finds_no_route(shop):
    other = LightningNode(Harness(2))
    with pytest.raises(PaymentFailed):
        shop.wallet.pay_invoice(other.create_invoice(1_000).bolt11)
    assert shop.wallet.balance_msats == 100_000_000


def test_an_invoice_that_another_key_signed_over_a_known_payment_hash_finds_no_route(shop):
    invoice = shop.node.create_invoice(21_000)
    cheaper = encode_invoice(
        private_key=b"\x01" * 32,
        payment_hash=invoice.payment_hash,
        timestamp_s=shop.clock.now_s(),
        amount_msats=1,
        description="any",
    )
    with pytest.raises(PaymentFailed, match="no route"):
        shop.wallet.pay_invoice(cheaper)
    assert_nothing_moved(shop, invoice)


def test_an_invoice_without_an_amount_is_not_paid(shop):
    bolt11 = encode_invoice(
        private_key=b"\x01" * 32,
        payment_hash=shop.node.create_invoice(1_000).payment_hash,
        timestamp_s=shop.clock.now_s(),
        description="any",
    )
    with pytest.raises(InvoiceNotPayable, match="leaves it open"):
        shop.wallet.pay_invoice(bolt11)


@pytest.mark.parametrize(
    "change",
    [lambda text: "not an invoice", lambda text: text[:-1] + "qp"[text[-1] == "q"]],
    ids=["other text", "last character changed"],
)
def test_text_that_is_no_invoice_or_was_changed_is_not_paid(shop, change):
    invoice = shop.node.create_invoice(21_000)
    with pytest.raises(InvoiceNotPayable):
        shop.wallet.pay_invoice(change(invoice.bolt11))
    assert_nothing_moved(shop, invoice)
    assert shop.journal.rows("payments") == ()


def test_a_locked_wallet_pays_nothing_until_it_is_unlocked(shop):
    invoice = shop.node.create_invoice(21_000)
    with shop.faults.inject(WalletLocked()), pytest.raises(WalletIsLocked):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert_nothing_moved(shop, invoice)
    shop.wallet.pay_invoice(invoice.bolt11)
    assert statuses(shop) == ["failed", "succeeded"]


def test_a_failed_payment_moves_nothing_and_may_be_tried_again(shop):
    invoice = shop.node.create_invoice(21_000)
    with shop.faults.inject(PaymentFailure()), pytest.raises(PaymentFailed, match="no route"):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert_nothing_moved(shop, invoice)
    assert shop.wallet.status_of(invoice.payment_hash) is None
    shop.wallet.pay_invoice(invoice.bolt11)
    assert statuses(shop) == ["failed", "succeeded"]


def test_a_pending_payment_holds_the_money_until_it_is_resolved(shop):
    invoice = shop.node.create_invoice(21_000)
    with shop.faults.inject(PaymentPending()), pytest.raises(PaymentPendingError) as pending:
        shop.wallet.pay_invoice(invoice.bolt11, host=HOST)
    assert pending.value.payment_hash == invoice.payment_hash
    assert shop.wallet.balance_msats == 100_000_000 - 21_000
    assert shop.wallet.pending() == (invoice.payment_hash,)
    with pytest.raises(PaymentAlreadyMade, match="pending already"):
        shop.wallet.pay_invoice(invoice.bolt11)
    payment = shop.wallet.resolve_pending(invoice.payment_hash)
    assert payment.payment_hash == invoice.payment_hash
    assert shop.wallet.balance_msats == 100_000_000 - 21_000
    assert shop.wallet.pending() == ()
    assert statuses(shop) == ["pending", "duplicate", "succeeded"]
    with pytest.raises(PaymentError, match="not pending"):
        shop.wallet.resolve_pending(invoice.payment_hash)


def test_a_pending_payment_that_fails_gives_the_money_back(shop):
    invoice = shop.node.create_invoice(21_000)
    with shop.faults.inject(PaymentPending()), pytest.raises(PaymentPendingError):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert shop.wallet.resolve_pending(invoice.payment_hash, succeed=False) is None
    assert_nothing_moved(shop, invoice)
    assert statuses(shop) == ["pending", "failed"]


def test_a_pending_payment_that_the_node_refuses_by_now_gives_the_money_back(shop):
    invoice = shop.node.create_invoice(21_000)
    with shop.faults.inject(PaymentPending()), pytest.raises(PaymentPendingError):
        shop.wallet.pay_invoice(invoice.bolt11)
    shop.clock.advance(3_600_000)
    with pytest.raises(PaymentFailed, match="refused"):
        shop.wallet.resolve_pending(invoice.payment_hash)
    assert shop.wallet.balance_msats == 100_000_000
    assert shop.wallet.pending() == ()


def test_a_slow_payment_lets_time_pass_and_may_come_too_late(shop):
    quick, late = shop.node.create_invoice(1_000), shop.node.create_invoice(1_000)
    start = shop.clock.now_ms()
    with shop.faults.inject(PaymentSlow(ms=5_000)):
        shop.wallet.pay_invoice(quick.bolt11)
    assert shop.clock.now_ms() >= start + 5_000
    with shop.faults.inject(PaymentSlow(ms=3_600_000)), pytest.raises(PaymentFailed, match="expired"):
        shop.wallet.pay_invoice(late.bolt11)
    assert shop.wallet.balance_msats == 100_000_000 - 1_000


def test_a_missing_preimage_costs_the_money_all_the_same(shop):
    invoice = shop.node.create_invoice(21_000)
    with shop.faults.inject(PreimageMissing()), pytest.raises(PreimageNotReturned):
        shop.wallet.pay_invoice(invoice.bolt11)
    assert shop.wallet.balance_msats == 100_000_000 - 21_000
    assert shop.node.lookup(invoice.payment_hash) is InvoiceStatus.SETTLED
    (row,) = shop.journal.rows("payments")
    assert (row["status"], row["preimageReleased"], row["proofReference"]) == ("succeeded", False, None)
    with pytest.raises(PaymentAlreadyMade):
        shop.wallet.pay_invoice(invoice.bolt11)


def test_a_fault_for_one_request_hits_the_payment_of_its_invoice_only(shop):
    mine = shop.node.create_invoice(1_000, request_id="req-1")
    other = shop.node.create_invoice(1_000, request_id="req-2")
    with shop.faults.inject(PaymentFailure(), "req-1"):
        shop.wallet.pay_invoice(other.bolt11)
        with pytest.raises(PaymentFailed):
            shop.wallet.pay_invoice(mine.bolt11)


def test_no_row_and_no_message_holds_a_preimage():
    harness = Harness(1)
    node = LightningNode(harness)
    wallet = Wallet(harness, node)
    invoice = node.create_invoice(1_000)
    preimage = wallet.pay_invoice(invoice.bolt11).preimage.hex()
    with pytest.raises(PaymentAlreadyMade) as twice:
        wallet.pay_invoice(invoice.bolt11)
    assert preimage not in str(twice.value) + repr(harness.journal.rows("payments"))


def test_a_fee_is_part_of_what_a_payment_costs_and_never_of_a_failed_one(shop):
    wallet = Wallet(shop.harness, shop.node, balance_msats=43_000, fee_msats=500)
    wallet.pay_invoice(shop.node.create_invoice(21_000).bolt11)
    assert wallet.balance_msats == 43_000 - 21_500
    (row,) = shop.journal.rows("payments")
    assert (row["amountMsats"], row["feeMsats"], row["wallet"]) == (21_000, 500, "wallet-2")
    late = shop.node.create_invoice(21_000)
    with shop.faults.inject(PaymentPending()), pytest.raises(PaymentPendingError):
        wallet.pay_invoice(late.bolt11)
    assert wallet.balance_msats == 0
    wallet.resolve_pending(late.payment_hash, succeed=False)
    assert wallet.balance_msats == 21_500
    with pytest.raises(PaymentFailed, match="and 500 msats of fees"):
        wallet.pay_invoice(shop.node.create_invoice(21_001).bolt11)


def test_every_purse_is_read_from_outside(shop):
    second = Wallet(shop.harness, shop.node, balance_msats=21_000)
    second.pay_invoice(shop.node.create_invoice(21_000).bolt11)
    assert shop.harness.accounts.rows() == [
        {"account": "node", "beforeMsats": 0, "nowMsats": 21_000},
        {"account": "wallet", "beforeMsats": 100_000_000, "nowMsats": 100_000_000},
        {"account": "wallet-2", "beforeMsats": 21_000, "nowMsats": 0},
    ]
