"""Decides which domain failed: an ordered table of rules over the correlation model; the first wins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_l402.triage import next_steps as step


class Domain(StrEnum):
    """Where to look first."""

    HEALTHY = "healthy"
    POLICY = "policy"
    GATEWAY = "gateway"
    SETTLEMENT = "settlement"
    PROJECTION = "projection"
    LOCAL_NODE = "local-node"
    EXECUTOR = "executor"
    UNKNOWN = "unknown"
    NOT_ENOUGH = "not-enough-to-say"
    INCOMPLETE = "incomplete"


_CONTROL, _GATEWAY, _SETTLEMENT, _UI = "control", "gateway", "settlement", "ui"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `when` is SQL over `request_story`; `value` names the column that holds the deciding
    value (empty when there is none). Without `when` the rule holds where that column is not null; without
    `section` and `next_step` those of the domain are taken.

    `field` is the contract's (or the artifact's) name for that value, `planes` are those whose record shows
    it (any, where none is named; the last record, where `last`), `cause` says in short what many requests
    have in common, `reason` is filled from the story's columns.
    """

    name: str
    domain: Domain
    cause: str
    reason: str
    field: str = "denyReason"
    value: str = ""
    when: str = ""
    planes: tuple[str, ...] = ()
    last: bool = False
    section: str = ""
    next_step: str = ""

    def __post_init__(self) -> None:
        section, next_step = _OF_DOMAIN.get(self.domain, ("", ""))
        object.__setattr__(self, "when", self.when or f"{self.value} is not null")
        object.__setattr__(self, "section", self.section or section)
        object.__setattr__(self, "next_step", self.next_step or next_step)


_OF_DOMAIN = {
    Domain.INCOMPLETE: ("Canonical Observability Contract", step.MEND),
    Domain.GATEWAY: ("Incident Triage 2", step.GATEWAY),
    Domain.SETTLEMENT: ("5", step.SETTLEMENT),
    Domain.PROJECTION: ("Incident Triage 3", step.PROJECTION),
    Domain.LOCAL_NODE: ("Incident Triage 4", step.LOCAL),
    Domain.EXECUTOR: ("6", step.EXECUTOR),
    Domain.UNKNOWN: ("Correlation Workflow", step.UNKNOWN),
    Domain.NOT_ENOUGH: ("Correlation Workflow", step.NOT_ENOUGH),
    Domain.HEALTHY: ("Incident Triage", "nothing to do"),
}

