"""Decides by the book of the seller's node whether each challenge asks one client for one payment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import a_row, at, capped, short, shown, with_more
from pytest_l402.evidence.mutants import Mutant, insert_row
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_HASH, _OTHER = "e" * 64, "f" * 64
_REQUEST: Final = "request-challenged"
_SHOWN: Final[Row] = {"requestId": _REQUEST, "status": 402, "paymentHash": _HASH, "atMs": 1}


@described
def one_challenge_an_invoice() -> Check:
    """Each invoice of the seller's node was offered in one challenge, and each challenge has one of them.

    No challenge may be kept by a cache: it says `no-store`. A macaroon is in standard base64. No answer of
    the gateway shows a preimage, which is the proof that nobody has who did not pay.
    """
    mutants = (
        _offered("an invoice that nobody is asked to pay", challenges=0),
        _offered("one invoice in two challenges", challenges=2),
        _offered("a challenge with two invoices", exchanges={"invoicesOffered": 2}),
        _offered(
            "a challenge with an invoice of somebody else", exchanges={"paymentHash": _OTHER}, invoices=0
        ),
        _offered("a challenge whose invoice cannot be read", exchanges={"paymentHash": None}, invoices=0),
        _offered("a challenge that may be kept", exchanges={"cacheControl": None}),
        _offered("a macaroon in url-safe base64", exchanges={"tokenOffered": "url-safe base64"}),
        _offered("a challenge of which nobody says what it offers", exchanges={"tokenOffered": None}),
        _offered("a macaroon without padding", exchanges={"tokenOffered": "base64 without its padding"}),
        _offered("an invoice that was made for another request", invoice={"requestId": "request-other"}),
        insert_row("shown_preimages", _SHOWN, "the proof stands in the challenge"),
        _offered("a challenge that may be kept privately", exchanges={"cacheControl": "private"}),
    )
    return Check(
        "one_challenge_an_invoice()", lambda evidence: capped(_misoffered(evidence)), mutants, ("records",)
    )


def _misoffered(evidence: Evidence) -> Iterator[Finding]:
    for index, row in enumerate(evidence.table("shown_preimages")):
        yield Finding(
            f"no preimage in the answer to request {shown(row.get('requestId'))}",
            f"that of payment {short(str(row.get('paymentHash')))}, under status {shown(row.get('status'))}",
            at("shown_preimages", index),
            "whoever reads it has the proof without having paid: see what the gateway writes into its "
            "answers, what its node told it of the invoice say",
            (Subject("shown_preimages", "paymentHash", rows=(index,)),),
        )
    known = {row.get("paymentHash") for row in evidence.table("node_invoices")}
    offered: Counter[Any] = Counter()
    for index, row in enumerate(evidence.table("exchanges")):
        if row.get("challenge") != "issued":
            continue
        request, payment_hash = shown(row.get("requestId")), row.get("paymentHash")
        offered[payment_hash] += 1
        if row.get("invoicesOffered") != 1:
            yield Finding(
                f"one invoice in the challenge of request {request}",
                f"{shown(row.get('invoicesOffered'))}: who pays both pays twice",
                at("exchanges", index),
                "let the lines of a challenge name one invoice: a client pays whichever it reads first",
                _about("exchanges", "invoicesOffered", row, index),
            )
        elif payment_hash not in known:
            unreadable = payment_hash is None
            yield Finding(
                f"an invoice of the seller's node in the challenge of request {request}",
                "one that cannot be read" if unreadable else "one that the node never made",
                at("exchanges", index),
                "whoever pays it does not pay this seller: see where the gateway gets its invoices from",
                _about("exchanges", "paymentHash", row, index),
            )
        form = row.get("tokenOffered")
        if form is None:
            yield Finding(
                f"the form of what request {request} is to present once it has paid",
                "nothing",
                at("exchanges", index),
                "the edge reads the challenge, and is to say what it offers: mend the writer of this row",
                _about("exchanges", "tokenOffered", row, index),
            )
        if form in ("url-safe base64", "base64 without its padding"):
            yield Finding(
                f"the macaroon of request {request}'s challenge in standard base64, with its padding",
                shown(form),
                at("exchanges", index),
                "clients send it back as it came, and whoever reads as Aperture does refuses it after it was "
                "paid for: write it in standard base64",
                _about("exchanges", "tokenOffered", row, index),
            )
        if "no-store" not in str(row.get("cacheControl")).lower():
            yield Finding(
                f"a challenge that no cache keeps: Cache-Control no-store in the answer to request {request}",
                shown(row.get("cacheControl")),
                at("exchanges", index),
                "a cache hands the same invoice to everybody, and only the first can pay it: send no-store",
                _about("exchanges", "cacheControl", row, index),
            )
    asked = {
        row.get("paymentHash"): row.get("requestId")
        for row in evidence.table("exchanges")
        if row.get("challenge") == "issued"
    }
    for index, row in enumerate(evidence.table("node_invoices")):
        made_for = row.get("requestId")
        if (
            made_for is not None
            and offered[row.get("paymentHash")] == 1
            and (made_for != asked[row.get("paymentHash")])
        ):
            yield Finding(
                f"the invoice of request {shown(made_for)} offered to that request alone",
                "offered to another one",
                at("node_invoices", index),
                "the gateway keeps an invoice, and offers it to several clients, of whom one can pay it: let "
                "it ask the node for each challenge",
                (Subject("node_invoices", "requestId", None, (index,)),),
            )
            continue
        times = offered[row.get("paymentHash")]
        if times != 1:
            yield Finding(
                f"the invoice of request {shown(row.get('requestId'))} offered in one challenge",
                f"in {times or 'none'}",
                at("node_invoices", index),
                "the gateway has invoices made that it does not offer, or offers one to several clients: "
                "see when it asks the node",
                (Subject("node_invoices", "paymentHash", None, (index,)),),
            )


def _about(table: str, key: str, row: Row, index: int) -> tuple[Subject, ...]:
    request = row.get("requestId")
    return (Subject(table, key, request if isinstance(request, str) else None, (index,)),)


def _offered(
    what: str,
    *,
    challenges: int = 1,
    invoices: int = 1,
    exchanges: Row | None = None,
    invoice: Row | None = None,
) -> Mutant:
    """One challenge more, as it ought to be but for one thing."""
    asked = {
        "requestId": _REQUEST,
        "status": 402,
        "challenge": "issued",
        "credential": "absent",
        "paymentHash": _HASH,
        "cacheControl": "no-store",
        "invoicesOffered": 1,
        "tokenOffered": "base64",
        "sellerCalls": [],
        **(exchanges or {}),
    }
    made = {"requestId": _REQUEST, "paymentHash": _HASH, "settledAtMs": None, **(invoice or {})}

    def apply(evidence: Evidence) -> Evidence:
        rows = {
            "exchanges": [a_row(evidence, "exchanges", **asked)] * challenges,
            "node_invoices": [a_row(evidence, "node_invoices", **made)] * invoices,
        }
        return with_more(evidence, rows)

    return Mutant(f"exchanges, node_invoices: {what}", apply)
