"""Decides what one purchase is: a request with all its challenges, payments, presentations and deliveries.

A buyer may ask under several request ids for one thing. Requests of one task are one purchase, and so are a
request that was challenged and the one that first presents what was paid for that, where both ask for the
same: a credential that is presented again, later, belongs to another purchase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.evidence.found import Found, is_success, shown
from pytest_l402.evidence.tables import Evidence, Row

_KNOW_REQUESTS: Final = ("exchanges", "tasks", "node_invoices", "invoices", "settlements")
_CHALLENGES: Final = ("exchanges", "node_invoices", "invoices")
"""The tables that say for which request an invoice was made, the first one that does is believed."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What became of one invoice: the calls of wallets for it, and what the seller's node got.

    Money moved, or is about to, if either says so; both are asked, as each of them may be wrong.
    """

    payment_hash: str
    tries: Found
    received: Found

    @property
    def succeeded(self) -> int:
        """How often money has moved; the node takes each invoice once."""
        paid = sum(1 for _, row in self.tries if row.get("status") == "succeeded")
        return max(paid, len(self.received))

    @property
    def pending(self) -> bool:
        """Whether a wallet has money on its way; one that succeeded late, or failed in the end, has none."""
        told = [row.get("status") for _, row in self.tries if row.get("status") in _DECIDED]
        arrived = len(self.received) > told.count("succeeded")
        return bool(told) and told[-1] == "pending" and not arrived

    @property
    def times(self) -> int:
        """How often money has moved, or is about to."""
        return self.succeeded + self.pending

    @property
    def amount_msats(self) -> int | None:
        """What one of them says that it costs, in msats, without fees."""
        said = [row.get("amountMsats") for _, row in (*self.tries, *self.received)]
        return next((each for each in said if isinstance(each, int)), None)

    @property
    def told(self) -> str:
        """How it went, in a few words."""
        by = "" if any(row.get("status") == "succeeded" for _, row in self.tries) else " by the node's book"
        words = [f"{self.succeeded} succeeded{by}"] if self.succeeded else []
        words += ["1 pending"] if self.pending else []
        return ", ".join(words) or "none"

    @property
    def where(self) -> str:
        """Where its rows are."""
        return "; ".join(found.where for found in (self.tries, self.received) if found)


_DECIDED: Final = ("succeeded", "failed", "pending")


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase, as the rows tell it: its request ids and tasks, what was asked, what was paid.

    `payments` are of the invoices that it was challenged for, tried or not, each once.
    """

    requests: tuple[str, ...]
    tasks: tuple[str, ...]
    asked: Found
    payments: tuple[Payment, ...]

    @property
    def challenges(self) -> Found:
        """The exchanges in which it was asked to pay."""
        return self.asked.only(lambda row: row.get("challenge") == "issued", "challenge")

    @property
    def presentations(self) -> Found:
        """The exchanges in which it presented a credential, accepted or not."""
        return self.asked.only(lambda row: row.get("credential") in ("accepted", "refused"), "credential")

    @property
    def deliveries(self) -> Found:
        """The exchanges in which it was delivered for a credential."""
        return self.asked.only(is_delivery, "credential", "status")

    @property
    def paid(self) -> tuple[Payment, ...]:
        """The payments in which money moved, or is about to."""
        return tuple(payment for payment in self.payments if payment.times)

    @property
    def told(self) -> str:
        """Which request it is, as a finding says it."""
        more = f" (and {len(self.requests) - 1} more of one purchase)" if len(self.requests) > 1 else ""
        return f"request {shown(self.requests[0])}{more}"


def is_delivery(row: Row) -> bool:
    """Whether an exchange delivered something for a credential."""
    return row.get("credential") == "accepted" and is_success(row.get("status"))


def presented_hash(row: Row) -> str | None:
    """The payment that the credential of an exchange claims; None if there is none, or it cannot be read."""
    if row.get("credential") not in ("accepted", "refused"):
        return None
    claimed = row.get("presentedPaymentHash")
    # Who answers a refused credential with a challenge may note that one's payment alone.
    known = claimed if claimed is not None or row.get("challenge") == "issued" else row.get("paymentHash")
    return known if isinstance(known, str) else None


def purchases_of(evidence: Evidence) -> tuple[Purchase, ...]:
    """Every purchase that the rows know of, in the order in which they first name it."""
    return _Purchases(evidence).all()


def probe_requests(evidence: Evidence) -> frozenset[Any]:
    """The requests of reconciles, which pay to see whether their gateway delivers: these are no purchases."""
    tables = ("deployments", "gateway_events")
    return frozenset(row.get("requestId") for table in tables for row in evidence.table(table))


def purchase_of(evidence: Evidence, request_id: str) -> Purchase:
    """The purchase that a request belongs to; one without a row if nobody knows the request."""
    found = _Purchases(evidence)
    return next((each for each in found.all() if request_id in each.requests), found.unknown(request_id))


