"""Decides which domain failed: an ordered table of rules over the correlation model; the first wins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Domain(StrEnum):
    """Where to look first."""

    HEALTHY = "healthy"
    POLICY = "policy"
    GATEWAY = "gateway"
    SETTLEMENT = "settlement"
    PROJECTION = "projection"
    LOCAL_NODE = "local-node"
    EXECUTOR = "executor"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `when` is SQL over `request_story`; `value` names the column that holds the deciding
    value (empty when there is none). Without `when` the rule holds where that column is not null; without
    `section` and `next_step` those of the domain are taken.

    `field` is the contract's (or the artifact's) name for that value, `voices` say whose record shows it,
    `reason` is filled from the story's columns.
    """

    name: str
    domain: Domain
    reason: str
    field: str = "denyReason"
    value: str = ""
    when: str = ""
    voices: tuple[str, ...] = ()
    section: str = ""
    next_step: str = ""

    def __post_init__(self) -> None:
        section, next_step = _OF_DOMAIN.get(self.domain, ("", ""))
        object.__setattr__(self, "when", self.when or f"{self.value} is not null")
        object.__setattr__(self, "section", self.section or section)
        object.__setattr__(self, "next_step", self.next_step or next_step)


_HOSTED = "substr({0}, 1, 19) = 'lightning_preimage:' and substr({1}, 1, 19) = 'lightning_preimage:'"


def _differ(left: str, right: str) -> str:
    same_form = _HOSTED.format(f"{left}_lo", f"{right}_lo")
    return f"({same_form} and ({left}_lo <> {right}_lo or {left}_hi <> {right}_hi))"


_MEND_STEP = "mend the emitter of the invalid record (all 19 keys, null where unknown), or get it again"
_UNCERTAIN_STEP = (
    "do not let anything pay again: look the payment hash up in the wallet first; if it succeeded, fetch "
    "the preimage "
    "and present the credential, if it failed, queue the task again"
)
_GATEWAY_STEP = (
    "run the health, challenge and proxy probes against the gateway, then read its log by "
    "oa_req=<this request id>; where a proof is named the buyer has paid, and must not pay again"
)
_UNPAID_STEP = (
    "stop the route, for the seller gives away what it sells: see which service of the gateway serves that "
    "path without a price (auth off, a route that matches first), then probe the challenge"
)
_CREDENTIAL_STEP = (
    "do not pay again; find the buyer's request in the gateway's log by oa_req=<this request id>: if it sent "
    "no credential, or one that cannot be read, mend the buyer, else see why the gateway refused it"
)
_OVER_CAP_STEP = (
    "pause the buyer, for its cap is not enforced: compare quotedCostMsats with capAppliedMsats in its "
    "records, and see why the quote was paid all the same"
)
_SETTLEMENT_STEP = (
    "find the settlement row by requestId, then by the proof's payment hash; replay the settlement "
    "event if it is absent (ingest is idempotent), and stop payouts for the paywall if the proofs or "
    "amounts differ"
)
_PROJECTION_STEP = (
    "money and settlement are right: rebuild the read model for this requestId/taskId from the "
    "settlement rows and compare paymentProofRef again; do not pay or settle again"
)
_LOCAL_STEP = (
    "on the buyer's machine look at wallet state, then at the Lightning node's sync state and "
    "runtime; unlock or restart there, then let the task run again"
)
_EXECUTOR_STEP = (
    "see whether the desktop executor runs and sends heartbeats (older than 10 s is offline), restart"
    " it, and look at taskStatus in the local artifact before the task is queued again: it may have "
    "paid already"
)

_OF_DOMAIN = {
    Domain.INCOMPLETE: ("Canonical Observability Contract", _MEND_STEP),
    Domain.GATEWAY: ("Incident Triage 2", _GATEWAY_STEP),
    Domain.SETTLEMENT: ("5", _SETTLEMENT_STEP),
    Domain.PROJECTION: ("Incident Triage 3", _PROJECTION_STEP),
    Domain.LOCAL_NODE: ("Incident Triage 4", _LOCAL_STEP),
    Domain.EXECUTOR: ("6", _EXECUTOR_STEP),
    Domain.HEALTHY: ("Incident Triage", "nothing to do"),
}

