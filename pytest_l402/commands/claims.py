"""What each command claims when it is ok, which failure codes deny a claim, and what to do then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_TRIAGE: Final = "pytest-l402 triage records.jsonl names the failing domain (runbook observability, Triage)"
_STOP: Final = "stop selling by hand until it does (runbook lightning-ops, smoke:security)"
_BOOKS: Final = "trust no balance before it holds (runbook lightning-ops, smoke:settlement)"
_PLANES: Final = "ask the gateway and the control plane by hand (runbook observability 1)"
_STAGES: Final = "read that stage in events.jsonl, then its summary.json (runbook observability 1)"


class Claim(NamedTuple):
    """What holds when a command is ok, as people read it.

    `codes` deny it, `next_step` is for whoever sees it denied. `key` is the document's flag of it. Claims
    that are `in_order` are not reached after one that is denied, and `quiet` ones are told only when denied.
    """

    text: str
    codes: tuple[str, ...]
    next_step: str
    key: str | None = None
    in_order: bool = False
    quiet: bool = False


_COMPILES: Final = Claim(
    "every paywall compiles to a rule",
    ("compile_validation_failed",),
    "correct the paywalls that the diagnostics of summary.json name (runbook staging-reconcile 4)",
    in_order=True,
)
_DEPLOY: Final = (
    _COMPILES,
    Claim(
        "the gateway says what it runs",
        ("active_lookup_failed",),
        "ask its GET /ops/deployment by hand; nothing was changed (runbook staging-reconcile 4)",
        in_order=True,
    ),
    Claim(
        "it runs this configuration, under a pinned image",
        ("deploy_apply_failed", "not_deployed"),
        "read the reply in gateway_events.jsonl, then reconcile again (runbook staging-reconcile 4)",
        in_order=True,
    ),
    Claim(
        "it is healthy",
        ("health_check_failed",),
        "read its log by oa_req=<request id> (runbook staging-reconcile 4)",
        "healthOk",
    ),
    Claim(
        "who has not paid gets a 402, at the configured price",
        ("challenge_check_failed",),
        "ask OA_LIGHTNING_OPS_CHALLENGE_URL by hand, with an x-oa-request-id (runbook staging-reconcile 5)",
        "challengeOk",
    ),
    Claim(
        "who has paid gets the content",
        ("proxy_check_failed",),
        "look at the seller's API, then at OA_LIGHTNING_OPS_PROXY_URL (runbook staging-reconcile 5)",
        "proxyOk",
    ),
    Claim(
        "what ran before runs again",
        ("rollback_failed",),
        "look at the gateway now: it may sell by a wrong configuration (runbook staging-reconcile 4)",
        quiet=True,
    ),
)
_DEPLOY_CODES: Final = tuple(code for claim in _DEPLOY for code in claim.codes)
_SECURITY: Final = (
    Claim(
        "credentials that are missing or malformed are refused",
        ("credentials_not_fail_closed", "valid_credentials_refused"),
        _STOP,
    ),
    Claim("the switches show as they are set", ("security_state_not_switched",), _STOP),
    Claim("the global pause denies", ("global_pause_not_enforced",), _STOP),
    Claim("an owner's kill switch denies", ("owner_kill_switch_not_enforced",), _STOP),
    Claim("a role is rotated, revoked and activated", ("credential_lifecycle_wrong",), _STOP),
    Claim("everything is as it was before", ("recovery_denied", "controls_not_restored"), _STOP),
)
_ENTERED: Final = (
    Claim("a replay changes nothing", ("replay_not_idempotent",), _BOOKS),
    Claim("each invoice has its last status", ("invoice_status_wrong",), _BOOKS),
    Claim("the settlement is stored once", ("settlement_not_stored_once",), _BOOKS),
    Claim("a contradiction is refused", ("conflict_not_refused",), _BOOKS),
    Claim("a refused batch changes nothing", ("books_changed_by_refused_batch",), _BOOKS),
)
_READ: Final = (
    Claim("there is a settlement", ("no_settlements",), _BOOKS),
    Claim("each is told once", ("settlement_told_twice",), _BOOKS),
    Claim("each has a proof of its own", ("proof_used_twice", "proof_without_form"), _BOOKS),
    Claim("each has an amount", ("amount_not_positive",), _BOOKS),
)
_OBSERVED: Final = (
    Claim("the gateway does what the control plane says", _DEPLOY_CODES, _TRIAGE),
    Claim("the records of every plane are complete", ("records_incomplete",), _TRIAGE),
)
_BOUGHT: Final = (
    Claim("a request is paid", ("purchase_not_paid",), _TRIAGE),
    Claim("the next one reuses the payment", ("purchase_not_cached", "no_cache_hit"), _TRIAGE),
    Claim("just the denied request is denied", ("no_denial", "denied"), _TRIAGE),
)
_FLOW: Final = (
    Claim("a paywall is for sale", ("paywall_creation",), _STAGES),
    Claim("the gateway is reconciled, and passes its probes", ("gateway_reconcile",), _STAGES),
    Claim("a request is paid and delivered", ("paid_request_success",), _STAGES),
    Claim("a request is denied by policy before it is paid", ("policy_deny",), _STAGES),
    Claim("its settlement tells the same on every plane", ("settlement_correlation",), _STAGES),
    Claim("the records have all their keys", ("observability",), _STAGES),
    Claim("the hosted path has the parity keys", ("hosted_parity",), _STAGES),
    Claim("the local path has them too", ("local_parity",), _STAGES),
)
# Whatever else a deployed system has to say of why it cannot be looked at.
_LOOKED_AT: Final = Claim("the owner may sell, and the settlements can be read", (), _PLANES)


def claims_of(command: str, document: Mapping[str, Any]) -> tuple[Claim, ...]:
    """Return the claims of a command, in order; the document shows where a deployed system is asked less."""
    return {
        "smoke:compile": (_COMPILES,),
        "smoke:security": _SECURITY,
        "smoke:settlement": _READ if "entered" in document else _ENTERED,
        "smoke:observability": (*_OBSERVED, *((_LOOKED_AT,) if "notObserved" in document else _BOUGHT)),
        "smoke:full-flow": _FLOW,
    }.get(command, _DEPLOY)
