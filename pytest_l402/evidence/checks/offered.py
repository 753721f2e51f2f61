"""Decides whether the gateway sells each route for its price: for no other amount, and never for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.presented import told_of
from pytest_l402.evidence.checks.selecting import at, capped, is_success, one_more, rows, shown
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_GIVEN_AWAY: Final = (
    "the gateway gives away what it sells: see which of its services serves this path, and whether its auth "
    "is on; all else that is missing of a payment came of it"
)
_ANSWERED_BY_ITSELF: Final = (
    "the gateway answers whom it is to challenge, without the seller's service: see what it answers from, a "
    "cache say, and let it look for a credential before"
)


@described
def sold_as_listed(prices: Mapping[str, int]) -> Check:
    """Each route, by its path, is challenged for its price in msats, and delivered for a credential alone.

    What the control plane has told of already, by a denial of the request, is not told again. Raises
    `ValueError` without a price.
    """
    if not prices:
        raise ValueError("sold_as_listed: expected the price of at least one path, saw none")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence, prices))

    path, price = next(iter(prices.items()))
    asked = {"path": path, "requestId": "request-forged", "refusal": None, "paymentHash": None}
    given = {**asked, "status": 200, "upstreamStatus": 200, "credential": "absent", "challenge": None}
    quoted = {**asked, "status": 402, "upstreamStatus": None, "credential": "absent", "challenge": "issued"}
    mutants = (
        one_more("exchanges", {**given, "quotedMsats": None}, f"{path} is delivered without payment"),
        one_more(
            "exchanges",
            {**given, "quotedMsats": None, "upstreamStatus": None, "method": "GET"},
            f"{path} is answered without payment, and without the seller",
        ),
        one_more("exchanges", {**quoted, "quotedMsats": price + 1}, f"{path} costs 1 msat more"),
    )
    return Check("sold_as_listed()", judge, mutants, ("records",))


def _findings(evidence: Evidence, prices: Mapping[str, int]) -> Iterator[Finding]:
    told = {
        row.get("requestId")
        for row in evidence.table("records")
        if row.get("plane") == "control" and row.get("denyReason") is not None
    }
    for index, row in enumerate(evidence.table("exchanges")):
        price = prices.get(str(row.get("path")))
        if price is None:
            continue
        request, path = row.get("requestId"), shown(row.get("path"))
        if _is_given_away(row) and request not in told:
            yield Finding(
                f"payment for {path}, {price} msats, before it is delivered to request {shown(request)}",
                f"delivered without payment: {told_of(row)}",
                at("exchanges", index),
                _GIVEN_AWAY if row.get("upstreamStatus") is not None else _ANSWERED_BY_ITSELF,
                _about(row, index, "credential"),
            )
        for table, place, amount in _asked_for(evidence, row, index):
            if amount != price:
                yield Finding(
                    f"{price} msats asked of request {shown(request)}, the price of {path}",
                    f"{shown(amount)} msats",
                    at(table, place),
                    "the gateway charges another price than the route has: compare its configuration, and "
                    "the invoices of its node, with the catalogue; pay back what was charged too much",
                    (*_about(row, index, "quotedMsats"), Subject(table, rows=(place,))),
                )


def _asked_for(evidence: Evidence, row: Row, index: int) -> Iterator[tuple[str, int, object]]:
    """What a challenge asks for, as it says and by its invoice."""
    if row.get("challenge") != "issued":
        return
    yield "exchanges", index, row.get("quotedMsats")
    for place, invoice in rows(evidence, "invoices", paymentHash=row.get("paymentHash")):
        if invoice.get("amountMsats") != row.get("quotedMsats"):
            yield "invoices", place, invoice.get("amountMsats")


def _is_given_away(row: Row) -> bool:
    # An OPTIONS request asks what may be asked, and is answered by the gateway itself.
    served = is_success(row.get("status")) and row.get("method") != "OPTIONS"
    return served and row.get("credential") != "accepted"


def _about(row: Row, index: int, key: str) -> tuple[Subject, ...]:
    request = row.get("requestId")
    return (Subject("exchanges", key, request if isinstance(request, str) else None, (index,)),)
