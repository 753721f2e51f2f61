"""Decides whether only what was paid for opened the paywall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.payments import payment_mutants, payments_of
from pytest_l402.evidence.checks.presented import (
    Presentation,
    presentation,
    story_of,
    told_of,
    what_to_do,
)
from pytest_l402.evidence.checks.selecting import (
    Bought,
    at,
    is_accepted,
    is_success,
    request_id_of,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_UNREADABLE: Final = frozenset(
    {"header_malformed", "macaroon_encoding", "macaroon_malformed", "preimage_malformed"}
)
_GIVEN_AWAY: Final = "the gateway gives away what nobody paid for: stop selling through it"
_ALL_OF_IT: Final = "check preimage, root key, signature and caveats in that order"
_PREIMAGE: Final = (
    "it takes any preimage: compare the preimage's SHA-256 with the payment hash in the macaroon's identifier"
)
_SIGNATURE: Final = (
    "it trusts what it has not signed: look up the root key that it issued for this token, and verify the "
    "signature over identifier and every caveat"
)
_UNCHECKED: Final[Mapping[str, str]] = {
    "preimage of nothing": _PREIMAGE,
    "preimage of another payment": _PREIMAGE,
    "signed with another key": _SIGNATURE,
    "first caveats only": _SIGNATURE,
    "its signature is gone": _SIGNATURE,
    "claims more than was paid for": _SIGNATURE,
    "never issued": _SIGNATURE,
    "never issued, and never paid for": f"{_PREIMAGE}; {_SIGNATURE}",
    "self-made, and never paid for": f"{_SIGNATURE}; and see in the node's book whether it was paid",
    "of another service": "it takes what was paid to another service: compare the service in the "
    "credential (caveat services, or the root key) with the one that is asked for",
    "expired": "it takes what has run out: compare the caveat of its time with the clock at each request",
}
"""By the kind of forgery, the check that the gateway leaves out."""


@described
def forgeries_refused(genuine: Bought, *forged: Bought) -> Check:
    """The genuine credential was delivered; every forged one was refused, unforwarded and unsettled.

    One that could not be read at all proves nothing: it is refused for that. Each is a request id, or a
    purchase. Raises `ValueError` when nothing forged was presented.
    """
    bought = request_id_of(genuine)
    tried = {request_id_of(each): str(getattr(each, "kind", "forged")) for each in forged}
    if not tried:
        raise ValueError("forgeries_refused: expected at least one forged credential, saw none")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        asked = rows(evidence, "exchanges", requestId=bought)
        if not asked.only(is_accepted(bought)):
            yield Finding(
                f"a delivery to request {bought} for the genuine credential",
                f"{story_of(asked)}: a gateway that refuses everything refuses forgeries too",
                asked.where,
                what_to_do(asked),
                asked.about("credential", "status"),
            )
        for request_id, kind in tried.items():
            yield from _refused(evidence, request_id, kind)
            yield from payments_of(evidence, request_id)

    mutants = [
        set_value("exchanges", "credential", "refused", {"requestId": bought}, every=True),
        remove_rows("exchanges", {"requestId": bought}),
    ]
    for request_id in tried:
        here = {"requestId": request_id}
        mutants += [
            set_value("exchanges", "credential", "accepted", here),
            set_value("exchanges", "credential", "absent", here),
            set_value("exchanges", "status", 200, here),
            set_value("exchanges", "upstreamStatus", 200, here),
            set_value("exchanges", "refusal", "macaroon_encoding", here),
            remove_rows("exchanges", here),
        ]
    mutants += payment_mutants(next(iter(tried)))
    name = f"forgeries_refused({bought}, {len(tried)} forged)"
    return Check(name, judge, tuple(mutants), ("exchanges", "records"))


@described
def opened_in_no_other_way(*asked: Bought) -> Check:
    """Each of these requests, which nobody paid for, was turned away (4xx), unforwarded and unsettled.

    Whatever they carry is no credential: it cannot be read, or is of another form, or is none. Each is a
    request id, or what was asked, by its kind. Raises `ValueError` for none.
    """
    tried = {request_id_of(each): str(getattr(each, "kind", "unpaid")) for each in asked}
    if not tried:
        raise ValueError("opened_in_no_other_way: expected at least one request, saw none")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for request_id, kind in tried.items():
            yield from _turned_away(evidence, request_id, kind)
            yield from payments_of(evidence, request_id)

    first = next(iter(tried))
    mutants = [set_value("exchanges", "status", 302, {"requestId": first}), *payment_mutants(first)]
    for request_id in tried:
        here = {"requestId": request_id}
        mutants += [set_value("exchanges", "status", 200, here), remove_rows("exchanges", here)]
        mutants.append(set_value("exchanges", "upstreamStatus", 200, here))
    return Check(
        f"opened_in_no_other_way({len(tried)} tried)", judge, tuple(mutants), ("exchanges", "records")
    )


def _is_turned_away(row: Row) -> bool:
    status = row.get("status")
    return row.get("upstreamStatus") is None and isinstance(status, int) and 400 <= status < 500


def _turned_away(evidence: Evidence, request_id: str, kind: str) -> Iterator[Finding]:
    found = rows(evidence, "exchanges", requestId=request_id)
    yield from found.expect_some(
        f"an exchange of request {request_id} ({kind})",
        "what was never asked was never turned away: see what the client sent",
        "none: the request never reached the gateway",
    )
    for index, row in found:
        if _is_turned_away(row):
            continue
        yield Finding(
            expected=f"request {request_id} ({kind}) turned away, and not forwarded",
            seen=f"status {shown(row.get('status'))}, {_forwarded(row)}",
            where=at("exchanges", index),
            remedy=f"the gateway opens for what is no payment ({kind}): let it serve only what it has read "
            "and verified whole, and refuse everything else",
            about=found.about("credential", "status", "upstreamStatus"),
        )


def _refused(evidence: Evidence, request_id: str, kind: str) -> Iterator[Finding]:
    found = rows(evidence, "exchanges", requestId=request_id)
    yield from found.expect_some(
        f"an exchange of request {request_id} ({kind})",
        "without a presentation nothing was refused: see what the client sent",
        "none: the credential never reached the gateway",
    )
    for index, row in found:
        if row.get("credential") != "refused" or not _is_turned_away(row):
            yield Finding(
                expected=f"request {request_id} ({kind}) refused, and not forwarded",
                seen=f"{told_of(row)}, {_forwarded(row)}",
                where=at("exchanges", index),
                remedy=_remedy(row, kind),
                about=found.about("credential", "status", "upstreamStatus"),
            )
        if row.get("refusal") in _UNREADABLE:
            yield Finding(
                expected=f"request {request_id} ({kind}) refused for what is forged in it",
                seen=f"refused unread: {shown(row.get('refusal'))}",
                where=at("exchanges", index),
                remedy="present it in the form of the genuine one, so that nothing but the forgery is wrong",
                about=found.about("refusal"),
            )


def _forwarded(row: Row) -> str:
    forwarded = row.get("upstreamStatus")
    return "not forwarded" if forwarded is None else f"forwarded: {shown(forwarded)} of the seller"


def _remedy(row: Row, kind: str) -> str:
    if row.get("credential") == "accepted" or row.get("upstreamStatus") is not None:
        return f"{_GIVEN_AWAY}; {_UNCHECKED.get(kind, _ALL_OF_IT)}"
    if is_success(row.get("status")):
        return "the gateway serves it without asking the seller: see what it answers from"
    if presentation(row) is Presentation.NOTHING:
        return "nothing was presented, so nothing was refused: see what the client sent"
    return f"the gateway did not refuse the credential, it turned the request away: {told_of(row)}"
