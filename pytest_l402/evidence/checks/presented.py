"""Decides what a finding says of the credential of a request: none, not readable, refused, or good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from pytest_l402.evidence.checks.selecting import Found, is_success, rows, shown
from pytest_l402.evidence.tables import Evidence, Row
from pytest_l402.protocol import CaveatReason, CredentialReason


class Presentation(StrEnum):
    """What a client did, as the gateway's answer to one request shows it."""

    NOTHING = "nothing"
    GARBLED = "garbled"
    REFUSED = "refused"
    NOT_SERVED = "not served"
    """It failed, as with a status of 502, and nobody says what was wrong with the credential, if anything."""
    ACCEPTED = "accepted"
    NOT_LOOKED_AT = "not looked at"
    """The gateway answered before it read any credential; whether one was sent is not known."""
    UNKNOWN = "unknown"
    """The row does not say."""


_UNREADABLE: Final = frozenset({*CredentialReason, "identifier_malformed"}) - {CredentialReason.ABSENT}
_AFTER_READING: Final = frozenset({"rate_limited", "challenge_failed", "invoice_creation_skipped"})
"""Reasons for which a gateway turns a request away after it has looked for a credential."""

_CLIENT: Final = (
    "the client sent no credential: see whether it kept the one it bought, under which key it looks for it, "
    "and when it drops it"
)
_GARBLED: Final[Mapping[str, str]] = {
    CredentialReason.HEADER_MALFORMED: "write Authorization: L402 <macaroon>:<preimage>, with one blank and "
    "64 lower-case hex digits",
    CredentialReason.MACAROON_ENCODING: "send the macaroon as it came in the challenge, in base64",
    CredentialReason.MACAROON_MALFORMED: "send the macaroon whole, as it came in the challenge",
    CredentialReason.PREIMAGE_MALFORMED: "send the preimage as 64 lower-case hex digits",
    CredentialReason.PREIMAGE_CAVEAT_MISSING: "put the preimage into a caveat, or send Authorization",
}
_REFUSED: Final[Mapping[str, str]] = {
    "preimage_mismatch": "the preimage is not of the payment that the macaroon is bound to: see how the "
    "client keeps the two together",
    "root_key_unknown": "the seller revoked the credential, or this gateway never issued it: pay a fresh "
    "challenge",
    "signature_invalid": "the macaroon was changed after it was issued: send it as it came, with further "
    "caveats only at its end",
    "invoice_not_settled": "the node does not hold the invoice as settled: look it up by payment hash",
    "already_used": "this gateway takes each credential once: the client must pay for each request",
    CaveatReason.EXPIRED: "its time is over: pay a fresh challenge",
    CaveatReason.SERVICE_NOT_AUTHORIZED: "it was bought of another service: pay the challenge of this one",
}
_NO_GOOD: Final = frozenset({*_REFUSED, *CaveatReason})
"""Reasons that are about the credential, whatever the status of the answer."""


_IN_VAIN: Final = frozenset({Presentation.GARBLED, Presentation.REFUSED, Presentation.NOT_SERVED})


def presentation(row: Row) -> Presentation:
    """What the client presented in one exchange, by the gateway's own decision on it."""
    standing, reason = row.get("credential"), str(row.get("refusal"))
    if standing == "accepted":
        return Presentation.ACCEPTED
    if standing == "refused":
        if reason in _UNREADABLE:
            return Presentation.GARBLED
        status = row.get("status")
        failed = isinstance(status, int) and status >= 500
        return Presentation.NOT_SERVED if failed and reason not in _NO_GOOD else Presentation.REFUSED
    if standing != "absent":
        return Presentation.UNKNOWN
    looked = row.get("challenge") == "issued" or reason in _AFTER_READING or row.get("status") == 401
    return Presentation.NOTHING if looked else Presentation.NOT_LOOKED_AT


def told_of(row: Row) -> str:
    """One exchange in a few words: what was presented, why it was refused, how it was answered."""
    reason = row.get("refusal")
    why = "" if reason is None else f": {shown(reason)}"
    words = {
        Presentation.NOTHING: "no credential presented",
        Presentation.GARBLED: "a credential that cannot be read",
        Presentation.REFUSED: "a credential refused" + ("" if why else ", no reason given"),
        Presentation.NOT_SERVED: "a credential not served",
        Presentation.ACCEPTED: "a credential accepted",
        Presentation.NOT_LOOKED_AT: "no credential asked for",
        Presentation.UNKNOWN: "no word of a credential",
    }
    forwarded = row.get("upstreamStatus")
    failed = forwarded is not None and not is_success(forwarded)
    behind = f" ({shown(forwarded)} of the seller)" if failed else ""
    return f"{words[presentation(row)]}{why}, status {shown(row.get('status'))}{behind}"


def story_of(found: Found) -> str:
    """Exchanges of a request, in the order in which they were answered."""
    return "; then ".join(told_of(row) for _, row in found) or "none: the gateway never saw the request"


def what_to_do(found: Sequence[tuple[int, Row]]) -> str:
    """What to do about a request that was to be delivered for its credential, by its exchanges.

    The first that was not accepted decides: what came after it, a payment say, came of it. To ask for the
    price, without a credential, is no failure of who presents one then.
    """
    presented = [each for each in found if presentation(each[1]) in _IN_VAIN]
    for _, row in presented or found:
        reason = str(row.get("refusal"))
        match presentation(row):
            case Presentation.NOTHING:
                return _CLIENT
            case Presentation.GARBLED:
                return f"the client garbled it: {_GARBLED.get(reason, 'compare it with the challenge')}"
            case Presentation.REFUSED:
                return _REFUSED.get(
                    reason, "see the caveats of the macaroon, and the gateway's log by oa_req=<id>"
                )
            case Presentation.NOT_SERVED:
                return "see why the request failed (the gateway, the seller's service), then the credential"
            case Presentation.UNKNOWN:
                return "see in the gateway's log by oa_req=<id> what was presented: its rows do not say"
            case Presentation.NOT_LOOKED_AT if not is_success(row.get("status")):
                return f"the gateway turned the request away before that: look up {shown(reason)}"
            case _ if not is_success(row.get("status")):
                return "the credential is good: see why it was not served (the seller's service, rate limits)"
    if not found:
        return "see where the client sent it, and which x-oa-request-id the answer has"
    return "the credential is good: see the gateway's log by oa_req=<id>"


def refusal_of(evidence: Evidence, request_id: str) -> str:
    """What else a finding about a request says where its credential was refused; empty where none was."""
    refused = rows(evidence, "exchanges", requestId=request_id, credential="refused")
    if not refused and _says_it_was_refused(evidence, request_id):
        refused = rows(evidence, "exchanges", requestId=request_id)
    return f"; {story_of(refused)} ({refused.where})" if refused else ""


def remedy_of(evidence: Evidence, request_id: str) -> str:
    """What to do about a request whose credential was refused, as its buyer says; empty where none was."""
    asked = rows(evidence, "exchanges", requestId=request_id)
    return what_to_do(asked) if asked and _says_it_was_refused(evidence, request_id) else ""


def _says_it_was_refused(evidence: Evidence, request_id: str) -> bool:
    reasons = ("credential_refused", "gateway_credential_refused")
    return any(rows(evidence, "records", requestId=request_id, denyReason=reason) for reason in reasons)