RULES: tuple[Rule, ...] = (
    Rule(
        name="invalid_record",
        domain=Domain.INCOMPLETE,
        cause="a record breaks the contract",
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
        cause="an invalid record names the same payment proof",
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
        cause="the desktop executor did not answer",
        value="executor_deny",
        planes=(_CONTROL,),
        reason=(
            "the control plane gave the task up because the desktop executor did not answer: {executor_deny}"
        ),
    ),
    Rule(
        name="reconcile_failed",
        domain=Domain.GATEWAY,
        cause="the control plane reports the gateway or its deployment",
        value="reconcile_deny",
        planes=(_CONTROL,),
        reason="the control plane reports the gateway or its deployment: {reconcile_deny}",
    ),
    Rule(
        name="delivered_unpaid",
        domain=Domain.GATEWAY,
        cause="delivered without payment",
        field="endpoint",
        value="given_away",
        planes=(_GATEWAY,),
        reason=(
            "delivered without payment: the gateway answered {given_away}, and neither quoted a price, saw a "
            "proof, nor denied"
        ),
        next_step=step.UNPAID,
    ),
    Rule(
        name="denied_yet_paid",
        domain=Domain.POLICY,
        cause="the control plane denied the request, and it is paid all the same",
        when="policy_deny is not null and n_proof > 0",
        value="policy_deny",
        planes=(_CONTROL,),
        reason=(
            "the control plane denied the request ({policy_deny}), and yet a payment of it is on record: "
            "{proof_shown}"
        ),
        section="Incident Triage 1",
        next_step=step.DENIED_YET_PAID,
    ),
    Rule(
        name="policy_denied",
        domain=Domain.POLICY,
        cause="the control plane denied the request",
        value="policy_deny",
        planes=(_CONTROL,),
        reason="the control plane denied the request: {policy_deny}",
        section="Incident Triage 1",
        next_step=step.POLICY,
    ),
    Rule(
        name="credential_refused",
        domain=Domain.GATEWAY,
        cause="a credential was refused",
        value="credential_deny",
        planes=(_GATEWAY, _SETTLEMENT, _UI),
        reason=(
            "a credential was refused ({credential_deny}), and records do not say whose fault that is: "
            "the buyer may have presented none, or garbled it, or the gateway refused a good one"
        ),
        next_step=step.CREDENTIAL,
    ),
    Rule(
        name="refused_yet_paid",
        domain=Domain.GATEWAY,
        cause="paid, and the gateway failed",
        when="any_gateway_deny is not null and n_proof > 0",
        value="any_gateway_deny",
        planes=(_GATEWAY, _SETTLEMENT, _UI),
        reason="the buyer has paid ({proof_shown}), and the gateway failed: {any_gateway_deny}",
        next_step=step.REFUSED_YET_PAID,
    ),
    Rule(
        name="gateway_failed",
        domain=Domain.GATEWAY,
        cause="the gateway says that it failed",
        value="gateway_deny",
        planes=(_GATEWAY,),
        reason="the gateway says that it failed: {gateway_deny}",
    ),
    Rule(
        name="gateway_unreachable",
        domain=Domain.GATEWAY,
        cause="the buyer got no proper answer from the gateway",
        value="buyer_gateway_deny",
        reason="the buyer got no proper answer from the gateway: {buyer_gateway_deny}",
    ),
    Rule(
        name="stopped_yet_paid",
        domain=Domain.POLICY,
        cause="the buyer's own policy refused to pay, and it is paid all the same",
        when="spending_deny is not null and n_proof > 0",
        value="spending_deny",
        reason=(
            "the buyer's own policy refused to pay ({spending_deny}), and yet a payment is on record: "
            "{proof_shown}"
        ),
        section="4",
        next_step=step.DENIED_YET_PAID,
    ),
    Rule(
        name="spending_policy",
        domain=Domain.POLICY,
        cause="the buyer's own policy refused to pay",
        value="spending_deny",
        reason="the buyer's own policy refused to pay: {spending_deny}",
        section="4",
        next_step=step.SPENDING,
    ),
    Rule(
        name="paid_over_cap",
        domain=Domain.EXECUTOR,
        cause="paid above the cap",
        field="paidAmountMsats",
        value="over_cap",
        reason="{over_cap} msats were paid, above the cap that the records say was applied",
        section="4",
        next_step=step.OVER_CAP,
    ),
    Rule(
        name="settlement_refused",
        domain=Domain.SETTLEMENT,
        cause="settlement refused the payment",
        value="settlement_deny",
        reason="settlement refused the payment: {settlement_deny}",
        next_step=step.SETTLEMENT_REFUSED,
    ),
    Rule(
        name="payment_pending",
        domain=Domain.SETTLEMENT,
        cause="the payment may be on its way or made",
        value="hosted_uncertain_deny",
        reason="the money may be on its way or gone: {hosted_uncertain_deny}",
        next_step=step.UNCERTAIN,
    ),
    Rule(
        name="paid_twice",
        domain=Domain.SETTLEMENT,
        cause="one request, two payments",
        field="paymentProofRef",
        value="paid_second",
        when="paid_first is not null",
        planes=(_SETTLEMENT, _GATEWAY),
        last=True,
        reason="one request was paid twice: {paid_first} and {paid_second}",
        next_step=step.PAID_TWICE,
    ),
    Rule(
        name="settlement_mismatch",
        domain=Domain.SETTLEMENT,
        cause="settlement names another proof than the gateway",
        field="paymentProofRef",
        value="settled_otherwise",
        planes=(_SETTLEMENT,),
        reason="settlement names {settled_otherwise}, the gateway accepted {accepted_otherwise}",
    ),
    Rule(
        name="settlement_absent",
        domain=Domain.SETTLEMENT,
        cause="no settlement names the payment",
        field="paymentProofRef",
        value="unsettled",
        when="unsettled is not null and lone_plane is null",
        planes=(_GATEWAY, _UI),
        reason="{unsettled} was accepted or shown, and no settlement record names it",
    ),
    Rule(
        name="task_unfinished",
        domain=Domain.EXECUTOR,
        cause="the task was begun and never brought to an end",
        field="taskStatus",
        value="unfinished_status",
        reason=(
            "the local artifact leaves the task at {unfinished_status}: begun and never brought to an end"
        ),
    ),
    Rule(
        name="payment_unsettled",
        domain=Domain.SETTLEMENT,
        cause="the buyer paid, and neither gateway nor settlement knows it",
        when="buyer_unsettled is not null and n_gateway > 0",
        field="paymentProofRef",
        value="buyer_unsettled",
        planes=(_SETTLEMENT, _UI),
        reason="the buyer paid ({buyer_unsettled}), and neither gateway nor settlement names that payment",
    ),
    Rule(
        name="settled_twice",
        domain=Domain.SETTLEMENT,
        cause="settled twice",
        field="paymentProofRef",
        value="settled_twice",
        planes=(_SETTLEMENT,),
        last=True,
        reason="more than one settlement, none of them a replay, names {settled_twice}",
        next_step=step.SETTLED_TWICE,
    ),
    Rule(
        name="amounts_differ",
        domain=Domain.SETTLEMENT,
        cause="planes name different amounts",
        field="paymentProofRef",
        value="amounts_differ",
        reason="not every plane names one amount for {amounts_differ}",
        next_step=step.AMOUNTS,
    ),
    Rule(
        name="projection_failed",
        domain=Domain.PROJECTION,
        cause="the read path reports a failure",
        value="ui_deny",
        planes=(_UI,),
        reason="the read path reports a failure: {ui_deny}",
        next_step=step.PROJECTION_FAILED,
    ),
    Rule(
        name="projection_mismatch",
        domain=Domain.PROJECTION,
        cause="ui shows another proof than settlement holds",
        field="paymentProofRef",
        value="shown_otherwise",
        planes=(_UI,),
        reason="the ui shows {shown_otherwise}, settlement holds {settlement_proof}",
    ),
    Rule(
        name="projection_absent",
        domain=Domain.PROJECTION,
        cause="ui does not show the settlement",
        field="paymentProofRef",
        value="unshown",
        when="unshown is not null and lone_plane is null",
        planes=(_SETTLEMENT,),
        reason="settlement holds {unshown}, and no ui record shows it",
    ),
    Rule(
        name="payment_uncertain",
        domain=Domain.LOCAL_NODE,
        cause="the payment may be on its way or made",
        value="local_uncertain_deny",
        reason="the money may be on its way or gone: {local_uncertain_deny}",
        next_step=step.UNCERTAIN,
    ),
    Rule(
        name="wallet_locked",
        domain=Domain.LOCAL_NODE,
        cause="the local wallet is locked",
        when="wallet_locked is not null and n_proof = 0",
        field="walletState",
        value="wallet_locked",
        reason="the local wallet is locked, and no payment is on record",
    ),
    Rule(
        name="runtime_down",
        domain=Domain.LOCAL_NODE,
        cause="the local runtime is down",
        when="runtime_down is not null and n_proof = 0",
        field="desktopRuntimeStatus",
        value="runtime_down",
        reason="the local runtime is {runtime_down}, and no payment is on record",
    ),
    Rule(
        name="node_degraded",
        domain=Domain.LOCAL_NODE,
        cause="the local node is degraded",
        when="degraded is not null and n_proof = 0",
        field="nodeSyncStatus",
        value="degraded",
        reason="the local node is degraded, and no payment is on record (denial: {local_deny})",
    ),
    Rule(
        name="local_failure",
        domain=Domain.LOCAL_NODE,
        cause="the local wallet or node could not pay",
        value="local_deny",
        reason="the local wallet or node could not pay: {local_deny}",
    ),
    Rule(
        name="unknown_denial",
        domain=Domain.UNKNOWN,
        cause="denied for a reason that nothing is known of",
        value="unknown_deny",
        reason="the buyer was denied for a reason that nothing is known of: {unknown_deny}",
    ),
    Rule(
        name="task_failed",
        domain=Domain.LOCAL_NODE,
        cause="the local task failed, and no record says why",
        when="failed_status is not null and n_proof = 0",
        field="taskStatus",
        value="failed_status",
        reason="the local task failed, and no record says why",
    ),
    Rule(
        name="lone_plane",
        domain=Domain.NOT_ENOUGH,
        cause="only one plane tells of the request",
        field="plane",
        value="lone_plane",
        reason="only plane {lone_plane} tells of this request, and what it tells is no failure by itself",
    ),
    Rule(
        name="paid",
        domain=Domain.HEALTHY,
        cause="paid",
        when="n_proof > 0",
        field="paymentProofRef",
        value="proof_shown",
        planes=(_SETTLEMENT, _UI, _GATEWAY),
        reason="paid, and no plane in sight tells otherwise",
    ),
    Rule(
        name="challenged",
        domain=Domain.HEALTHY,
        cause="challenged and not paid",
        field="quotedCostMsats",
        value="quoted_msats",
        planes=(_GATEWAY,),
        reason="challenged for {quoted_msats} msats and not paid, which is no failure of ours",
        next_step="nothing to do; if a buyer waits, triage the request id of its paying call",
    ),
    Rule(
        name="no_payment",
        domain=Domain.HEALTHY,
        cause="no payment was asked for",
        when="1 = 1",
        reason="no payment was asked for and nothing was denied",
    ),
)
"""In order; the last one always holds, so that every request has exactly one domain."""
