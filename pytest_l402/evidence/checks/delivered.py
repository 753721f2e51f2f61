"""Decides by the books of seller and node whether what was paid for was delivered, and nothing before."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.presented import told_of
from pytest_l402.evidence.checks.selecting import a_row, at, capped, is_success, shown, with_more
from pytest_l402.evidence.mutants import Mutant
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_ASKED_FOR: Final = {
    "method": "method",
    "querySha256": "query",
    "bodySha256": "body",
    "requestId": "request id",
}
"""What the seller's service must see as the buyer sent it, with its name for people."""

_FOR_EVERYBODY: Final = frozenset({"public", "s-maxage", "must-revalidate"})
"""What lets a shared cache keep the answer to a request with a credential. Source: RFC 9111, section 3.5."""
_DIRECTIVE: Final = re.compile(r"[a-z][a-z-]*")
_HASH, _OTHER = "e" * 64, "f" * 64
_REQUEST: Final = "request-sold"
_NUMBER: Final = 1_000_001
_PASSED_ON: Final = (
    "the gateway changes what it passes on: compare its request to the seller's service with the client's"
)
_HANDED_BACK: Final = (
    "the gateway changes what it hands back: compare its answer with that of the seller's service"
)
_BEFORE_PAYMENT: Final = (
    "the gateway asks the seller's service before it knows that it was paid: the work is done for nothing; "
    "let it check the credential first"
)


@described
def delivered_as_paid(*paths: str) -> Check:
    """The seller's service is asked for these paid paths only for a payment that its node has, and once.

    By its own book it sees what the buyer sent (method, query, body, request id, credential), and the buyer
    gets what it answered, byte for byte. Nobody else gets that, neither in the answer to a request that did
    not pay nor out of a shared cache. Raises `ValueError` without a path.
    """
    if not paths:
        raise ValueError("delivered_as_paid: expected at least one path that is paid for, saw none")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence, frozenset(paths)))

    twice: Row = {"sellerCalls": [_NUMBER, _NUMBER + 1]}
    unpaid = {"credential": "absent", "credentialDigest": None, "status": 402}
    unasked: Row = {"sellerCalls": []}
    mutants = (
        _sold(paths[0], "the seller is asked twice for one payment", exchanges=twice, calls=2),
        _sold(paths[0], "the seller is asked before the payment", node_invoices={"settledAtMs": None}),
        _sold(paths[0], "the seller is asked, and its answer thrown away", exchanges=unpaid),
        _sold(paths[0], "the seller is asked outside of any request", exchanges={"path": "/", **unasked}),
        _sold(paths[0], "the gateway answers in the seller's place", calls=0, exchanges=unasked),
        _sold(paths[0], "the seller's answer is cut", exchanges={"answerSha256": _OTHER}),
        _sold(paths[0], "the seller's status is another", exchanges={"status": 203}),
        _sold(paths[0], "the status of an earlier call is told", exchanges={"upstreamStatus": 203}),
        _sold(paths[0], "the seller is asked while another is served", seller_calls={"during": "other"}),
        _sold(paths[0], "the credential is not passed on", seller_calls={"credentialDigest": None}),
        _sold(paths[0], "another path is asked for", seller_calls={"path": "/elsewhere"}),
        _sold(paths[0], "a shared cache may keep it", exchanges={"cacheControl": "public, max-age=60"}),
        _sold(paths[0], "it stands in the answer to who has not paid", beside={"credential": "absent"}),
        _sold(paths[0], "it stands in the answer to a forgery", beside={"credential": "refused"}),
        *(
            _sold(paths[0], f"the {name} is not passed on", seller_calls={key: "other"})
            for key, name in _ASKED_FOR.items()
        ),
    )
    return Check(f"delivered_as_paid({', '.join(paths)})", judge, mutants, ("records",))


def _findings(evidence: Evidence, paths: frozenset[str]) -> Iterator[Finding]:
    calls = {row.get("call"): (index, row) for index, row in enumerate(evidence.table("seller_calls"))}
    settled = {row.get("paymentHash"): row.get("settledAtMs") for row in evidence.table("node_invoices")}
    content = {
        (row.get("path"), row.get("answerSha256"))
        for row in evidence.table("exchanges")
        if row.get("credential") == "accepted" and is_success(row.get("status")) and row.get("answerBytes")
    }
    seen: set[Any] = set()
    for index, row in enumerate(evidence.table("exchanges")):
        mine = [calls[number] for number in row.get("sellerCalls") or () if number in calls]
        seen |= {call.get("call") for _, call in mine}
        if row.get("path") in paths:
            yield from _paid_for(index, row, mine, settled)
            yield from _kept_to_the_buyer(index, row, content)
        answers = row.get("path") not in paths or row.get("credential") == "accepted"
        for place, call in mine:
            yield from _passed_on(index, row, place, call)
            if answers:
                yield from _handed_back(index, row, place, call)
        yield from _noted(index, row, mine)
    for number, (place, call) in calls.items():
        if number not in seen:
            yield Finding(
                "the seller's service asked for requests alone that the gateway is answering",
                f"a call for {shown(call.get('path'))} outside of any",
                at("seller_calls", place),
                "find out who asks it, and for which client: read the gateway's log at that moment",
                (Subject("seller_calls", rows=(place,)),),
            )


