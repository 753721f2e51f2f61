"""What each command claims when it is ok, which failure codes deny a claim, and what to do then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_CORRECT: Final = "correct what the diagnostics of summary.json name (runbook staging-reconcile 4)"
_ASK: Final = "ask its GET /ops/deployment by hand; nothing was changed (runbook staging-reconcile 4)"
_AGAIN: Final = "reconcile; what the gateway replied is in gateway_events.jsonl (runbook staging-reconcile 4)"
_LOG: Final = "read its log by oa_req={requestId} (runbook staging-reconcile 4)"
_CHALLENGE: Final = "ask the challenge URL by hand, with an x-oa-request-id (runbook staging-reconcile 5)"
_PROXY: Final = "look at the seller's API, then ask the proxy URL by hand (runbook staging-reconcile 5)"
_NOW: Final = "look at the gateway now: it may sell by a wrong configuration (runbook staging-reconcile 4)"
_TRIAGE: Final = "pytest-l402 triage {recordsPath} (runbook observability, Incident Triage)"
_STOP: Final = "stop selling by hand until it does (runbook lightning-ops, smoke:security)"
_BOOKS: Final = "trust no balance before it holds (runbook lightning-ops, smoke:settlement)"
_PLANES: Final = "ask the gateway and the control plane by hand (runbook observability 1)"
_STAGES: Final = "read that stage in events.jsonl, then summary.json (runbook observability 1)"


class Claim(NamedTuple):
    """What holds when a command is ok, as people read it; `next_step` is for whoever sees it denied.

    In a step `{requestId}` and `{recordsPath}` stand for those of the run. `codes` deny the claim; without
    any, each code does that no other claim has. `key` is its flag in the document: the claim was not reached
    if that is false, and is not made if it is absent.
    """

    text: str
    next_step: str
    codes: tuple[str, ...] = ()
    key: str | None = None


DEPLOY: Final = (
    Claim("every paywall compiles to a rule", _CORRECT, ("compile_validation_failed",)),
    Claim("the gateway says what it runs", _ASK, ("active_lookup_failed",)),
    Claim(
        "it runs this configuration, under a pinned image", _AGAIN, ("deploy_apply_failed", "not_deployed")
    ),
    Claim("it is healthy", _LOG, ("health_check_failed",), "healthOk"),
    Claim(
        "who has not paid gets a 402, at the configured price",
        _CHALLENGE,
        ("challenge_check_failed",),
        "challengeOk",
    ),
    Claim("who has paid gets the content", _PROXY, ("proxy_check_failed",), "proxyOk"),
    Claim("what ran before runs again", _NOW, ("rollback_failed",), "rolledBackTo"),
)
"""The steps of a reconcile, in order: after one that is denied the others without a flag were not reached."""
_SECURITY: Final = (
    Claim(
        "credentials that are missing or malformed are refused",
        _STOP,
        ("credentials_not_fail_closed", "valid_credentials_refused"),
    ),
    Claim("the switches show as they are set", _STOP, ("security_state_not_switched",)),
    Claim("the global pause denies", _STOP, ("global_pause_not_enforced",)),
    Claim("an owner's kill switch denies", _STOP, ("owner_kill_switch_not_enforced",)),
    Claim("a role is rotated, revoked and activated", _STOP, ("credential_lifecycle_wrong",)),
    Claim("everything is as it was before", _STOP, ("recovery_denied", "controls_not_restored")),
)
_ENTERED: Final = (
    Claim("a replay changes nothing", _BOOKS, ("replay_not_idempotent",)),
    Claim("each invoice has its last status", _BOOKS, ("invoice_status_wrong",)),
    Claim("the settlement is stored once", _BOOKS, ("settlement_not_stored_once",)),
    Claim("a contradiction is refused", _BOOKS, ("conflict_not_refused",)),
    Claim("a refused batch changes nothing", _BOOKS, ("books_changed_by_refused_batch",)),
    Claim("the books take what is true", _BOOKS),
)
_READ: Final = (
    Claim("there is a settlement", _BOOKS, ("no_settlements",)),
    Claim("each is told once", _BOOKS, ("settlement_told_twice",)),
    Claim("each has a proof of its own", _BOOKS, ("proof_used_twice", "proof_without_form")),
    Claim("each has an amount", _BOOKS, ("amount_not_positive",)),
)
_OBSERVED: Final = (
    Claim(
        "the gateway does what the control plane says",
        _TRIAGE,
        tuple(code for claim in DEPLOY for code in claim.codes),
    ),
    Claim("the records of every plane are complete", _TRIAGE, ("records_incomplete",)),
)
_BOUGHT: Final = (
    Claim("a request is paid", _TRIAGE, ("purchase_not_paid",)),
    Claim("the next one reuses the payment", _TRIAGE, ("purchase_not_cached", "no_cache_hit")),
    Claim("just the denied request is denied", _TRIAGE, ("no_denial", "denied")),
)
_LOOKED_AT: Final = Claim("the owner may sell, and the settlements can be read", _PLANES)
_FLOW: Final = (
    Claim("a paywall is for sale", _STAGES, ("paywall_creation",)),
    Claim("the gateway is reconciled, and passes its probes", _STAGES, ("gateway_reconcile",)),
    Claim("a request is paid and delivered", _STAGES, ("paid_request_success",)),
    Claim("a request is denied by policy before it is paid", _STAGES, ("policy_deny",)),
    Claim("its settlement tells the same on every plane", _STAGES, ("settlement_correlation",)),
    Claim("the records have all their keys", _STAGES, ("observability",)),
    Claim("the hosted path has the parity keys", _STAGES, ("hosted_parity",)),
    Claim("the local path has them too", _STAGES, ("local_parity",)),
)


def claims_of(command: str, document: Mapping[str, Any]) -> tuple[Claim, ...]:
    """Return the claims of a command, in order; the document shows where a deployed system is asked less."""
    return {
        "smoke:compile": DEPLOY[:1],
        "smoke:security": _SECURITY,
        "smoke:settlement": _READ if "entered" in document else _ENTERED,
        "smoke:observability": (*_OBSERVED, *((_LOOKED_AT,) if "notObserved" in document else _BOUGHT)),
        "smoke:full-flow": _FLOW,
    }.get(command, DEPLOY)