RULES: tuple[Rule, ...] = (
    Rule(
        name="invalid_record",
        domain=Domain.INCOMPLETE,
        when="n_invalid > 0",
        field="record",
        value="n_invalid",
        reason=(
            "{n_invalid} record(s) of this request break the contract, so nothing can be "
            "concluded from the others"
        ),
    ),
    Rule(
        name="doubtful_proof",
        domain=Domain.INCOMPLETE,
        when="doubtful > 0",
        field="record",
        value="doubtful",
        reason=(
            "an invalid record names the same payment proof, so what seems absent may only be unreadable"
        ),
    ),
    Rule(
        name="executor_unavailable",
        domain=Domain.EXECUTOR,
        value="executor_deny",
        voices=("gate",),
        reason=(
            "the control plane gave the task up because the desktop executor did not answer: {executor_deny}"
        ),
    ),
    Rule(
        name="reconcile_failed",
        domain=Domain.GATEWAY,
        value="reconcile_deny",
        voices=("gate",),
        reason="the control plane reports the gateway or its deployment: {reconcile_deny}",
    ),
    Rule(
        name="delivered_unpaid",
        domain=Domain.GATEWAY,
        field="endpoint",
        value="given_away",
        voices=("gateway",),
        reason=(
            "delivered without payment: the gateway answered {given_away}, and neither quoted a price, saw a "
            "proof, nor denied"
        ),
        next_step=_UNPAID_STEP,
    ),
    Rule(
        name="policy_denied",
        domain=Domain.POLICY,
        value="policy_deny",
        voices=("gate",),
        reason="the control plane denied the request: {policy_deny}",
        section="Incident Triage 1",
        next_step=(
            "nothing is broken: see who set the pause, kill switch or limit that this code names,"
            " and whether it still ought to hold; no payment was made on this request's behalf"
        ),
    ),
    Rule(
        name="credential_refused",
        domain=Domain.GATEWAY,
        value="credential_refused",
        voices=("buyer_gateway", "buyer", "buyer_ui", "gateway"),
        reason=(
            "a credential was refused ({credential_refused}), and records do not say whose fault that is: "
            "the buyer may have presented none, or garbled it, or the gateway refused a good one"
        ),
        next_step=_CREDENTIAL_STEP,
    ),
    Rule(
        name="gateway_failed",
        domain=Domain.GATEWAY,
        value="gateway_deny",
        voices=("gateway",),
        reason="the gateway says that it failed: {gateway_deny}",
    ),
    Rule(
        name="spending_policy",
        domain=Domain.POLICY,
        value="buyer_policy_deny",
        voices=("buyer", "buyer_ui", "buyer_gateway"),
        reason="the buyer's own policy refused to pay: {buyer_policy_deny}",
        section="4",
        next_step=(
            "nothing is broken: compare the quoted price with the buyer's spend cap and allowed "
            "hosts; raise the cap or leave it"
        ),
    ),
    Rule(
        name="paid_over_cap",
        domain=Domain.EXECUTOR,
        field="paidAmountMsats",
        value="paid_over_cap",
        voices=("buyer", "buyer_ui", "buyer_gateway", "store", "ui", "gateway", "gate"),
        reason="the buyer paid {paid_over_cap} msats, above the cap that the same record says was applied",
        section="4",
        next_step=_OVER_CAP_STEP,
    ),
    Rule(
        name="gateway_unreachable",
        domain=Domain.GATEWAY,
        value="buyer_gateway_deny",
        voices=("buyer_gateway", "buyer", "buyer_ui"),
        reason="the buyer got no proper answer from the gateway: {buyer_gateway_deny}",
    ),
    Rule(
        name="settlement_refused",
        domain=Domain.SETTLEMENT,
        value="store_deny",
        voices=("store",),
        reason="the settlement store refused the payment: {store_deny}",
    ),
    Rule(
        name="settlement_mismatch",
        domain=Domain.SETTLEMENT,
        when="store_proof_lo is not null and (gateway_unsettled is not null or "
        + _differ("gateway_proof", "store_proof")
        + ")",
        field="paymentProofRef",
        value="store_proof_lo",
        voices=("store",),
        reason="settlement names {store_proof_lo}, the gateway accepted {gateway_proof_lo}",
    ),
    Rule(
        name="settlement_absent",
        domain=Domain.SETTLEMENT,
        field="paymentProofRef",
        value="gateway_unsettled",
        voices=("gateway",),
        reason="the gateway accepted {gateway_unsettled}, and no settlement record names it",
    ),
    Rule(
        name="task_unfinished",
        domain=Domain.EXECUTOR,
        field="taskStatus",
        value="unfinished_status",
        reason=(
            "the local artifact leaves the task at {unfinished_status}: begun and never brought to an end"
        ),
    ),
    Rule(
        name="payment_unsettled",
        domain=Domain.SETTLEMENT,
        when="buyer_unsettled is not null and n_gateway > 0",
        field="paymentProofRef",
        value="buyer_unsettled",
        voices=("buyer", "buyer_ui"),
        reason=("the buyer paid ({buyer_unsettled}), and neither gateway nor settlement names that payment"),
    ),
    Rule(
        name="settled_twice",
        domain=Domain.SETTLEMENT,
        field="paymentProofRef",
        value="settled_twice",
        voices=("store", "gateway", "ui", "buyer"),
        reason="more than one settlement, none of them a replay, names {settled_twice}",
    ),
    Rule(
        name="amounts_differ",
        domain=Domain.SETTLEMENT,
        field="paymentProofRef",
        value="amounts_differ",
        voices=("store", "gateway", "ui", "buyer"),
        reason="gateway, settlement and ui do not name one amount for {amounts_differ}",
    ),
    Rule(
        name="projection_failed",
        domain=Domain.PROJECTION,
        value="ui_deny",
        voices=("ui",),
        reason="the read path reports a failure: {ui_deny}",
    ),
    Rule(
        name="projection_mismatch",
        domain=Domain.PROJECTION,
        when="store_proof_lo is not null and ui_proof_lo is not null and (unshown is not null or "
        + _differ("store_proof", "ui_proof")
        + ")",
        field="paymentProofRef",
        value="ui_proof_lo",
        voices=("ui",),
        reason="the ui shows {ui_proof_lo}, settlement holds {store_proof_lo}",
    ),
    Rule(
        name="projection_absent",
        domain=Domain.PROJECTION,
        field="paymentProofRef",
        value="unshown",
        voices=("store",),
        reason="settlement holds {unshown}, and no ui record shows it",
    ),
    Rule(
        name="wallet_locked",
        domain=Domain.LOCAL_NODE,
        when="wallet_locked is not null and n_proof = 0",
        field="walletState",
        value="wallet_locked",
        voices=("buyer", "buyer_ui", "buyer_gateway", "gate"),
        reason="the local wallet is locked and nothing was paid",
    ),
    Rule(
        name="payment_uncertain",
        domain=Domain.LOCAL_NODE,
        value="uncertain_deny",
        voices=("buyer", "buyer_ui"),
        reason="the money may be on its way or gone: {uncertain_deny}",
        next_step=_UNCERTAIN_STEP,
    ),
    Rule(
        name="runtime_down",
        domain=Domain.LOCAL_NODE,
        when="runtime_down is not null and n_proof = 0",
        field="desktopRuntimeStatus",
        value="runtime_down",
        voices=("buyer", "buyer_ui", "buyer_gateway", "gate"),
        reason="the local runtime is {runtime_down} and nothing was paid",
    ),
    Rule(
        name="node_degraded",
        domain=Domain.LOCAL_NODE,
        when="degraded is not null and n_proof = 0",
        field="nodeSyncStatus",
        value="degraded",
        voices=("buyer", "buyer_ui", "buyer_gateway", "gate"),
        reason="the local node is degraded and nothing was paid (denial: {local_deny})",
    ),
    Rule(
        name="local_failure",
        domain=Domain.LOCAL_NODE,
        value="local_deny",
        voices=("buyer", "buyer_ui"),
        reason="the local wallet or node could not pay: {local_deny}",
    ),
    Rule(
        name="task_failed",
        domain=Domain.LOCAL_NODE,
        when="failed_status is not null and n_proof = 0",
        field="taskStatus",
        value="failed_status",
        reason="the local task failed, and no record says why",
    ),
    Rule(
        name="paid",
        domain=Domain.HEALTHY,
        when="n_proof > 0",
        field="paymentProofRef",
        value="proof_shown",
        voices=("store", "ui", "gateway", "buyer", "buyer_ui"),
        reason="paid, and every plane in sight tells it alike",
    ),
    Rule(
        name="challenged",
        domain=Domain.HEALTHY,
        field="quotedCostMsats",
        value="quoted_msats",
        voices=("gateway",),
        reason="challenged for {quoted_msats} msats and not paid, which is no failure of ours",
        next_step="nothing to do; if a buyer waits, triage the request id of its paying call",
    ),
    Rule(
        name="no_payment",
        domain=Domain.HEALTHY,
        when="1 = 1",
        reason="no payment was asked for and nothing was denied",
    ),
)
"""In order; the last one always holds, so that every request has exactly one domain."""
