"""Decides what becomes of credit: bought, reserved, committed, released; each call may be made again."""

from __future__ import annotations

from typing import Any, Final

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.ledger import REVENUE, TREASURY, Entry, EntryState, moved
from pytest_l402.billing.service.core import Core
from pytest_l402.billing.service.dead_letters import DeadLetters
from pytest_l402.harness.json_app import Call, Refused

__all__ = ["Money", "amount_of"]

_MOST_MSATS: Final = 2_100_000_000_000_000_000
_CALLER: Final = "MALFORMED_"


def amount_of(call: Call, key: str, least: int = 1) -> int:
    """An amount in msats, a whole number up to all that there is. Raises 400 with the field's name."""
    value = call.body.get(key)
    if type(value) is not int or not least <= value <= _MOST_MSATS:
        raise Refused(400, f"{_CALLER}{key.upper()}")
    return value


def text_of(call: Call, key: str) -> str:
    """A text of at most 200 characters, none of them a control character. Raises 400."""
    value = call.body.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise Refused(400, f"{_CALLER}{key.upper()}")
    return value


class Money:
    """The endpoints that move credit."""

    def __init__(self, core: Core, dead_letters: DeadLetters, treasury: str) -> None:
        self._core, self._dead_letters, self._treasury = core, dead_letters, treasury

    def purchase(self, call: Call) -> dict[str, Any]:
        """Mint credit for a transfer to the treasury, once."""
        core = self._core
        core.expect_open("credits")
        core.expect_guard()
        account, transfer = text_of(call, "account"), text_of(call, "transfer")
        amount, recipient = amount_of(call, "amountMsats"), text_of(call, "recipient")
        if recipient != self._treasury:
            raise Refused(402, "INVALID_RECIPIENT")
        core.hold("amount_format", amount=str(amount))
        known = core.ledger.transfers.get(transfer)
        if known is None:
            postings = moved(amount, TREASURY, f"available:{account}")
            if core.has(BillingFault.MINT_UNBALANCED):
                # The treasury in one unit and the credit in another.
                postings[0] = (TREASURY, -amount * 1000)
            told = {"account": account, "transfer": transfer, "amountMsats": amount, "recipient": recipient}
            core.record({"type": "credit_mint", **told, "postings": postings})
        elif known != [account, amount]:
            raise Refused(409, "TRANSFER_DIFFERS")
        return {"transfer": transfer, "availableMsats": core.ledger.available(account)}

    def reserve(self, call: Call) -> dict[str, Any]:
        """Hold an amount of an account's credit for an entry."""
        core = self._core
        core.expect_open("billing")
        core.expect_guard()
        self._dead_letters.expect_closed()
        name, account, amount = (
            text_of(call, "entry"),
            text_of(call, "account"),
            amount_of(call, "amountMsats"),
        )
        known = core.ledger.entries.get(name)
        if known is None:
            available = core.ledger.available(account)
            if available is None:
                raise Refused(404, "UNKNOWN_ACCOUNT")
            core.hold("entitlement_valid", state=core.ledger.entitlements.get(account, "ACTIVE"))
            core.hold("reserve_within_allocation", allocation=available, reserve=amount)
            told = {"entry": name, "account": account, "amountMsats": amount, "rate": core.settings.rate}
            postings = moved(amount, f"available:{account}", f"held:{account}")
            core.record({"type": "billing_reserve", **told, "postings": postings})
        elif (known.account, known.reserved) != (account, amount):
            raise Refused(409, "ENTRY_DIFFERS")
        return self.shown(call, name)

    def commit(self, call: Call) -> dict[str, Any]:
        """Charge what an entry cost, give the rest back, and queue the entry to be finalized."""
        core = self._core
        core.expect_open("billing")
        core.expect_guard()
        name, entry = self._entry(call)
        cost = call.body.get("costMsats")
        if type(cost) is not int or abs(cost) > _MOST_MSATS:
            raise Refused(400, f"{_CALLER}COSTMSATS")
        rate = call.body.get("rate", core.settings.rate)
        if (
            entry.state is not EntryState.HELD
            and entry.cost == cost
            and entry.state is not EntryState.RELEASED
        ):
            return self.shown(call, name)
        core.hold("cost_non_negative", cost=cost)
        core.hold("budget_conservation", limit=entry.reserved, spent=cost)
        core.hold("rate_consistency", commit_rate=rate, reserve_rate=entry.rate)
        held, back = f"held:{entry.account}", entry.reserved - cost
        postings = [(held, -entry.reserved), (REVENUE, cost), (f"available:{entry.account}", back)]
        core.record(
            {"type": "billing_commit", "entry": name, "costMsats": cost, "attempt": 0, "postings": postings}
        )
        return self.shown(call, name)

    def release(self, call: Call) -> dict[str, Any]:
        """Give back what an entry holds."""
        self._core.expect_open("billing")
        name, entry = self._entry(call)
        if entry.state is not EntryState.RELEASED:
            postings = moved(entry.reserved, f"held:{entry.account}", f"available:{entry.account}")
            self._core.record({"type": "billing_release", "entry": name, "postings": postings})
        return self.shown(call, name)

    def shown(self, call: Call, name: str) -> dict[str, Any]:
        """What the log says of an entry."""
        entry = self._core.ledger.entries.get(name)
        if entry is None:
            raise Refused(404, "ENTRY_UNKNOWN")
        told = {"entry": name, "account": entry.account, "state": entry.state, "attempt": entry.attempt}
        return {**told, "reservedMsats": entry.reserved, "costMsats": entry.cost}

    def balance(self, call: Call, account: str) -> dict[str, Any]:
        """What the cache says of an account's credit."""
        self._core.expect_open(None)
        available, held = self._core.ask_cache(
            ("HGET", "balance", f"available:{account}"), ("HGET", "balance", f"held:{account}")
        )
        if available is None:
            raise Refused(404, "UNKNOWN_ACCOUNT")
        return {"account": account, "availableMsats": int(available), "heldMsats": int(held or 0)}

    def feature(self, flag: str) -> dict[str, Any]:
        """Answer for a feature that has nothing but its flag."""
        self._core.expect_open(flag)
        return {"feature": flag}

    def _entry(self, call: Call) -> tuple[str, Entry]:
        name = text_of(call, "entry")
        entry = self._core.ledger.entries.get(name)
        if entry is None:
            raise Refused(404, "ENTRY_UNKNOWN")
        return name, entry
