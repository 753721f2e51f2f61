"""Which codes say why a buyer bought nothing, and how a purchase that names one has ended."""

from __future__ import annotations

import re
from typing import Final

from pytest_l402.boundary.text_safety import seen, suggestion
from pytest_l402.contract.payment import PaymentError
from pytest_l402.stack.buyer.purchase import PurchaseStatus
from pytest_l402.stack.buyer.wallet import (
    AmountOverCap,
    PaymentAlreadyMade,
    PaymentFailed,
    PaymentOutcomeUnknown,
    PaymentPendingError,
    PreimageNotReturned,
    WalletIsLocked,
)

DENIALS: Final = (
    "amount_over_cap",
    "host_blocked",
    "host_not_allowed",
    "host_not_allowlisted",
    "request_cap_exceeded",
    "quoted_amount_exceeds_cap",
    "window_cap_exceeded",
    "access_denied",
)
"""A rule kept the buyer from paying: the purchase is `blocked`."""

CREDENTIAL_REFUSED: Final = "credential_refused"
BUYER_RAISED: Final = "buyer_raised"

FAILURES: Final = (
    "payment_failed",
    "payment_pending",
    "payment_outcome_unknown",
    "payment_missing_preimage",
    "payment_already_made",
    "payment_error",
    "wallet_locked",
    "challenge_unreadable",
    "gateway_unreachable",
    CREDENTIAL_REFUSED,
    BUYER_RAISED,
)
"""Something broke: the purchase is `failed`, and `refused` where it was the credential."""

_GATEWAY_STATUS: Final = re.compile(r"gateway_status_[0-9]{3}")

_OF_PAYMENTS: Final[tuple[tuple[type[PaymentError], str], ...]] = (
    (AmountOverCap, "amount_over_cap"),
    (WalletIsLocked, "wallet_locked"),
    (PaymentPendingError, "payment_pending"),
    (PaymentOutcomeUnknown, "payment_outcome_unknown"),
    (PreimageNotReturned, "payment_missing_preimage"),
    (PaymentAlreadyMade, "payment_already_made"),
    (PaymentFailed, "payment_failed"),
)
"""The classes are siblings; whatever is none of them is a plain payment error."""


class UnknownErrorCodeError(ValueError):
    """A buyer names a code that is not listed, so that nobody knows how its purchase has ended."""

    def __init__(self, code: object, request_id: str) -> None:
        listed = (*DENIALS, *FAILURES)
        near = suggestion(code, listed) if isinstance(code, str) else ""
        super().__init__(
            f"error_code of the answer to request {request_id}: expected one of {', '.join(listed)} or "
            f"gateway_status_<number>, saw {seen(code)}{near}; name the one that says why nothing was "
            "bought, or raise what went wrong"
        )


class UnusableAnswerError(TypeError):
    """A buyer answers with something that names neither a request id nor a code."""

    def __init__(self, buyer: object, answer: object) -> None:
        super().__init__(
            f"answer of {type(buyer).__name__}.buy: expected something with a request_id, and perhaps an "
            f"error_code, both text or None, saw {type(answer).__name__}; return Answer() if it knows neither"
        )


def status_of(code: str) -> PurchaseStatus | None:
    """Return how a purchase with this code has ended; None for a code that is not listed."""
    if code in DENIALS:
        return PurchaseStatus.BLOCKED
    if code == CREDENTIAL_REFUSED:
        return PurchaseStatus.REFUSED
    return PurchaseStatus.FAILED if code in FAILURES or _GATEWAY_STATUS.fullmatch(code) else None


def payment_code(error: PaymentError) -> str:
    """Return the code of what a wallet raised."""
    return next((code for kind, code in _OF_PAYMENTS if isinstance(error, kind)), "payment_error")