def purchase_paid_by(evidence: Evidence, payment_hash: str) -> Purchase | None:
    """The purchase that was challenged for this payment, if the rows know of one."""
    for purchase in purchases_of(evidence):
        if any(payment.payment_hash == payment_hash for payment in purchase.payments):
            return purchase
    return None


def payment_of(evidence: Evidence, payment_hash: str) -> Payment:
    """What became of one invoice, whoever it was made for."""
    return every_payment(evidence).get(payment_hash) or _payment(payment_hash, [], [])


def every_payment(evidence: Evidence) -> dict[str, Payment]:
    """What became of each invoice that a wallet has tried, or the node was paid for, by payment hash."""
    tries: dict[str, list[tuple[int, Any]]] = {}
    received: dict[str, list[tuple[int, Any]]] = {}
    for index, row in enumerate(evidence.table("payments")):
        tries.setdefault(str(row.get("paymentHash")), []).append((index, row))
    for index, row in enumerate(evidence.table("node_invoices")):
        if row.get("settledAtMs") is not None:
            received.setdefault(str(row.get("paymentHash")), []).append((index, row))
    return {key: _payment(key, tries.get(key, []), received.get(key, [])) for key in {**tries, **received}}


def _payment(payment_hash: str, tries: list[tuple[int, Any]], received: list[tuple[int, Any]]) -> Payment:
    sought = {"paymentHash": payment_hash}
    return Payment(
        payment_hash,
        Found("payments", tries, sought, ("status",)),
        Found("node_invoices", received, sought, ("settledAtMs",)),
    )


class _Purchases:
    """All purchases of one evidence: requests, and which of them belong together."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._leader: dict[str, str] = {}
        self._tasks: dict[str, str] = {}
        self._request_of: dict[str, str] = {}
        for table in _KNOW_REQUESTS:
            for row in evidence.table(table):
                self._note(row.get("requestId"), row.get("taskId"))
        for table in _CHALLENGES:
            for row in evidence.table(table):
                if table != "exchanges" or row.get("challenge") == "issued":
                    payment_hash, request_id = row.get("paymentHash"), row.get("requestId")
                    if isinstance(payment_hash, str) and isinstance(request_id, str):
                        self._request_of.setdefault(payment_hash, request_id)
        self._join_first_presentations()

    def all(self) -> tuple[Purchase, ...]:
        groups: dict[str, list[str]] = {}
        for request_id in self._leader:
            groups.setdefault(self._find(request_id), []).append(request_id)
        hashes: dict[str, list[str]] = {}
        for payment_hash, request_id in self._request_of.items():
            hashes.setdefault(self._find(request_id), []).append(payment_hash)
        asked: dict[str, list[tuple[int, Any]]] = {}
        for index, row in enumerate(self._evidence.table("exchanges")):
            if isinstance(row.get("requestId"), str):
                asked.setdefault(self._find(row["requestId"]), []).append((index, row))
        payments = every_payment(self._evidence)
        return tuple(
            Purchase(
                tuple(requests),
                tuple(task for task, first in self._tasks.items() if first in requests),
                Found("exchanges", asked.get(leader, ()), {"requestId": requests[0]}),
                tuple(payments[each] for each in hashes.get(leader, ()) if each in payments),
            )
            for leader, requests in groups.items()
        )

    def unknown(self, request_id: str) -> Purchase:
        return Purchase((request_id,), (), Found("exchanges", (), {"requestId": request_id}), ())

    def _note(self, request_id: Any, task_id: Any) -> None:
        if not isinstance(request_id, str):
            return
        self._leader.setdefault(request_id, request_id)
        if isinstance(task_id, str):
            self._join(self._tasks.setdefault(task_id, request_id), request_id)

    def _find(self, request_id: str) -> str:
        while self._leader[request_id] != request_id:
            request_id = self._leader[request_id]
        return request_id

    def _join(self, one: str, other: str) -> None:
        self._leader[self._find(other)] = self._find(one)

    def _join_first_presentations(self) -> None:
        challenged: dict[str, Row] = {}
        presented: set[str] = set()
        for row in self._evidence.table("exchanges"):
            claimed = presented_hash(row)
            if claimed is not None and claimed not in presented:
                presented.add(claimed)
                asked = challenged.get(claimed)
                known = isinstance(row.get("requestId"), str)
                if known and asked is not None and _asks_alike(asked, row):
                    self._join(asked["requestId"], row["requestId"])
            if row.get("challenge") == "issued" and isinstance(row.get("requestId"), str):
                challenged[str(row.get("paymentHash"))] = row


def _asks_alike(one: Row, other: Row) -> bool:
    return all(one.get(key) == other.get(key) for key in ("host", "path"))
