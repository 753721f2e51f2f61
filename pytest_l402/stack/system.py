"""How the stack answers for itself as the system under rehearsal: who plays which role, what always holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_l402 import __version__
from pytest_l402.contract.tables import ROW_FORMS
from pytest_l402.evidence import (
    Check,
    Part,
    delivered_as_paid,
    every_fault_fired,
    merged,
    money_agrees,
    one_challenge_an_invoice,
    own_digest,
    paid_as_challenged,
    parts_of,
    purchases_cost_one_payment,
    record_checks,
    records_in_time,
    records_tell_what_is_known,
    replays_told_apart,
    rows_in_order,
    sold_as_listed,
)
from pytest_l402.harness.own_process import where_it_lives
from pytest_l402.ops.reconcile.row_forms import RECONCILE_FORMS
from pytest_l402.ops.security.credentials import CredentialRole
from pytest_l402.ops.security.roles import RoleOperation, RoleRefusal, RoleStatus
from pytest_l402.stack.roles import PlayedByProgram
from pytest_l402.stack.stack import ROLES, Stack

if TYPE_CHECKING:
    from pytest_l402.evidence import Row
    from pytest_l402.evidence.fields import Form
    from pytest_l402.evidence.system import When


_ROLES: Final[Mapping[str, Form]] = {
    "credential_roles": {
        "role": CredentialRole,
        "operation": RoleOperation,
        "refusal": RoleRefusal | None,
        "fromStatus": RoleStatus | None,
        "fromVersion": int | None,
        "status": RoleStatus | None,
        "version": int | None,
        "fingerprint": str | None,
        "note": str | None,
        "lastRotatedAtMs": int | None,
        "revokedAtMs": int | None,
        "atMs": int,
    }
}


_CONFIGURATION: Final[Mapping[str, Form]] = {
    "configuration_changes": {"key": str, "was": str | None, "is": str | None},
    "configuration_findings": {
        **dict.fromkeys(("code", "severity", "says", "remedy"), str),
        **dict.fromkeys(("line", "column"), int),
    },
}


def _parts_of(player: object, role: str) -> tuple[Part, ...]:
    found = parts_of(role, player)
    # What is only in the place of a program is not what is tested; a stranger's word for that is not taken.
    if isinstance(player, PlayedByProgram) and found[0].ours:
        return player.parts(role)
    return found


class StackSystem:
    """The payment platform in stand-ins, with whatever plays, or has played, its roles when it is asked."""

    name: Final = "pytest-l402 stand-in stack"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._played_by: tuple[Part, ...] | None = None

    @property
    def version(self) -> str:
        """Which release, and of somebody's own file which one it sells, and in which copy."""
        file = self._stack.sold.file
        if file is None:
            return __version__
        return f"{__version__}, selling {file.name} {file.digest} in the copy {file.digest_as_rehearsed}"

    @property
    def digest(self) -> str | None:
        """What pins this package as it is installed; None if anybody else's part played when last asked."""
        played_by = self.parts() if self._played_by is None else self._played_by
        return own_digest() if all(part.ours for part in played_by) else None

    def parts(self) -> tuple[Part, ...]:
        """Return who plays which role now, and whoever `Stack.replace` has let play it before.

        What stands around them is among it where it is not as we have made it.
        """
        words = {name: name.replace("_", " ") for name in ROLES} | {"executor": "buyer"}
        found: list[Part] = []
        for role in ROLES:
            for player, asked in self._stack.players(role):
                first, *inside = where_it_lives(_parts_of, player, words[role])
                found += (replace(first, requests=asked), *inside)
        for name, stands_by in self._stack.surroundings().items():
            # Ours, unless somebody has put a hand on it, and then it plays a part of what is around it.
            found += (part for part in where_it_lives(_parts_of, stands_by, name) if not part.ours)
        self._played_by = merged(found)
        return self._played_by

    def tables(self) -> Mapping[str, Sequence[Row]]:
        """Return every table that has rows."""
        return self._stack.tables()

    def fields(self) -> Mapping[str, Form]:
        """Return what the rows of its tables are: those of the contract, and those of operations."""
        return {**ROW_FORMS, **RECONCILE_FORMS, **_ROLES, **_CONFIGURATION}

    def injected_faults(self) -> list[tuple[str, str | None]]:
        """Return each fault that was ever injected, and the request that it was meant for, None for all."""
        return [(entry.fault.name, entry.request_id) for entry in self._stack.faults.history()]

    def steady_state(self, when: When) -> Sequence[Row]:
        """Return one row per probe; no money moves."""
        return self._stack.steady_state(when)

    def standing_checks(self) -> tuple[Check, ...]:
        """Return what holds of all records, sales and purchases.

        Each record is complete, of its time, and says what its plane knew; all planes tell each payment and
        each replay alike; each route is sold for its price, and delivered as it was paid for, by the books of
        the seller and its node; one purchase costs one payment and is the call that was priced; all books
        tell of the same money; each fault that was injected fired and was removed.
        """
        paywalls = self._stack.paywalls
        prices = {paywall.path: paywall.price_msats for paywall in paywalls}
        routes = {each.path: {"paywallId": each.paywall_id, "ownerId": each.owner_id} for each in paywalls}
        of_records = (
            rows_in_order(),
            records_in_time(),
            records_tell_what_is_known(routes),
            replays_told_apart(),
        )
        sales = (sold_as_listed(prices), delivered_as_paid(*prices)) if prices else ()
        bought = (purchases_cost_one_payment(), paid_as_challenged(), money_agrees())
        challenged = one_challenge_an_invoice()
        return (*record_checks(), *of_records, *sales, challenged, *bought, every_fault_fired())
