"""Who counts in front of a part is the part to whoever looks, and counts what it is asked for alone."""

from __future__ import annotations

from pytest_l402.harness.counted import Counted, counted, part_behind, times_asked


class Wallet:
    def __init__(self):
        self.balance = 5

    def __repr__(self):
        return "a wallet"

    def pay(self, amount=1):
        self.balance -= amount
        return self.balance

    def look(self):
        return self.balance


def test_it_counts_the_methods_that_it_is_told_and_passes_everything_through():
    wallet = Wallet()
    before = counted(wallet, {"pay"})
    assert (before.pay(), before.pay(amount=2), before.look()) == (4, 2, 2)
    assert times_asked(before) == 2
    assert (times_asked(wallet), part_behind(before), part_behind(wallet)) == (None, wallet, wallet)
    assert counted(before, {"look"}) is before


def test_to_whoever_looks_it_is_the_part():
    wallet = Wallet()
    before = Counted(wallet, {"pay"})
    assert isinstance(before, Wallet)
    assert (before == wallet, hash(before) == hash(wallet), repr(before)) == (True, True, "a wallet")
    before.balance = 9
    assert wallet.balance == 9
    del before.balance
    assert not hasattr(before, "balance")


def test_a_method_that_is_put_in_later_is_counted_too(monkeypatch):
    before = Counted(Wallet(), {"pay"})
    monkeypatch.setattr(before, "pay", lambda: "paid")
    assert (before.pay(), times_asked(before)) == ("paid", 1)


def test_a_part_can_become_one_of_another_class():
    class Other(Wallet):
        pass

    wallet = Wallet()
    Counted(wallet, {"pay"}).__class__ = Other
    assert type(wallet) is Other
