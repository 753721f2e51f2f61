"""Says what the texts of a `denyReason` are known to mean: codes and sentences of real emitters, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final


class Meaning(StrEnum):
    """What a text tells, whoever tells it; a text that is in no list below has no meaning."""

    POLICY = "policy"
    EXECUTOR = "executor"
    RECONCILE = "reconcile"
    CREDENTIAL = "credential"
    GATEWAY = "gateway"
    SETTLEMENT = "settlement"
    PROJECTION = "projection"
    UNCERTAIN = "uncertain"
    LOCAL = "local"


_EXACTLY: Final[Mapping[Meaning, tuple[str, ...]]] = {
    Meaning.EXECUTOR: ("desktop_executor_offline", "desktop_executor_timeout"),
    Meaning.RECONCILE: (
        "compile_validation_failed",
        "active_lookup_failed",
        "deploy_apply_failed",
        "health_check_failed",
        "challenge_check_failed",
        "proxy_check_failed",
        "rollback_failed",
    ),
    Meaning.CREDENTIAL: (
        "credential_refused",
        "gateway_credential_refused",
        "credential rejected on post-payment retry",
    ),
    Meaning.POLICY: (
        "access_denied",
        "amount_over_cap",
        "budget_exceeded",
        "global_pause_active",
        "host is blocked by policy",
        "host is blocked by spend policy",
        "host is not present in allowlist",
        "host_blocked",
        "host_not_allowed",
        "host_not_allowlisted",
        "owner_kill_switch_active",
        "policy_blocked",
        "quoted invoice amount exceeds configured spend cap",
        "quoted_amount_exceeds_cap",
        "request_cap_exceeded",
        "the gateway denies access",
        "window_cap_exceeded",
    ),
    Meaning.GATEWAY: (
        "challenge_unreadable",
        "challenge must include invoice and macaroon attributes",
        "amount_msats and amountmsats conflict in challenge attributes",
        "amount_msats must be a non-negative integer",
        "amount_msats is outside safe integer bounds",
        "expected an l402 challenge header",
        "l402 challenge failed schema validation",
        "missing www-authenticate challenge on 402 response",
        "missing_proxy_authorization_header",
    ),
    Meaning.SETTLEMENT: ("invalid_payment_proof_type", "invalid_preimage", "invoice_scope_mismatch"),
    Meaning.LOCAL: (
        "api_key_missing",
        "incorrect_payment_details",
        "insufficient_balance",
        "invoice expired",
        "mnemonic_invalid",
        "mnemonic_missing",
        "no_route",
        "payment_error",
        "payment_failed",
        "unsupported_payment_method",
        "wallet executor is not configured",
        "wallet_executor_not_configured",
        "wallet_locked",
    ),
    Meaning.UNCERTAIN: (
        "buyer_raised",
        "invoice is already paid",
        "payment attempt not completed before timeout",
        "payment completed without a preimage",
        "payment did not complete before timeout",
        "payment is in transition",
        "payment_already_made",
        "payment_missing_preimage",
        "payment_pending",
        "payment_timeout",
    ),
}

_BEGINNING: Final[tuple[tuple[Meaning, tuple[str, ...]], ...]] = (
    # The clients' own classes, and the wallet executor's codes before their messages.
    (Meaning.POLICY, ("budgetexceedederror", "domainnotallowederror", "policydeniederror")),
    (
        Meaning.POLICY,
        (
            "host_not_allowed:",
            "host_not_allowlisted:",
            "host_blocked:",
            "request_cap_exceeded:",
            "quoted_amount_exceeds_cap:",
            "window_cap_exceeded:",
            "window cap exceeded:",
        ),
    ),
    (
        Meaning.UNCERTAIN,
        (
            "paymenttimeouterror",
            "paymentmissingpreimageerror",
            "payment_pending:",
            "payment_missing_preimage:",
            "payment_already_made:",
            "payment timed out",
            "payment timeout",
            "send_failed",
            "spark send payment failed",
            "lnd payment request failed",
            "lnd payment response",
            "lnd payment transport failed",
            "wallet_executor_",
            "internal_error",
        ),
    ),
    (
        Meaning.LOCAL,
        (
            "paymentfailederror",
            "payment_failed:",
            "payment failed",
            "payment_error:",
            "api_key_missing:",
            "mnemonic_",
            "unsupported_payment_method:",
            "connect_failed",
            "prepare_failed",
            "spark prepare payment failed",
            "config_error",
            "secret_error",
            "failure_reason_",
            "insufficient",
            "lnd_payment_failed",
            "lnd_service_unavailable",
            "node_",
            "no route",
            "no_route:",
            "unable to find a path",
            "wallet_",
            "wallet is locked",
            "wallet locked",
        ),
    ),
    (
        Meaning.GATEWAY,
        (
            "challengeparseerror",
            "credentialmissingerror",
            "l402transporterror",
            "challenge contains a",
            "malformed challenge attribute",
            "invalid challenge attribute",
            "missing value for challenge attribute",
            "duplicate challenge attribute",
            "malformed value for challenge attribute",
            "gateway_",
            "status_",
            "transport_timeout",
            "upstream_",
        ),
    ),
    (Meaning.SETTLEMENT, ("settlement_",)),
    (Meaning.PROJECTION, ("projection_", "read_model", "ui_")),
)

_WITHIN: Final[tuple[tuple[Meaning, tuple[str, ...]], ...]] = (
    (
        Meaning.POLICY,
        (
            "is not in the wallet executor allowlist",
            "is not on the allowlist",
            "is blocked by spend policy",
            "exceeds service cap",
        ),
    ),
    (
        Meaning.GATEWAY,
        (
            "fetch failed",
            "failed to fetch",
            "network error",
            "networkerror",
            "network request failed",
            "socket hang up",
            "econnaborted",
            "econnrefused",
            "econnreset",
            "ehostunreach",
            "enetunreach",
            "enotfound",
            "epipe",
            "etimedout",
            "eai_again",
            "getaddrinfo",
            "connection refused",
            "connection reset",
            "connection timed out",
            "connect timeout",
            "certificate",
            "tls handshake",
            "ssl routines",
            "aborterror",
            "operation was aborted",
            "timeout error",
            "timeouterror",
        ),
    ),
    # Whose time-out it was is not told: the payment's may be one that goes through later.
    (Meaning.UNCERTAIN, ("preimage", "time out", "time-out", "timed out", "timeout")),
)

_HOST_BLOCKED: Final = "host % is blocked"


def known_texts() -> Iterator[tuple[str, Meaning]]:
    """Yield every text that is known as a whole, and what it tells."""
    for meaning, texts in _EXACTLY.items():
        yield from ((text, meaning) for text in texts)


def meaning_sql(text: str) -> str:
    """The meaning as a portable CASE; `text` is a column with the reason trimmed and in small letters.

    The first that fits wins: a whole text, then how it begins, then what it holds; null for any other.
    """
    cases = [f"when {text} in ({_listed(texts)}) then '{meaning}'" for meaning, texts in _EXACTLY.items()]
    for meaning, texts in _BEGINNING:
        for length in sorted({len(each) for each in texts}):
            same = [each for each in texts if len(each) == length]
            cases.append(f"when substr({text}, 1, {length}) in ({_listed(same)}) then '{meaning}'")
    cases.append(f"when {text} like '{_HOST_BLOCKED}' then '{Meaning.POLICY}'")
    for meaning, texts in _WITHIN:
        held = " or ".join(f"{text} like '%{each}%'" for each in texts)
        cases.append(f"when {held} then '{meaning}'")
    return "case\n      " + "\n      ".join(cases) + "\n      else null\n    end"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(f"'{each}'" for each in texts)