def _paid_for(
    index: int, row: Row, calls: Sequence[tuple[int, Row]], settled: Mapping[Any, Any]
) -> Iterator[Finding]:
    request, path = shown(row.get("requestId")), shown(row.get("path"))
    about = (
        *_about("exchanges", "sellerCalls", row, index),
        *(Subject("seller_calls", rows=(place,)) for place, _ in calls),
    )
    where = "; ".join(
        (at("exchanges", index), *([at("seller_calls", *(n for n, _ in calls))] if calls else ()))
    )
    accepted = row.get("credential") == "accepted"
    if accepted and is_success(row.get("status")) and not calls:
        yield Finding(
            f"request {request} delivered by the seller's service, which sells {path}",
            f"{told_of(row)}, and no call in the seller's book",
            where,
            "the gateway answers in the seller's place: see what it answers from, a cache say",
            about,
        )
    if len(calls) > 1:
        yield Finding(
            f"the seller's service asked once for request {request}",
            f"{len(calls)} times",
            where,
            "the gateway repeats a request that may have an effect: see what makes it ask again",
            about,
        )
    if calls and not accepted:
        yield Finding(
            f"the seller's service not asked for request {request}, which did not pay for {path}",
            f"asked, and then: {told_of(row)}",
            where,
            _BEFORE_PAYMENT,
            about,
        )
    for place, call in calls if accepted else ():
        paid_at, asked_at = settled.get(call.get("paymentHash")), call.get("atMs")
        if not isinstance(paid_at, int) or not isinstance(asked_at, int) or paid_at > asked_at:
            yield Finding(
                f"a payment of request {request} in the node's book before the seller's service is asked",
                "none: the node was never paid for it"
                if paid_at is None
                else f"one at {shown(paid_at)}, later",
                at("seller_calls", place),
                _BEFORE_PAYMENT,
                (
                    *_about("exchanges", "credential", row, index),
                    Subject("seller_calls", "paymentHash", rows=(place,)),
                    Subject("node_invoices"),
                ),
            )


def _kept_to_the_buyer(index: int, row: Row, content: Collection[tuple[Any, Any]]) -> Iterator[Finding]:
    request, path = shown(row.get("requestId")), shown(row.get("path"))
    served, accepted = is_success(row.get("status")), row.get("credential") == "accepted"
    if not accepted and not served and (row.get("path"), row.get("answerSha256")) in content:
        yield Finding(
            f"nothing of what {path} sells in the answer to request {request}, which did not pay",
            f"all of it, under status {shown(row.get('status'))}",
            at("exchanges", index),
            "the gateway hands out what it sells in an answer that asks for payment, or refuses: see what it "
            "writes there",
            _about("exchanges", "answerSha256", row, index),
        )
    # As the row has it: blanks are percent-encoded.
    said = set(_DIRECTIVE.findall(unquote(str(row.get("cacheControl"))).lower()))
    if accepted and served and said & _FOR_EVERYBODY:
        yield Finding(
            f"the paid answer to request {request} kept by no cache but the client's own",
            f"Cache-Control {shown(unquote(str(row.get('cacheControl'))))}",
            at("exchanges", index),
            "a shared cache may hand it to whoever has not paid (RFC 9111, section 3.5): send private or "
            "no-store with what was paid for",
            _about("exchanges", "cacheControl", row, index),
        )


def _passed_on(index: int, row: Row, place: int, call: Row) -> Iterator[Finding]:
    wanted = dict(_ASKED_FOR)
    if row.get("credential") == "accepted":
        wanted["credentialDigest"] = "credential"
    lost = {key: name for key, name in wanted.items() if call.get(key) != row.get(key)}
    if not str(call.get("path")).endswith(str(row.get("path"))):  # a prefix may go before it
        lost["path"] = "path"
    request = shown(row.get("requestId"))
    for key, name in lost.items():
        yield Finding(
            f"the {name} of request {request} at the seller's service as the client sent it",
            _difference(call.get(key), row.get(key)),
            f"{at('seller_calls', place)}; {at('exchanges', index)}",
            _PASSED_ON,
            (Subject("seller_calls", key, rows=(place,)), *_about("exchanges", key, row, index)),
        )


def _handed_back(index: int, row: Row, place: int, call: Row) -> Iterator[Finding]:
    request = shown(row.get("requestId"))
    where = f"{at('exchanges', index)}; {at('seller_calls', place)}"
    if row.get("status") != call.get("status"):
        yield Finding(
            f"status {shown(call.get('status'))} of the seller's service handed back to request {request}",
            shown(row.get("status")),
            where,
            _HANDED_BACK,
            (*_about("exchanges", "status", row, index), Subject("seller_calls", "status", rows=(place,))),
        )
    if row.get("answerSha256") != call.get("answerSha256") and row.get("method") != "HEAD":
        yield Finding(
            f"the answer of the seller's service to request {request}, byte for byte",
            f"another one: {shown(row.get('answerBytes'))} bytes for {shown(call.get('answerBytes'))}",
            where,
            _HANDED_BACK,
            (
                *_about("exchanges", "answerSha256", row, index),
                Subject("seller_calls", "answerSha256", rows=(place,)),
            ),
        )


def _noted(index: int, row: Row, calls: Sequence[tuple[int, Row]]) -> Iterator[Finding]:
    """What the edge notes of the calls that came in between: for whom they were, and how the last one ended.

    Only a client that names its task is known to have named its request as well.
    """
    request = shown(row.get("requestId"))
    owed = [("upstreamStatus", row, call.get("status")) for _, call in calls[-1:]]
    if row.get("taskId") is not None:
        owed += [("during", call, row.get("requestId")) for _, call in calls]
    for key, told, wanted in owed:
        if told.get(key) != wanted:
            yield Finding(
                f"{key} {shown(wanted)} for the calls of the seller's service in request {request}",
                shown(told.get(key)),
                "; ".join((at("exchanges", index), at("seller_calls", *(place for place, _ in calls)))),
                "the edge joins a call with another request: see what it takes for the call's own",
                (
                    *_about("exchanges", "upstreamStatus", row, index),
                    *(Subject("seller_calls", "during", rows=(place,)) for place, _ in calls),
                ),
            )


def _difference(seen: object, wanted: object) -> str:
    if seen is None or wanted is None:
        return "none" if seen is None else "one that nobody sent"
    return f"{shown(seen)} for {shown(wanted)}" if len(str(seen)) < 64 else "another one"


def _about(table: str, key: str, row: Row, index: int) -> tuple[Subject, ...]:
    request = row.get("requestId")
    return (Subject(table, key, request if isinstance(request, str) else None, (index,)),)


def _sold(
    path: str,
    what: str,
    *,
    calls: int = 1,
    exchanges: Row | None = None,
    seller_calls: Row | None = None,
    node_invoices: Row | None = None,
    beside: Row | None = None,
) -> Mutant:
    """One purchase more, as it ought to be but for one thing, or one request `beside` it that got as much."""
    asked = {
        "requestId": _REQUEST,
        "method": "GET",
        "path": path,
        "querySha256": None,
        "bodySha256": _HASH,
        "answerSha256": _HASH,
        "answerBytes": 1,
        "credentialDigest": "sha256:0000000000000000",
        "paymentHash": _HASH,
        "status": 200,
        "atMs": 2,
    }
    accepted = {
        "cacheControl": None,
        "taskId": "task-sold",
        "credential": "accepted",
        "challenge": None,
        "quotedMsats": None,
        "upstreamStatus": 200,
    }
    paid = {"requestId": _REQUEST, "paymentHash": _HASH, "createdAtMs": 1, "settledAtMs": 1}

    def apply(evidence: Evidence) -> Evidence:
        call = a_row(
            evidence, "seller_calls", **{**asked, "call": _NUMBER, "during": _REQUEST, **(seller_calls or {})}
        )
        rows: dict[str, list[Row]] = {
            "node_invoices": [a_row(evidence, "node_invoices", **{**paid, **(node_invoices or {})})],
            "seller_calls": [{**call, "call": _NUMBER + number} for number in range(calls)],
            "exchanges": [
                a_row(
                    evidence,
                    "exchanges",
                    **{**asked, **accepted, "refusal": None, "sellerCalls": [_NUMBER], **(exchanges or {})},
                )
            ],
        }
        if beside is not None:
            unpaid = {"requestId": "request-unpaid", "status": 402, "sellerCalls": [], **beside}
            rows["exchanges"].append({**rows["exchanges"][0], **unpaid})
        return with_more(evidence, rows)

    return Mutant(f"exchanges, seller_calls: {what}", apply)
